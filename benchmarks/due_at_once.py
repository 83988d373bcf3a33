"""Ten thousand tasks due at one second: how long until every execution is recorded as SUCCEEDED?

Run it with `.venv/bin/python benchmarks/due_at_once.py`. A real store on disk (synchronous=FULL) and a real engine.
"""

import asyncio
import resource
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog

from schedule_grpc import TaskContext, handler
from schedule_grpc.bindings import Environment
from schedule_grpc.clock import SystemClock
from schedule_grpc.engine import Engine, EngineOptions
from schedule_grpc.events import Event, Hub, Transition
from schedule_grpc.execution import State
from schedule_grpc.handlers import Registry
from schedule_grpc.registration import registered
from schedule_grpc.store import open_store
from schedule_grpc.task import define

TASKS = 10_000


@handler("nothing", description="Returns at once")
async def nothing(_: TaskContext) -> dict[str, Any]:
    """Do nothing."""
    return {"success": True}


async def drain(folder: Path) -> tuple[float, float]:
    """Return seconds of time and of CPU from due to recorded."""
    clock, hub, registry = SystemClock(), Hub(), Registry()
    registry.add_function(nothing)
    store = await open_store(folder / "due.db", hub)
    engine = Engine(
        store=store,
        clock=clock,
        hub=hub,
        registry=registry,
        env=Environment({}),
        options=EngineOptions(concurrency=1000),
    )
    due = clock.now() + timedelta(seconds=15)
    at = due.strftime("%Y-%m-%dT%H:%M:%SZ")
    for first in range(0, TASKS, 500):
        await asyncio.gather(
            *(
                store.change_tasks(
                    [
                        registered(
                            None,
                            define(name=f"t{first + number}", schedule=at, handler="nothing"),
                            enabled=None,
                            now=clock.now(),
                        )
                    ],
                    now=clock.now(),
                )
                for number in range(500)
            )
        )
    ended, recorded = asyncio.Event(), 0

    def count(events: "list[Event]") -> None:
        nonlocal recorded
        recorded += sum(isinstance(event, Transition) and event.execution.state is State.SUCCEEDED for event in events)
        if recorded >= TASKS:
            ended.set()

    with hub.listening(count):  # type: ignore[arg-type]
        await asyncio.sleep((due - clock.now()).total_seconds())
        before = resource.getrusage(resource.RUSAGE_SELF)
        began = time.perf_counter()
        running = asyncio.create_task(engine.run())
        await ended.wait()
        spent = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_SELF)
        engine.stop()
        await running
    await store.close()
    return spent, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure and print."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    with tempfile.TemporaryDirectory(dir=".") as name:
        spent, cpu = asyncio.run(drain(Path(name)))
    print(f"{TASKS} due at once: {spent:.2f} s, {TASKS / spent:.0f} /s, {cpu / TASKS * 1e6:.0f} µs of CPU each")


if __name__ == "__main__":
    main()
