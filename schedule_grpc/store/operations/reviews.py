"""Operations of the review: a server that starts corrects tasks that other programs wrote.

These may have been older or newer, or had other tz data.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from schedule_grpc.database import Operation
from schedule_grpc.domain.condition import UNREADABLE, Condition
from schedule_grpc.domain.planning import Firing, replanned
from schedule_grpc.domain.task import Task
from schedule_grpc.events import Event
from schedule_grpc.runtime.clock import to_micros
from schedule_grpc.store.operations.alerts import note_conditions, note_unreadable
from schedule_grpc.store.operations.tasks import move_next_runs
from schedule_grpc.store.queries import QUERIES
from schedule_grpc.store.rows import tasks_in
from schedule_grpc.store.with_events import WithEvents

log = structlog.get_logger(__name__)


MARK = "review"


@dataclass(frozen=True, kw_only=True, slots=True)
class Review:
    """The findings of a review of some tasks, and the uid after which others follow, None if none do."""

    moves: tuple[Firing, ...]
    """Next runs that were computed by other zone rules: each is moved to its time by the present ones."""
    unreadable: tuple[Task, ...]
    """Tasks that this program cannot read in full, and that have no alert yet."""
    readable: tuple[Task, ...]
    """Tasks with an alert that this program can read again."""
    after: str | None

    @property
    def finds_nothing(self) -> bool:
        """Whether there is nothing to write."""
        return not (self.moves or self.unreadable or self.readable)


def review(after: str, limit: int) -> Operation[Review]:
    """Look at the next ``limit`` tasks."""
    rows = yield QUERIES.tasks_after, {"after": after, "limit": limit}
    last = rows[-1]["uid"] if rows else ""
    alerts = yield QUERIES.alerts_that_hold, {"after": after, "last": last, "key": UNREADABLE}
    alerted = {row["task_uid"] for row in alerts}
    return _reviewed(tasks_in(rows), alerted, after=last if len(rows) == limit else None)


def review_alerted() -> Operation[Review]:
    """Look at the tasks that could not be read."""
    rows = yield QUERIES.tasks_alerted, {"key": UNREADABLE}
    return _reviewed(tasks_in(rows), {row["uid"] for row in rows}, after=None)


def reviewed_by() -> Operation[str]:
    """Read which program last reviewed all tasks."""
    rows = yield QUERIES.upkeep_mark, {"name": MARK}
    return rows[0]["word"] if rows else ""


def note_reviewed(by: str, now: datetime) -> Operation[WithEvents[None]]:
    """Note which program reviewed all tasks."""
    yield QUERIES.note_upkeep, {"name": MARK, "instant": to_micros(now), "word": by}
    return None, ()


def correct_tasks(found: Review, now: datetime) -> Operation[WithEvents[None]]:
    """Write the corrections of a review."""
    events = yield from move_next_runs(found.moves)
    events += yield from _readable(found.readable, now)
    _, noted = yield from note_unreadable(found.unreadable, now)
    return None, [*events, *noted]


def _reviewed(tasks: Sequence[Task], alerted: Collection[str], after: str | None) -> Review:
    living = [task for task in tasks if task.delete_time is None]
    return Review(
        moves=tuple(move for task in living if (move := _move(task)) is not None),
        unreadable=tuple(task for task in living if task.trouble and task.uid not in alerted),
        readable=tuple(task for task in living if not task.trouble and task.uid in alerted),
        after=after,
    )


def _move(task: Task) -> Firing | None:
    try:
        return replanned(task)
    except Exception:  # one task that cannot be planned must not keep a server from starting
        log.exception("task.cannot_be_planned", task=task.name)
        return None


def _readable(tasks: Sequence[Task], now: datetime) -> Operation[list[Event]]:
    events: list[Event] = []
    for task in tasks:
        over = Condition(key=UNREADABLE, over=True)
        events += yield from note_conditions(task.uid, task.key, (over,), now)
    return events
