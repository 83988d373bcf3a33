"""BatchRegisterTasks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from benchmarks.database import Database
from benchmarks.measure import Bench, Figures, Headline, Measure, Sides
from benchmarks.processes import result_of, server


@contextmanager
def batch(bench: Bench) -> Iterator[Sides]:
    """BatchRegisterTasks of new tasks, 1,000 in a call, one call after the other, beside APScheduler's add_job.

    Each task has one of some 40,000 cron expressions, a time zone, a payload and a description, and is on disk once the
    call returns. "CPU µs each" is that of the server's process; requests are made beforehand. The peer adds cron jobs
    to its job store on SQLite, one by one, for it has no batch, each with its payload; fewer, for they take it long.
    """
    ours = bench.sized("tasks", full=100_000, quick=2_000, tiny=20)
    theirs = bench.sized("jobs of APScheduler", full=2_000, quick=200, tiny=5)

    def registered() -> Figures:
        Database.file(bench.folder)
        with server(bench.folder) as process:
            used = process.cpu()
            figures = result_of("register", process.address, str(ours), folder=bench.folder)
            return figures | {"CPU µs each": (process.cpu() - used) / ours * 1e6}

    sides: dict[str, Callable[[], Figures]] = {"server": registered}
    if bench.peers is not None:
        arguments = ("peers.apscheduler_add", str(bench.folder / "jobs.db"), str(theirs))
        sides["apscheduler"] = partial(result_of, *arguments, folder=bench.folder, python=bench.peers)
    yield sides


BATCH = Measure(
    name="batch",
    sides=batch,
    headlines=(
        Headline(
            says="times the rate of APScheduler's add_job",
            figure="server: tasks/s",
            over="apscheduler: tasks/s",
            goal=">= 12",
        ),
        Headline(says="server, CPU µs each", figure="server: CPU µs each"),
    ),
)
