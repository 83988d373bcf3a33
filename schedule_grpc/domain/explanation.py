"""Why a task did not run, or ran late: each due occurrence beside its row, or beside the reason that there is none."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from schedule_grpc.domain.access.audit import AuditEvent
from schedule_grpc.domain.durations import brief
from schedule_grpc.domain.execution import Execution, Gate, State, Trigger
from schedule_grpc.domain.finding import Finding
from schedule_grpc.domain.policy import Overlap
from schedule_grpc.domain.states import WHY_IT_NEVER_RAN
from schedule_grpc.domain.task import Task
from schedule_grpc.text.instants import time_shown

MOST_EXPLAINED = 500
"""Occurrences that one call explains, at most."""
PROMPT = timedelta(seconds=1)
"""How much later than it may start an execution counts as on time."""
HANDED_ON = timedelta(seconds=2)
"""An execution that starts so soon after the end of another one of its task waited for that one."""
LONGEST_LINE = 200
_SWITCHES = frozenset({"EnableTask", "DisableTask"})
_WHEN = frozenset({"schedule", "time_zone", "policy", "policy.window"})
"""The fields of a definition that decide when it is due."""


class Cause(StrEnum):
    """What became of an occurrence."""

    ON_TIME = "ON_TIME"
    LATE = "LATE"
    """It ran, later than it should have."""
    RUNNING = "RUNNING"
    WAITING = "WAITING"
    """It is recorded, or due, and has not started."""
    COVERED = "COVERED"
    """The row of a later one stands for it: the task's policy is to catch up with the latest only."""
    SKIPPED = "SKIPPED"
    MISSED = "MISSED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    DISABLED = "DISABLED"
    """The task was disabled then."""
    NOT_DEFINED = "NOT_DEFINED"
    """The task was not there then, or another definition was in force: it may not have been due."""
    NOT_DUE = "NOT_DUE"
    """It is yet to come."""
    REMOVED = "REMOVED"
    """Retention has removed its row."""
    LOST = "LOST"
    """Nothing explains that it has no row: a fault of the service."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Explained:
    """One occurrence, and what became of it."""

    scheduled_time: datetime
    cause: Cause
    text: str
    """In English."""
    execution: Execution | None = None
    late: timedelta | None = None
    """From the scheduled time to the first start; None if it never started."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DefinitionChange:
    """A change of the task, by the audit log."""

    time: datetime
    method: str
    by: str
    changed: tuple[str, ...]
    """The names of the fields; empty: all, or none but whether it is enabled."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """Why a task ran, or did not, in [start_time, end_time]."""

    task: Task
    start_time: datetime
    end_time: datetime
    occurrences: tuple[Explained, ...] = ()
    """The oldest first."""
    is_cut: bool = False
    """Whether there are more, older ones, than one call explains."""
    note: str = ""
    """If a single instant was asked for at which the task is not due: that, and when it is."""
    changes: tuple[DefinitionChange, ...] = ()
    """The newest first, since the beginning of the range; none where nothing is audited."""
    findings: tuple[Finding, ...] = ()
    """What `doctor` says of the task as it is now."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Records:
    """What is stored of a task's occurrences in a range, and of the task since its beginning."""

    executions: Sequence[Execution] = ()
    pruned_time: datetime | None = None
    """Up to which occurrence retention has removed rows; None: it has removed none."""
    changes: Sequence[AuditEvent] = ()
    """The changes of the task, the newest first."""


