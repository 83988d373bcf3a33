"""Executions through workers, beside the embedded engine."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from benchmarks.bursts import once, run_burst, seconds_to_last_end, until_ended
from benchmarks.database import Database
from benchmarks.measure import Bench, Figures, Headline, Measure, Sides
from benchmarks.processes import COMMAND, Process, launched, peer, result_of, server
from schedule_grpc.domain.task import define

LEAD, LEAD_EACH = timedelta(seconds=8), timedelta(seconds=2)
"""From filling the database to the instant: the server and the workers start meanwhile, one after the other."""
SETTLES = 3.0
"""Seconds until workers that have just registered wait."""


@contextmanager
def workers(bench: Bench) -> Iterator[Sides]:
    """A no-op through worker processes, and through the embedded engine, of the same handler.

    Bursts: tasks due at one instant, until every execution is recorded; "CPU µs each" is of the server's process,
    "workers' CPU µs each" of all workers together. "one slot" is one worker that runs one attempt at a time: two calls
    and a commit for each execution.

    One by one: RunTaskNow until it has ended, the next one after that.

    Idle: that many sessions with a connection each, which wait; "cores" is the server's process, "KB each" what it
    grew by.
    """
    count = bench.sized("tasks of a burst", full=5_000, quick=500, tiny=10)
    singly = bench.sized("tasks of one slot", full=1_000, quick=100, tiny=3)
    calls = bench.sized("calls one by one", full=500, quick=50, tiny=3)
    idle = bench.sized("idle workers", full=200, quick=50, tiny=2)
    seconds = bench.sized("idle seconds", full=60.0, quick=5.0, tiny=0.5)
    make = partial(Database.file, bench.folder)
    sides: dict[str, Callable[[], Figures]] = {
        "embedded": lambda: run_burst(make, count, bench.folder, fill=once(count)),
        "embedded one by one": partial(_one_by_one, bench.folder, calls, 0),
        "worker one by one": partial(_one_by_one, bench.folder, calls, 1),
        "one slot": partial(_burst, bench.folder, singly, 1, 1),
    }
    for number in bench.sized("workers of 8 slots", full=(1, 4, 16), quick=(4,), tiny=(1,)):
        sides[f"{number} workers"] = partial(_burst, bench.folder, count, number, 8)
    sides["idle"] = partial(_idle, bench.folder, idle, seconds)
    yield sides


def _burst(folder: Path, count: int, number: int, slots: int) -> Figures:
    database = Database.file(folder)
    due = datetime.now(UTC) + LEAD + LEAD_EACH * number
    once(count)(database, due)
    database.reviewed()
    with server(folder, handlers=[]) as ours, _working(folder, ours, number, slots) as theirs:
        time.sleep(max((due - datetime.now(UTC)).total_seconds() - 0.3, 0))
        used, worked = ours.cpu(), sum(each.cpu() for each in theirs)
        until_ended(database, count, every=0.1)
        spent, work = ours.cpu() - used, sum(each.cpu() for each in theirs) - worked
    wall = seconds_to_last_end(database, due)
    return {
        "wall s": wall,
        "executions/s": count / wall,
        "CPU µs each": spent / count * 1e6,
        "workers' CPU µs each": work / count * 1e6,
    }


def _one_by_one(folder: Path, calls: int, number: int) -> Figures:
    database = Database.file(folder)
    database.register([define(name="called", schedule="@manual", handler="nothing")])
    database.reviewed()
    handlers = [] if number else ["benchmarks.handlers"]
    with server(folder, handlers=handlers) as ours, _working(folder, ours, number, 8):
        used = ours.cpu()
        figures = result_of("one_by_one", ours.address, "called", str(calls), folder=folder)
        return figures | {"CPU µs each": (ours.cpu() - used) / calls * 1e6}


def _idle(folder: Path, number: int, seconds: float) -> Figures:
    Database.file(folder).register([define(name="called", schedule="@manual", handler="nothing")])
    with server(folder, handlers=[]) as ours:
        time.sleep(SETTLES)
        alone = ours.resident()
        with peer("idle_workers", ours.address, str(number), folder=folder):
            time.sleep(SETTLES)
            used, began = ours.cpu(), time.monotonic()
            time.sleep(seconds)
            cores = (ours.cpu() - used) / (time.monotonic() - began)
            return {"cores": cores, "KB each": (ours.resident() - alone) * 1024 / number}


@contextmanager
def _working(folder: Path, ours: Process, number: int, slots: int) -> Iterator[list[Process]]:
    """Within this context that many workers have registered."""
    command = [COMMAND, "worker", "benchmarks.handlers", "--server", ours.address, "--slots", str(slots)]
    with ExitStack() as stack:
        started = [stack.enter_context(launched(command, folder)) for _ in range(number)]
        for each in started:
            each.until_written(r"offering:")
        yield [Process(pid=each.process.pid, address=ours.address) for each in started]


WORKERS = Measure(
    name="workers",
    sides=workers,
    headlines=(
        Headline(says="through 4 workers, executions/s", figure="4 workers: executions/s", goal=">= 1,000"),
        Headline(says="through 4 workers, CPU µs each", figure="4 workers: CPU µs each", goal="<= 500"),
        Headline(
            says="through 4 workers, times the embedded engine's CPU",
            figure="4 workers: CPU µs each",
            over="embedded: CPU µs each",
        ),
        Headline(says="one slot, CPU µs each", figure="one slot: CPU µs each", goal="<= 900"),
        Headline(says="one by one, p50 ms", figure="worker one by one: p50 ms", goal="<= embedded + 5"),
        Headline(says="embedded one by one, p50 ms", figure="embedded one by one: p50 ms"),
        Headline(says="one by one, p99 ms", figure="worker one by one: p99 ms", goal="<= embedded + 25"),
        Headline(says="embedded one by one, p99 ms", figure="embedded one by one: p99 ms"),
        Headline(says="idle workers, cores", figure="idle: cores", goal="<= 0.01"),
        Headline(says="idle workers, KB each", figure="idle: KB each", goal="<= 60"),
    ),
)
