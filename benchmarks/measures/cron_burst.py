"""10,000 different cron expressions that are due at one minute."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import combinations, islice, product

from benchmarks.bursts import seconds_to_last_end, until_ended
from benchmarks.database import Database
from benchmarks.measure import Bench, Figures, Headline, Measure, Sides
from benchmarks.processes import server
from schedule_grpc.domain.task import Definition, define


@contextmanager
def cron_burst(bench: Bench) -> Iterator[Sides]:
    """Cron expressions, each another one, that are due at one minute, beside one-off tasks of that minute.

    The server is started on tasks that came due while none ran, so that no round waits for a minute: both sides are
    started alike. "wall s" goes from the server's greeting to the last recorded end, "CPU µs each" is what the process
    uses from there on. Beside the burst, the ratio is the price of many schedules: each is parsed once, and its next
    run found.
    """
    count = bench.sized("tasks", full=10_000, quick=500, tiny=20)

    def overdue(made: str) -> Figures:
        minute = datetime.now(UTC).replace(second=0, microsecond=0)
        before = minute - timedelta(seconds=1)
        database = Database.file(bench.folder)
        if made == "once":
            database.register_many(define(name="due", schedule=minute.isoformat(), handler="nothing"), count, before)
        else:
            database.register(list(islice(different_crons(minute), count)), before)
        with server(bench.folder) as process:
            greeted, used = datetime.now(UTC), process.cpu()
            until_ended(database, count, every=0.1)
            return {
                "wall s": seconds_to_last_end(database, greeted),
                "CPU µs each": (process.cpu() - used) / count * 1e6,
            }

    yield {"cron": partial(overdue, "cron"), "once": partial(overdue, "once")}


def different_crons(minute: datetime) -> Iterator[Definition]:
    """Give tasks of cron expressions that are all due at a minute, some 40,000, no two alike."""
    others = [other for other in range(60) if other != minute.minute]
    hours = [f"{minute.hour},{hour}" for hour in range(24) if hour != minute.hour]
    for number, (hour, (first, second)) in enumerate(product(["*", *hours], combinations(others, 2))):
        yield define(
            name=f"cron-{number}", schedule=f"{minute.minute},{first},{second} {hour} * * *", handler="nothing"
        )


CRON_BURST = Measure(
    name="cron-burst",
    sides=cron_burst,
    headlines=(
        Headline(says="times the time of one-off tasks", figure="cron: wall s", over="once: wall s", goal="<= 1.5"),
        Headline(says="times their CPU", figure="cron: CPU µs each", over="once: CPU µs each"),
    ),
)
