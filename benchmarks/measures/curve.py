"""The cost of an execution as the service grows."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from benchmarks.bursts import once, run_burst
from benchmarks.database import Database
from benchmarks.measure import Bench, Figures, Headline, Measure, Sides
from schedule_grpc.domain.task import define

REGISTERED, DUE = "registered", "due"
"""The two lines of the curve, by what grows."""


@contextmanager
def curve(bench: Bench) -> Iterator[Sides]:
    """CPU of an execution against the number of tasks, registered and due at once.

    As the measure `burst`, on the real server, in a full run from 1,000 to 1,000,000 registered and from 10 to 100,000
    due. Along "registered" 1,000 tasks are due and the others are not; along
    "due" all that are registered are due. The peer of each point is the first of its line: a flat line is the limit.
    `--plot FILE` draws both.
    """
    registered = bench.sized(
        "registered", full=(1_000, 10_000, 100_000, 1_000_000), quick=(1_000, 100_000), tiny=(20, 40)
    )
    due = bench.sized("due", full=(10, 100, 1_000, 10_000, 100_000), quick=(10, 1_000), tiny=(5, 10))
    at_once = bench.sized("due of registered", full=1_000, quick=500, tiny=5)
    sides = {f"{REGISTERED} {count}": partial(_point, bench, count, at_once) for count in registered}
    yield sides | {f"{DUE} {count}": partial(_point, bench, count, count) for count in due}


def _point(bench: Bench, registered: int, due: int) -> Figures:
    def make() -> Database:
        database = Database.file(bench.folder)
        if registered > due:
            database.register_many(define(name="idle", schedule="30 4 1 1 *", handler="nothing"), registered - due)
        return database

    return run_burst(make, due, bench.folder, fill=once(due))


CURVE = Measure(
    name="curve",
    sides=curve,
    headlines=(
        Headline(
            says="1,000,000 registered, times the CPU with 1,000",
            figure="registered 1000000: CPU µs each",
            over="registered 1000: CPU µs each",
        ),
        Headline(
            says="100,000 due at once, times the CPU with 1,000",
            figure="due 100000: CPU µs each",
            over="due 1000: CPU µs each",
        ),
    ),
    quick=False,
)
