"""The engine and the store alone, in a process of their own: `python -m benchmarks.engine_alone FILE COUNT`."""

import asyncio
import gc
import json
import resource
import sys
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from benchmarks.bursts import once
from benchmarks.database import Database
from benchmarks.handlers import nothing
from schedule_grpc.bindings import Environment
from schedule_grpc.domain.execution import State
from schedule_grpc.engine import Engine, EngineOptions
from schedule_grpc.events import Event, Hub, Transition
from schedule_grpc.handlers import Registry
from schedule_grpc.runtime import event_loop
from schedule_grpc.runtime.clock import SystemClock
from schedule_grpc.store import open_store

FILLS_WITHIN = 1.0
"""Seconds."""


def cpu() -> float:
    """Return the seconds of CPU that this process has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def drain(path: Path, count: int, due: datetime) -> dict[str, float]:
    """Start the engine at the instant at which all tasks are due; return the figures until all are recorded.

    In the event loop that a server has, with the tasks reviewed as a server leaves them.
    """
    clock, hub, registry = SystemClock(), Hub(), Registry()
    registry.add_function(nothing)
    store = await open_store(path, hub)
    options = EngineOptions(concurrency=500)
    engine = Engine(store=store, clock=clock, hub=hub, registry=registry, env=Environment({}), options=options)
    ended, recorded = asyncio.Event(), 0

    def note(events: Sequence[Event]) -> None:
        nonlocal recorded
        recorded += sum(isinstance(event, Transition) and event.execution.state is State.SUCCEEDED for event in events)
        if recorded >= count:
            ended.set()

    await engine.recover()
    while clock.now() < due:
        await clock.wait_until(due, asyncio.Event())
    gc.freeze()  # as a server does
    with hub.listening(note):
        used, began = cpu(), time.perf_counter()
        running = asyncio.create_task(engine.run())
        await ended.wait()
        figures = {"wall s": time.perf_counter() - began, "CPU µs each": (cpu() - used) / count * 1e6}
        engine.stop()
        await running
    await store.close()
    return figures


def main(path: str, count: int) -> None:
    """Fill the file, wait for the instant, and print the figures."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    due = SystemClock().now() + timedelta(seconds=FILLS_WITHIN)
    database = Database(f"sqlite:///{path}")
    once(count)(database, due)
    database.reviewed()
    print(json.dumps(event_loop.run(drain(Path(path), count, due), kind="auto")))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
