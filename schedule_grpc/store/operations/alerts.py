"""Operations on conditions: each start and each end of one is sent as one alert."""

from collections.abc import Sequence
from datetime import datetime

from schedule_grpc.database import Operation, Parameters, Row
from schedule_grpc.domain.access.namespace import TaskKey
from schedule_grpc.domain.condition import FAILING, MAX_BODY, OVERDUE, UNREADABLE, Alert, Condition, Phase
from schedule_grpc.domain.execution import Execution
from schedule_grpc.domain.task import Task
from schedule_grpc.events import AlertsChanged, Event
from schedule_grpc.runtime.clock import from_micros, to_micros
from schedule_grpc.store.columns import holds_instant
from schedule_grpc.store.queries import QUERIES
from schedule_grpc.store.rows import tasks_in
from schedule_grpc.store.with_events import WithEvents

PHASES = frozenset(phase.value for phase in Phase)
TOLD_AT_ONCE = 1000
"""Alerts of one read: enough that those waiting for a target that is down do not hide new ones from the others."""


def note_conditions(uid: str, key: TaskKey, conditions: Sequence[Condition], now: datetime) -> Operation[list[Event]]:
    """Record the conditions of a task that an attempt, or the store itself, reports."""
    changed = False
    for condition in conditions:
        alert = {"task_uid": uid, "key": condition.key, "now": to_micros(now)}
        if condition.over:
            rows = yield QUERIES.end_alerts, [alert]
        else:
            more = {"namespace": key[0], "task_name": key[1], "title": condition.title, "body": condition.body}
            rows = yield QUERIES.start_alert, alert | more
        changed = changed or bool(rows)
    return [AlertsChanged()] if changed else []


def note_failures(failed: Sequence[Execution]) -> Operation[list[Event]]:
    """Look which executions that FAILED begin their tasks' failing; the tasks' statistics are written already."""
    newest = {execution.task_uid: execution for execution in failed}
    rows = yield QUERIES.find_tasks, [{"uid": uid} for uid in newest]
    events: list[Event] = []
    for task in tasks_in(rows):
        execution, limit = newest[task.uid], task.policy.alert_after
        if limit and task.stats.consecutive_failures >= limit:
            now = execution.end_time or execution.create_time
            events += yield from note_conditions(task.uid, task.key, (_failing(task, execution),), now)
    return events


def note_missed(task: Task, now: datetime) -> Operation[list[Event]]:
    """An occurrence of the task did not start in time, and never will."""
    if not task.policy.overdue_grace:
        return []
    return (yield from note_conditions(task.uid, task.key, (_overdue(task),), now))


def note_overdue(now: datetime) -> Operation[WithEvents[None]]:
    """Look which tasks are overdue, and which are no longer."""
    events: list[Event] = []
    ended = yield QUERIES.end_overdue, {"key": OVERDUE, "now": to_micros(now)}
    if ended:
        events.append(AlertsChanged())
    rows = yield QUERIES.overdue_tasks, {"now": to_micros(now)}
    for task in tasks_in(rows):
        events += yield from note_conditions(task.uid, task.key, (_overdue(task),), now)
    return None, events


def note_unreadable(tasks: Sequence[Task], now: datetime) -> Operation[WithEvents[None]]:
    """Begin the alerts of tasks that this program cannot read in full."""
    events: list[Event] = []
    for task in tasks:
        events += yield from note_conditions(task.uid, task.key, (_unreadable(task),), now)
    return None, events


def unsent_alerts() -> Operation[tuple[Alert, ...]]:
    """Read the alerts whose start or end is not sent yet."""
    rows = yield QUERIES.unsent_alerts, {"limit": TOLD_AT_ONCE}
    return tuple(
        Alert(
            task_uid=row["task_uid"],
            namespace=row["namespace"],
            task_name=row["task_name"],
            key=row["key"],
            title=row["title"],
            body=row["body"],
            phase=Phase(row["phase"]),
            start_time=from_micros(row["start_time"]),
            end_time=None if row["end_time"] is None else from_micros(row["end_time"]),
        )
        for row in rows
        if row["phase"] in PHASES and _has_times(row)  # a newer server sends its own
    )


def mark_alert_sent(alert: Alert) -> Operation[WithEvents[None]]:
    """Note that an alert, as it was read, has been sent; a change since is sent next."""
    which: Parameters = {"task_uid": alert.task_uid, "key": alert.key, "start_time": to_micros(alert.start_time)}
    yield (QUERIES.start_told if alert.phase is Phase.STARTED else QUERIES.end_told), which
    return None, [AlertsChanged()] if alert.phase is Phase.STARTED else []


def _has_times(row: Row) -> bool:
    return holds_instant(row["start_time"]) and (row["end_time"] is None or holds_instant(row["end_time"]))


def _overdue(task: Task) -> Condition:
    return Condition(
        key=OVERDUE,
        title=f"Task {task.name} did not run",
        body=f"An occurrence of {task.schedule.text} has not started {task.policy.overdue_grace} after it was due",
    )


def _unreadable(task: Task) -> Condition:
    return Condition(
        key=UNREADABLE, title=f"Task {task.name} cannot be read, and does not fire", body=task.trouble[:MAX_BODY]
    )


def _failing(task: Task, execution: Execution) -> Condition:
    failures = task.stats.consecutive_failures
    times = "failed" if failures == 1 else f"failed {failures} times in a row"
    return Condition(
        key=FAILING,
        title=f"Task {task.name} {times}",
        body=f"{execution.failure_kind}: {execution.error}\n{execution.id}",
    )
