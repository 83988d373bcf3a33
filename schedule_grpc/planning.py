"""What is due, and what to write for it. Pure: the store writes a plan only if nothing changed since it was made."""

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import uuid4

from schedule_grpc.errors import InvalidArgument
from schedule_grpc.execution import ON_TIME, CoveredRange, Execution, Reason, Trigger, planned, skipped
from schedule_grpc.task import Definition, Task


@dataclass(frozen=True, kw_only=True, slots=True)
class Firing:
    """Everything of one task that is due at one look.

    Held to the task as it was read: it is written only while (uid, revision, next_run_time) still stand.
    """

    task: Task
    settled_time: datetime
    next_run_time: datetime | None
    executions: tuple[Execution, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskChange:
    """A task as it was read (None: there was none) and as it shall be, with what was due until then."""

    before: Task | None
    after: Task
    settlement: Firing | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Registration:
    """What RegisterTask asks for, beyond the definition itself."""

    definition: Definition
    enabled: bool | None = None
    validate_only: bool = False
    etag: str = ""
    allow_unknown_handler: bool = False


def plan(task: Task, now: datetime) -> Firing:
    """Return the firing of everything that is due after the task's settled time, up to ``now``.

    Catch-up LATEST: one execution stands for the newest occurrence and covers the older ones.
    """
    due = task.schedule.due(task.settled_time, now, newest=2)
    executions: tuple[Execution, ...] = ()
    if due.newest:
        newest = due.newest[-1]
        covers = None
        if due.count > 1 and due.oldest is not None:
            covers = CoveredRange(from_time=due.oldest, to_time=due.newest[-2], count=due.count - 1, exact=due.exact)
        on_time = covers is None or now - newest <= ON_TIME
        trigger = Trigger.SCHEDULE if on_time else Trigger.CATCH_UP
        executions = (planned(task, trigger=trigger, now=now, scheduled_time=newest, covers=covers),)
    settled_time = max(task.settled_time, now)
    return Firing(
        task=task,
        settled_time=settled_time,
        next_run_time=task.schedule.next_after(settled_time),
        executions=executions,
    )


def registration(before: Task | None, definition: Definition, *, enabled: bool | None, now: datetime) -> TaskChange:
    """Return the change that makes ``definition`` the task's, or one whose sides are equal if nothing changes.

    Args:
        before: The task of that name, if there is one.
        definition: What it shall be.
        enabled: Whether it shall fire; None keeps an operator's pause, and enables a new task.
        now: From when a new or changed schedule counts.

    Raises:
        InvalidArgument: if a new or changed schedule has no occurrence left.
    """
    if before is None:
        fresh = Task(
            definition=definition,
            uid=uuid4().hex,
            revision=1,
            enabled=enabled is not False,
            create_time=now,
            update_time=now,
            settled_time=now,
        )
        return TaskChange(before=None, after=_counting_from(fresh, now, schedule_is_new=True))
    chosen = before.enabled if enabled is None else enabled
    if before.definition == definition and before.enabled == chosen:
        return TaskChange(before=before, after=before)
    return _changed(before, replace(before, definition=definition, enabled=chosen), now)


def switching(before: Task, *, enabled: bool, note: str, now: datetime) -> TaskChange:
    """Return the change that enables or disables a task, or one whose sides are equal if it is so already."""
    if before.enabled == enabled and (enabled or note in ("", before.note)):
        return TaskChange(before=before, after=before)
    return _changed(before, replace(before, enabled=enabled, note="" if enabled else note), now)


def _changed(before: Task, wanted: Task, now: datetime) -> TaskChange:
    after = replace(wanted, revision=before.revision + 1, update_time=now, note="" if wanted.enabled else wanted.note)
    schedule_is_new = before.schedule != after.schedule
    if not schedule_is_new and before.enabled == after.enabled:
        return TaskChange(before=before, after=after)
    return TaskChange(
        before=before,
        after=_counting_from(after, now, schedule_is_new=schedule_is_new),
        settlement=_settlement(before, now, disabled=not after.enabled),
    )


def _counting_from(task: Task, now: datetime, *, schedule_is_new: bool) -> Task:
    # What was settled under this very schedule stays settled, though the clock may have been set back since.
    settled_time = now if schedule_is_new else max(task.settled_time, now)
    next_run_time = task.schedule.next_after(settled_time)
    if schedule_is_new and task.schedule.is_once and next_run_time is None:
        raise InvalidArgument.of("schedule", f"{task.schedule.text} lies in the past")
    return replace(task, settled_time=settled_time, next_run_time=next_run_time if task.enabled else None)


def _settlement(before: Task, now: datetime, *, disabled: bool) -> Firing | None:
    """Return what was due under the old definition; disabling skips it at once, for it could not start any more."""
    if before.next_run_time is None or before.next_run_time > now:
        return None
    firing = plan(before, now)
    if not disabled:
        return firing
    executions = tuple(skipped(execution, Reason.TASK_DISABLED, now) for execution in firing.executions)
    return replace(firing, executions=executions)
