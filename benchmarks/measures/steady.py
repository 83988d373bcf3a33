"""Executions at a steady rate."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from msgspec.structs import replace

from benchmarks.database import Database
from benchmarks.measure import Bench, Figures, Headline, Measure, Sides
from benchmarks.processes import result_of, server
from schedule_grpc.domain.planning import plan
from schedule_grpc.domain.policy import Policy
from schedule_grpc.domain.registration import registered
from schedule_grpc.domain.task import Definition, Task, define
from schedule_grpc.runtime.clock import from_micros, to_micros

STARTED = """
SELECT task_uid, scheduled_time, start_time FROM task_executions
WHERE scheduled_time >= {begin} AND scheduled_time < {end} AND start_time IS NOT NULL
"""
BEFORE, AFTER = timedelta(seconds=0.5), timedelta(seconds=1)
NEVER = 3600.0
"""Seconds that stand for the lateness of an occurrence without a start: it shows."""


@contextmanager
def steady(bench: Bench) -> Iterator[Sides]:
    """Executions at a steady rate: how late they start, and what they cost.

    Tasks of every ten seconds (in a full run), ten times as many as the rate, all with the same occurrences, which a
    jitter of nine seconds spreads: a share of them each second. An occurrence is late by what lies between the instant
    at which its jitter lets it start and its start as recorded, over a whole number of periods; one that did not start
    within a second after the last period counts as an hour late.
    "cores" is the CPU of the server's process by time. Beside it, in turn, asyncio's own timers of the same rate in a
    bare process: no Python server starts anything earlier than they do.
    """
    spread = Spread(
        every=bench.sized("seconds between occurrences", full=10, quick=4, tiny=2),
        periods=bench.sized("periods", full=6, quick=1, tiny=1),
    )
    rates = bench.sized("rates", full=(200, 1_000), quick=(200,), tiny=(2,))
    seconds = bench.sized("seconds of timers", full=10, quick=3, tiny=1)
    sides: dict[str, Callable[[], Figures]] = {}
    for rate in rates:
        sides[f"{rate}/s"] = partial(_served, bench, rate, spread)
        sides[f"{rate}/s timers"] = partial(result_of, "peers.timers", str(rate), str(seconds), folder=bench.folder)
    yield sides


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Tasks of an interval that are spread over it, but for its last second."""

    every: int
    """Seconds between two occurrences."""
    periods: int
    """How many of them are looked at."""

    @property
    def seconds(self) -> int:
        """How long that takes."""
        return self.every * self.periods

    @property
    def definition(self) -> Definition:
        """One of the tasks."""
        policy = Policy(jitter=timedelta(seconds=self.every - 1))
        return define(name="spread", schedule=f"every {self.every} seconds", handler="nothing", policy=policy)

    def next_period(self, after: datetime) -> datetime:
        """Return when the next period begins."""
        found = self.definition.next_after(after)
        assert found is not None
        return found


def _served(bench: Bench, rate: int, spread: Spread) -> Figures:
    database = Database.file(bench.folder)
    database.register_many(spread.definition, rate * spread.every)
    database.reviewed()
    with server(bench.folder) as process:
        first = spread.next_period(datetime.now(UTC) + timedelta(seconds=1))
        # Copies of one task are fired together in their first period; the second one is to be calm again.
        begin = spread.next_period(spread.next_period(first))
        end = begin + timedelta(seconds=spread.seconds)
        _sleep_until(begin - BEFORE)
        used = process.cpu()
        _sleep_until(end - BEFORE)
        cores = (process.cpu() - used) / spread.seconds
        _sleep_until(end + AFTER)
    known = registered(None, spread.definition, enabled=None, now=begin).after
    late = sorted(_lateness(database, known, begin, end))
    missing = rate * spread.seconds - len(late)
    late += [NEVER] * missing
    return {
        "p50 ms late": late[len(late) // 2] * 1e3,
        "p99 ms late": late[int(len(late) * 0.99)] * 1e3,
        "max ms late": late[-1] * 1e3,
        "cores": cores,
        "not started": missing,
    }


def _lateness(database: Database, known: Task, begin: datetime, end: datetime) -> Iterator[float]:
    """Give the seconds by which each occurrence of the periods started late, its jitter as the service plans it."""
    sql = STARTED.format(begin=to_micros(begin), end=to_micros(end))
    for uid, at, started in database.rows(sql):
        scheduled = from_micros(at)
        task = replace(known, uid=uid, settled_time=scheduled - BEFORE)
        [execution] = plan(task, scheduled).executions
        yield (from_micros(started) - execution.available_time).total_seconds()


def _sleep_until(when: datetime) -> None:
    time.sleep(max((when - datetime.now(UTC)).total_seconds(), 0))


STEADY = Measure(
    name="steady",
    sides=steady,
    headlines=(
        Headline(says="200/s, p99 ms late", figure="200/s: p99 ms late", goal="<= 25"),
        Headline(says="200/s, cores", figure="200/s: cores", goal="<= 0.15"),
        Headline(
            says="200/s, times the p99 of bare timers", figure="200/s: p99 ms late", over="200/s timers: p99 ms late"
        ),
        Headline(says="1,000/s, p99 ms late", figure="1000/s: p99 ms late", goal="<= 25"),
        Headline(says="1,000/s, cores", figure="1000/s: cores", goal="<= 0.5"),
        Headline(
            says="1,000/s, times the p99 of bare timers",
            figure="1000/s: p99 ms late",
            over="1000/s timers: p99 ms late",
        ),
    ),
)