@dataclass(slots=True)
class Explainer:
    """Explains the occurrences of one task."""

    task: Task
    records: Records
    now: datetime
    offered: bool = True
    _rows: Mapping[datetime, Execution] = field(init=False)

    def __post_init__(self) -> None:
        """Find the row of each occurrence: one that ran, if there are two."""
        rows: dict[datetime, Execution] = {}
        for each in self.records.executions:
            if each.scheduled_time is not None:
                known = rows.get(each.scheduled_time)
                if known is None or known.reason is not None:
                    rows[each.scheduled_time] = each
        self._rows = rows

    def explained(self, due: Iterable[datetime], since: datetime, until: datetime) -> list[Explained]:
        """Return what became of occurrences, and of rows in [since, until] of occurrences that are due no longer."""
        recorded = (time for time in self._rows if since <= time <= until)
        return [self.explain(time) for time in sorted({*due, *recorded})]

    def explain(self, time: datetime) -> Explained:
        """Return what became of one occurrence."""
        row = self._rows.get(time)
        if row is not None:
            return self._by_row(time, row)
        for each in self.records.executions:
            covers = each.covers
            if covers is not None and covers.from_time <= time <= covers.to_time:
                return self._by_covering_row(time, each)
        return self._without_row(time)

    # -- with a row

    def _by_row(self, time: datetime, row: Execution) -> Explained:
        late = self._lateness(time, row)
        match row.state:
            case State.SKIPPED | State.MISSED:
                cause, text = Cause(row.state.value), _never_ran(row)
            case State.PENDING:
                cause, text = Cause.WAITING, self._awaited(row)
            case State.CANCELLED:
                note = f": {row.cancel_note}" if row.cancel_note else ""
                cause, text = Cause.CANCELLED, f"cancelled {time_shown(row.end_time)}{note}"
            case State.RUNNING:
                cause, text = Cause.RUNNING, f"runs since {time_shown(row.start_time)}{late}"
            case State.FAILED:
                cause, text = Cause.FAILED, f"{_failure(row)}{late}"
            case _ if late:
                cause, text = Cause.LATE, f"ran{late}"
            case _:
                cause, text = Cause.ON_TIME, "ran on time"
        return self._of(time, cause, text, row)

    def _by_covering_row(self, time: datetime, row: Execution) -> Explained:
        """Return what became of an occurrence that a later one's row accounts for: its run, or that there was none."""
        if row.state in (State.SKIPPED, State.MISSED):
            text = f"{_never_ran(row)}; the row for {time_shown(row.scheduled_time)} accounts for it"
            return self._of(time, Cause(row.state.value), text, row)
        return self._of(time, Cause.COVERED, f"the run for {time_shown(row.scheduled_time)} stands for it", row)

    def _lateness(self, time: datetime, row: Execution) -> str:
        """Return how late a row started, and why; empty if it did not start late."""
        start = row.start_time
        allowed = time + self.task.policy.jitter + PROMPT
        if start is None or start <= allowed:
            return ""
        late = f", {brief(start - time)} late: "
        if row.trigger is Trigger.BACKFILL:
            by = f" by {row.triggered_by}" if row.triggered_by else ""
            return f"{late}it was backfilled {time_shown(row.create_time)}{by}"
        if row.create_time > allowed:
            return f"{late}no server fired it before {time_shown(row.create_time)} (stopped, or its loop was behind)"
        before = self._handed_on(row, start)
        if before is not None:
            return f"{late}it waited for the run of {time_shown(before.scheduled_time or before.create_time)} to end"
        others = "" if self.task.policy.overlap is Overlap.ALLOW_ALL else ", or for another run of the task"
        return f"{late}it waited for a free slot or a worker{others}"

    def _handed_on(self, row: Execution, start: datetime) -> Execution | None:
        """Return the execution of the task whose end let this one start."""
        for each in self.records.executions:
            end = each.end_time
            ended_then = end is not None and row.create_time < end and timedelta(0) <= start - end <= HANDED_ON
            if ended_then and each.id != row.id and each.start_time is not None:
                return each
        return None

    def _awaited(self, row: Execution) -> str:
        if row.gate is Gate.WAITING:
            return "waits for an earlier run of the task to end"
        if row.available_time > self.now:
            why = "until its retry" if row.start_time is not None else "until it may start"
            return f"waits {why} at {time_shown(row.available_time)}"
        if not self.offered:
            return f"waits: no server and no worker offers {row.handler}"
        return "waits for a free slot or a worker"

    # -- without a row

    def _without_row(self, time: datetime) -> Explained:
        task, pruned = self.task, self.records.pruned_time
        if time < task.create_time:
            return self._of(time, Cause.NOT_DEFINED, f"the task was created {time_shown(task.create_time)}")
        if task.delete_time is not None and time >= task.delete_time:
            return self._of(time, Cause.NOT_DEFINED, f"the task was deleted {time_shown(task.delete_time)}")
        if time > self.now:
            if not task.enabled:
                return self._of(time, Cause.DISABLED, "will not be due while the task is disabled")
            return self._of(time, Cause.NOT_DUE, "is yet to come")
        if pruned is not None and time <= pruned:
            known = self._by_changes(time) if self.records.changes else None
            return known or self._of(time, Cause.REMOVED, "its row was removed: retention keeps no more")
        return self._by_changes(time) or self._unexplained(time)

    def _by_changes(self, time: datetime) -> Explained | None:
        """Return why a task had no occurrence by what was changed since, and before."""
        task = self.task
        enabled, last = self._was_enabled(time)
        if not enabled:
            why = "" if task.enabled else f" {time_shown(task.update_time)}"
            if last is not None:
                why = f" {_by(last)}"
            note = f": {task.note}" if task.note and not task.enabled else ""
            return self._of(time, Cause.DISABLED, f"the task was disabled{why}{note}")
        for each in self.records.changes:
            if each.time >= time and each.method not in _SWITCHES and (_WHEN & set(each.changed) or not each.changed):
                return self._of(time, Cause.NOT_DEFINED, f"the task was defined otherwise, until {_by(each)}")
        if not self.records.changes and time <= task.update_time:
            by = f" by {task.changed_by}" if task.changed_by else ""
            changed = f"the task was changed {time_shown(task.update_time)}{by}"
            text = f"{changed}: it may have been disabled, or defined otherwise"
            return self._of(time, Cause.NOT_DEFINED, text)
        return None

    def _was_enabled(self, time: datetime) -> tuple[bool, AuditEvent | None]:
        """Return whether the task was enabled at an instant, and the switch before that, if it is known."""
        enabled = self.task.enabled
        for each in self.records.changes:
            if each.method in _SWITCHES or "enabled" in each.changed:
                if each.time <= time:  # at the same instant, either side of the switch may count
                    return enabled and each.time < time, each
                enabled = not enabled
        if not enabled and not self.records.changes and time <= self.task.update_time:
            return True, None  # what it was before its last change is not known
        return enabled, None

    def _unexplained(self, time: datetime) -> Explained:
        task = self.task
        if time > task.settled_time or (task.next_run_time is not None and task.next_run_time <= time):
            if task.trouble:
                return self._of(time, Cause.WAITING, f"is due, and is not fired: servers cannot read {task.trouble}")
            if task.due_time is not None and task.due_time > self.now:
                return self._of(time, Cause.WAITING, f"starts {time_shown(task.due_time)}: the task has jitter")
            return self._of(
                time, Cause.WAITING, "is due, and no server has fired it: all are stopped, or their loops are behind"
            )
        return self._of(time, Cause.LOST, "has no row, and nothing explains it: report this as a fault of the service")

    def _of(self, time: datetime, cause: Cause, text: str, execution: Execution | None = None) -> Explained:
        start = None if execution is None or cause is Cause.COVERED else execution.start_time
        late = None if start is None else max(start - time, timedelta(0))
        return Explained(scheduled_time=time, cause=cause, text=text, execution=execution, late=late)


def _never_ran(row: Execution) -> str:
    why = _why(row)
    return f"{row.state.value.lower()}: {why}" if why else "for no known reason"


def _failure(row: Execution) -> str:
    if row.start_time is None:
        return f"failed: {_why(row) or 'it never started'}"
    first, _, _ = (row.error or "").strip().partition("\n")
    kind = f" by {row.failure_kind}" if row.failure_kind is not None else ""
    attempts = f" after {row.attempt} attempts" if row.attempt > 1 else ""
    return f"failed{kind}{attempts}" + (f": {first[:LONGEST_LINE]}" if first else "")


def _why(row: Execution) -> str:
    return "" if row.reason is None else WHY_IT_NEVER_RAN.get(row.reason, "")


def _by(event: AuditEvent) -> str:
    return f"{time_shown(event.time)} by {event.principal}"
