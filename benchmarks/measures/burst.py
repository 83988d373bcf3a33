"""10,000 tasks that are due at one instant."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from benchmarks.bursts import once, run_burst
from benchmarks.database import Database
from benchmarks.measure import Bench, Figures, Headline, Measure, Sides
from benchmarks.processes import result_of


@contextmanager
def burst(bench: Bench) -> Iterator[Sides]:
    """Tasks due at one instant, until every execution is recorded.

    "wall s" goes from the instant to the last recorded end; "CPU µs each" is what the process uses meanwhile, by
    execution. The handler returns at once. Four sides, each a process of its own on a file of its own on one disk:

    server: the real server process on SQLite (synchronous=FULL), log at info into a file.
    engine: the engine and the store alone, without gRPC, log lines, metrics and alerts.
    apscheduler: APScheduler 3.11 with its SQLAlchemyJobStore on SQLite and its thread pool, as its documentation sets
        it up: date jobs of the same instant, until the last one ran and the job store is empty. Its SQLite is at
        synchronous=FULL as well. It does less: it keeps no history, and a kill loses what waits in its pool.
    plain: the statements alone, in sets of 500, one commit each, on the service's own schema: move the task on, insert
        the execution, end it, count it. It is the limit: no engine, no handlers.
    """
    count = bench.sized("tasks", full=10_000, quick=500, tiny=20)
    make = partial(Database.file, bench.folder)

    def engine() -> Figures:
        database = make()
        return result_of("engine_alone", str(database.path), str(count), folder=bench.folder)

    def plain() -> Figures:
        return result_of("peers.plain_sqlite", str(make().path), str(count), folder=bench.folder)

    sides: dict[str, Callable[[], Figures]] = {
        "server": lambda: run_burst(make, count, bench.folder, fill=once(count)),
        "engine": engine,
        "plain": plain,
    }
    if bench.peers is not None:
        arguments = ("peers.apscheduler_burst", str(bench.folder / "jobs.db"), str(count))
        sides["apscheduler"] = partial(result_of, *arguments, folder=bench.folder, python=bench.peers)
    yield sides


BURST = Measure(
    name="burst",
    sides=burst,
    headlines=(
        Headline(says="times as fast as APScheduler", figure="apscheduler: wall s", over="server: wall s", goal=">= 8"),
        Headline(says="times the CPU of the plain statements", figure="server: CPU µs each", over="plain: CPU µs each"),
        Headline(says="server, CPU µs each", figure="server: CPU µs each", goal="<= 350"),
        Headline(says="engine alone, CPU µs each", figure="engine: CPU µs each", goal="<= 280"),
    ),
)
