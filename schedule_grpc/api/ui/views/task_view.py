"""One task, as its page shows it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from schedule_grpc.api.ui.views.execution_view import Document, document
from schedule_grpc.api.ui.views.words import SECOND, TONES, duration_text, run_length, zone_of
from schedule_grpc.domain.durations import written
from schedule_grpc.domain.execution import Execution
from schedule_grpc.domain.policy import DEFAULT
from schedule_grpc.domain.task import Task

NEXT = 5
"""Coming occurrences that the page lists."""
ENOUGH = 3
"""Executions without which a chart shows nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PolicyRow:
    """A policy of a task."""

    name: str
    value: str
    is_default: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Dot:
    """An execution in a chart; both places are from 0 to 1, from the left and from the bottom."""

    x: float
    y: float
    tone: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """How long, or how late, executions were; the scale is logarithmic."""

    dots: tuple[Dot, ...]
    median: str
    high: str
    """The 95th percentile."""
    top: str
    bottom: str
    line: float | None = None
    """Where a line stands, such as the timeout; None: out of the chart."""
    line_text: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskView:
    """A task."""

    name: str
    handler: str
    schedule: str
    english: str
    zone: str
    time_zone: str
    description: str
    category: str
    enabled: bool
    note: str
    trouble: str
    no_worker: bool
    failures: int
    success_count: int
    failure_count: int
    last_success: datetime | None
    last_failure: datetime | None
    next_times: tuple[datetime, ...]
    policies: tuple[PolicyRow, ...]
    payload: Document | None
    metadata: Document | None
    created: datetime
    updated: datetime
    changed_by: str
    etag: str
    managed_by: str
    """What declares the task, by its metadata; empty: nothing does."""


def task_view(task: Task) -> TaskView:
    """Return a task as its page shows it."""
    definition, stats = task.definition, task.stats
    managed = definition.metadata.get("managed_by", "")
    return TaskView(
        name=task.name,
        handler=task.handler,
        schedule=task.schedule.text,
        english=task.schedule.description,
        zone=zone_of(task.schedule.time_zone),
        time_zone=task.schedule.time_zone,
        description=definition.effective_description(),
        category=definition.category,
        enabled=task.enabled,
        note=task.note,
        trouble=task.trouble,
        no_worker=task.no_worker,
        failures=stats.consecutive_failures,
        success_count=stats.success_count,
        failure_count=stats.failure_count,
        last_success=stats.last_success_time,
        last_failure=stats.last_failure_time,
        next_times=task.next_run_times(NEXT),
        policies=policy_rows(task),
        payload=document(definition.payload) if definition.payload else None,
        metadata=document(definition.metadata) if definition.metadata else None,
        created=task.create_time,
        updated=task.update_time,
        changed_by=task.changed_by,
        etag=task.etag,
        managed_by=managed if isinstance(managed, str) else "",
    )


def policy_rows(task: Task) -> tuple[PolicyRow, ...]:
    """Return the policies of a task, each with whether it is the default."""
    defaults = DEFAULT.fields()
    return tuple(
        PolicyRow(name=path, value=_policy_text(value), is_default=value == defaults[path])
        for path, value in task.policy.fields().items()
    )


def duration_chart(executions: Sequence[Execution], timeout: timedelta) -> Chart | None:
    """Return how long executions took, newest first as given; None: too few of them ran."""
    lengths = [(each, length / SECOND) for each in executions if (length := run_length(each)) is not None]
    return _chart(lengths, line=timeout / SECOND, line_text=f"timeout {duration_text(timeout)}")


def lateness_chart(executions: Sequence[Execution]) -> Chart | None:
    """Return how long after their scheduled times executions started; None: too few did."""
    return _chart([(each, late / SECOND) for each in executions if (late := each.lateness) is not None])


def _chart(found: Sequence[tuple[Execution, float]], line: float = 0.0, line_text: str = "") -> Chart | None:
    if len(found) < ENOUGH:
        return None
    values = sorted(max(value, 0.001) for _, value in found)
    low, high = values[0] / 2, max(values[-1] * 2, values[0] * 10)
    scale = Scale(low, high)
    newest_last = list(reversed(found))
    dots = tuple(
        Dot(x=round((place + 0.5) / len(found), 4), y=scale.place(value), tone=TONES[each.state])
        for place, (each, value) in enumerate(newest_last)
    )
    return Chart(
        dots=dots,
        median=_seconds(values[len(values) // 2]),
        high=_seconds(values[min(len(values) * 95 // 100, len(values) - 1)]),
        top=_seconds(high),
        bottom=_seconds(low),
        line=scale.place(line) if low < line < high else None,
        line_text=line_text,
    )


@dataclass(frozen=True, slots=True)
class Scale:
    """A logarithmic scale between two positive numbers."""

    low: float
    high: float

    def place(self, value: float) -> float:
        """Return where a value is, from 0 to 1."""
        bounded = min(max(value, self.low), self.high)
        return round(math.log(bounded / self.low) / math.log(self.high / self.low), 4)


def _seconds(value: float) -> str:
    return duration_text(timedelta(seconds=value))


def _policy_text(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, timedelta):
        return written(value)
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return f"{value:g}" if isinstance(value, float) else str(value)
