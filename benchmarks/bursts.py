"""Tasks that are due at one instant, and servers that run them: from due to recorded."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.database import ENDED, LAST_END, Database
from benchmarks.measure import Figures
from benchmarks.processes import Process, server
from schedule_grpc.domain.task import define

LEADS = (1.5, 4.0, 12.0, 40.0, 120.0)
"""Seconds between filling the database and the instant; if the servers are not ready by then, the next number."""
LONGEST = 600.0
"""Seconds that a burst may take."""
_enough = [LEADS[0]]
"""Numbers of seconds that were enough before, the newest last."""
CALM = 0.3
"""Seconds before the instant by which the servers must be ready."""


class TooLate(Exception):
    """The instant passed before the servers were ready."""


def once(count: int) -> Callable[[Database, datetime], None]:
    """Return a function that fills a database with one-off tasks of one instant."""

    def fill(database: Database, due: datetime) -> None:
        database.register_many(define(name="due", schedule=due.isoformat(), handler="nothing"), count)

    return fill


def run_burst(
    make: Callable[[], Database],
    count: int,
    folder: Path,
    *,
    fill: Callable[[Database, datetime], None],
    servers: int = 1,
    database_cpu: Callable[[], float] | None = None,
) -> Figures:
    """Let real servers run what is due at one instant.

    Returns:
        Seconds from the instant to the last recorded end, and the CPU of the servers, each by execution.
    """
    for lead in [lead for lead in LEADS if lead >= _enough[-1]]:
        database = make()
        due = datetime.now(UTC) + timedelta(seconds=lead)
        fill(database, due)
        database.reviewed()  # as a server leaves it: its first start reviews all tasks once, in the background
        try:
            with _together(servers, folder, database.url) as processes:
                figures = _watched(database, due, count, processes, database_cpu)
                _enough.append(lead)
                return figures
        except TooLate:
            continue
    raise TooLate("the servers take too long to start")


def until_ended(database: Database, count: int, *, every: float) -> None:
    """Return once that many executions have ended.

    Raises:
        TimeoutError: if they do not.
    """
    ends = time.monotonic() + LONGEST
    while time.monotonic() < ends:
        time.sleep(every)  # an answer costs a database's server time, so ask seldom
        if database.row(ENDED)[0] >= count:
            return
    raise TimeoutError(f"not {count} executions within {LONGEST:.0f} s")


def seconds_to_last_end(database: Database, since: datetime) -> float:
    """Return how long after a moment the last execution ended, as the rows have it."""
    last = datetime.fromtimestamp(database.row(LAST_END)[0] / 1e6, UTC)
    return (last - since).total_seconds()


@contextmanager
def _together(servers: int, folder: Path, url: str) -> Iterator[Sequence[Process]]:
    with ExitStack() as stack:
        yield [stack.enter_context(server(folder, database=url)) for _ in range(servers)]


def _watched(
    database: Database,
    due: datetime,
    count: int,
    processes: Sequence[Process],
    database_cpu: Callable[[], float] | None,
) -> Figures:
    left = (due - datetime.now(UTC)).total_seconds() - CALM
    if left < 0:
        raise TooLate
    time.sleep(left)
    before, theirs = sum(process.cpu() for process in processes), database_cpu() if database_cpu else 0.0
    until_ended(database, count, every=0.5 if database.postgres else 0.1)
    used = sum(process.cpu() for process in processes) - before
    figures: dict[str, Any] = {"wall s": seconds_to_last_end(database, due), "CPU µs each": used / count * 1e6}
    if database_cpu:
        figures["database's CPU µs each"] = (database_cpu() - theirs) / count * 1e6
    return figures
