"""Tasks as rows of the list of tasks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from schedule_grpc.api.ui.views.words import TONES, Look, duration_text, strip_of, zone_of
from schedule_grpc.domain.execution import State
from schedule_grpc.domain.listing import LastOutcome, RunMark
from schedule_grpc.domain.task import Task


@dataclass(frozen=True, kw_only=True, slots=True)
class LastRun:
    """How the newest execution of a task that ended did so."""

    id: str
    look: Look
    time: datetime
    took: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskRow:
    """A task in the list."""

    name: str
    schedule: str
    english: str
    zone: str
    handler: str
    enabled: bool
    note: str
    trouble: str
    no_worker: bool
    next_time: datetime | None
    is_overdue: bool
    running: int
    waiting: int
    failures: int
    last: LastRun | None
    strip: str
    strip_text: str
    """The strip in words, for those who do not see it."""


def task_row(task: Task, marks: Sequence[RunMark], now: datetime) -> TaskRow:
    """Return a task as a row."""
    activity = task.activity
    return TaskRow(
        name=task.name,
        schedule=task.schedule.text,
        english=task.schedule.description,
        zone=zone_of(task.schedule.time_zone),
        handler=task.handler,
        enabled=task.enabled,
        note=task.note,
        trouble=task.trouble,
        no_worker=task.no_worker,
        next_time=task.next_run_time,
        is_overdue=task.is_overdue(now),
        running=activity.running if activity else 0,
        waiting=activity.waiting if activity else 0,
        failures=task.stats.consecutive_failures,
        last=_last(activity.last) if activity and activity.last else None,
        strip=strip_of(marks),
        strip_text=strip_words(marks),
    )


def task_rows(tasks: Sequence[Task], strips: Mapping[str, Sequence[RunMark]], now: datetime) -> tuple[TaskRow, ...]:
    """Return tasks as rows, each with the strip of its newest executions."""
    return tuple(task_row(task, strips.get(task.uid, ()), now) for task in tasks)


def strip_words(marks: Sequence[RunMark]) -> str:
    """Return a strip in words: how many of the executions ended how."""
    if not marks:
        return "never ran"
    counted = [(state, sum(mark.state is state for mark in marks)) for state in State]
    return f"last {len(marks)}: " + ", ".join(f"{count} {state.value.lower()}" for state, count in counted if count)


def _last(outcome: LastOutcome) -> LastRun:
    detail = outcome.reason or outcome.failure_kind or ""
    look = Look(tone=TONES[outcome.state], word=outcome.state.value.capitalize(), detail=str(detail))
    ran = outcome.start_time is not None
    return LastRun(
        id=outcome.execution_id,
        look=look,
        time=outcome.end_time,
        took=duration_text(outcome.duration) if ran else "",
    )
