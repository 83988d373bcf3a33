"""The failures of a day, those alike together."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from schedule_grpc.domain.summary import DAY, FailureGroup, FailureGroups

SLACK = timedelta(minutes=10)
"""How much of the day may not be counted yet without a word."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FailureRow:
    """Failures of one task that look alike."""

    id: str
    task: str
    kind: str
    error: str
    count: int
    first: datetime
    last: datetime
    last_id: str
    hours: tuple[float, ...]
    """The failures of each of 24 hours, the oldest first, each from 0 to 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FailuresView:
    """The page of failures."""

    rows: tuple[FailureRow, ...]
    count: int
    more: int
    """Failures, of these, that look like none of the rows."""
    tasks: tuple[str, ...]
    complete_from: datetime | None
    """Earlier ones are not counted; None: all are."""


def failures_view(found: FailureGroups, now: datetime) -> FailuresView:
    """Return the page of failures."""
    rows = tuple(map(_row, found.groups))
    return FailuresView(
        rows=rows,
        count=sum(row.count for row in rows) + found.more_count,
        more=found.more_count,
        tasks=tuple(dict.fromkeys(row.task for row in rows)),
        complete_from=found.complete_from if found.complete_from > now - DAY + SLACK else None,
    )


def _row(group: FailureGroup) -> FailureRow:
    most = max(group.hours, default=0) or 1
    return FailureRow(
        id=f"f-{group.last_id}",
        task=group.task_name,
        kind=(group.failure_kind.value if group.failure_kind else "FAILED").replace("_", " ").lower(),
        error=group.error,
        count=group.count,
        first=group.first_time,
        last=group.last_time,
        last_id=group.last_id,
        hours=tuple(round(each / most, 2) for each in group.hours),
    )
