"""An idle server."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from benchmarks.database import Database
from benchmarks.measure import Bench, Figures, Headline, Measure, Sides
from benchmarks.processes import peer, server
from schedule_grpc.domain.task import define


@contextmanager
def idle(bench: Bench) -> Iterator[Sides]:
    """Servers with many tasks of which none is due: CPU and memory of doing nothing.

    A full run looks at the minute of the first retention round, which begins a minute after the start: "% of a core" is
    the process's CPU over that time, "RSS MB" its memory at the end. All servers stand beside each other, for they do
    next to nothing, with a bare grpc.aio server as the limit. Another server has reviewed the tasks before, as
    after any restart. A quick run looks at a few seconds before that round.
    """
    sizes = bench.sized("tasks", full=(1_000, 100_000, 1_000_000), quick=(1_000, 100_000), tiny=(10, 100))
    settle, seconds = bench.sized("seconds before and in", full=(50.0, 90.0), quick=(1.0, 4.0), tiny=(0.0, 0.1))
    (bench.folder / "answers.json").write_text("{}")
    for size in sizes:
        folder = bench.folder / str(size)
        folder.mkdir()
        database = Database.file(folder)
        database.register_many(define(name="idle", schedule="30 4 1 1 *", handler="nothing"), size)
        database.reviewed()
    taken: dict[str, Figures] = {}

    def take() -> None:
        with ExitStack() as stack:
            processes = {
                f"{size:,} tasks": stack.enter_context(server(bench.folder / str(size))) for size in sizes[::-1]
            } | {"bare grpc": stack.enter_context(peer("echo", "answers.json", folder=bench.folder))}
            time.sleep(settle)
            used = {name: process.cpu() for name, process in processes.items()}
            time.sleep(seconds)
            for name, process in processes.items():
                taken[name] = {
                    "% of a core": (process.cpu() - used[name]) / seconds * 100,
                    "RSS MB": process.resident(),
                }

    def side(name: str) -> Figures:
        if name not in taken:
            take()
        return taken.pop(name)

    yield {name: partial(side, name) for name in [*(f"{size:,} tasks" for size in sizes), "bare grpc"]}


IDLE = Measure(
    name="idle",
    sides=idle,
    headlines=(
        Headline(says="1,000 tasks, % of a core", figure="1,000 tasks: % of a core", goal="<= 0.5"),
        Headline(says="100,000 tasks, % of a core", figure="100,000 tasks: % of a core", goal="<= 0.5"),
        Headline(says="1,000,000 tasks, % of a core", figure="1,000,000 tasks: % of a core", goal="<= 0.5"),
        Headline(says="100,000 tasks, RSS MB", figure="100,000 tasks: RSS MB", goal="<= 120"),
        Headline(
            says="100,000 tasks, times the memory of a bare server",
            figure="100,000 tasks: RSS MB",
            over="bare grpc: RSS MB",
        ),
    ),
)
