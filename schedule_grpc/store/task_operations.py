"""Operations on tasks, as generators (see schedule_grpc.database): what a registration or a firing writes."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeAlias, TypeVar

from schedule_grpc.clock import to_micros
from schedule_grpc.database import Operation
from schedule_grpc.events import Event, TaskChanged, Transition
from schedule_grpc.execution import Execution, Gate, Reason, State, admitted, skipped
from schedule_grpc.planning import Firing, TaskChange
from schedule_grpc.store.queries import QUERIES
from schedule_grpc.store.rows import execution_of, execution_parameters, micros, task_of, task_parameters
from schedule_grpc.task import Handler, Overlap, Task, TaskFilter

T = TypeVar("T")
Told: TypeAlias = tuple[T, Sequence[Event]]
"""What an operation answers, and what it has to tell once it is committed."""

AFTER_EVERY_NAME = "\U0010ffff"


def change_task(change: TaskChange, now: datetime) -> Operation[Told[bool]]:
    """Compare-and-set a task, settle what was due, and carry the change into what waits."""
    before, after = change.before, change.after
    if before is None:
        inserted = yield QUERIES.insert_task, task_parameters(after)
        return bool(inserted), [TaskChanged(name=after.name)]
    read = {"read_revision": before.revision, "read_next_run_time": micros(before.next_run_time)}
    updated = yield QUERIES.update_task, task_parameters(after) | read
    if not updated:
        return False, ()
    events: list[Event] = [TaskChanged(name=after.name)]
    if change.settlement is not None:
        events += yield from _record_all(change.settlement, now)
    if before.handler != after.handler:
        yield QUERIES.rename_pending_handler, {"task_uid": after.uid, "handler": after.handler}
    if before.enabled and not after.enabled:
        events += yield from _skip_never_started(after, now)
    return True, events


def find_task(name: str) -> Operation[Task | None]:
    """Read the living task of a name."""
    rows = yield QUERIES.find_task, {"name": name}
    return task_of(rows[0]) if rows else None


def list_tasks(chosen: TaskFilter, after: str, limit: int) -> Operation[tuple[Task, ...]]:
    """Read living tasks in the order of their names."""
    rows = yield (
        QUERIES.list_tasks,
        {
            "after": after,
            "name_from": chosen.name_prefix,
            "name_to": chosen.name_prefix + AFTER_EVERY_NAME if chosen.name_prefix else None,
            "enabled": None if chosen.enabled is None else int(chosen.enabled),
            "handler": chosen.handler,
            "category": chosen.category,
            "limit": limit,
        },
    )
    return tuple(task_of(row) for row in rows)


def fire(firings: Sequence[Firing], now: datetime) -> Operation[Told[tuple[Execution, ...]]]:
    """Move each task on, if it is still as it was read, and record what it owes."""
    events: list[Event] = []
    for firing in firings:
        advanced = yield (
            QUERIES.advance_task,
            {
                "uid": firing.task.uid,
                "revision": firing.task.revision,
                "read_next_run_time": micros(firing.task.next_run_time),
                "settled_time": to_micros(firing.settled_time),
                "next_run_time": micros(firing.next_run_time),
            },
        )
        if advanced:
            events += yield from _record_all(firing, now)
    return tuple(event.execution for event in events if isinstance(event, Transition)), events


def record_new(execution: Execution, overlap: Overlap, now: datetime) -> Operation[Transition | None]:
    """Insert a planned execution as its task's gate lets it in; None if its occurrence has its row already."""
    if execution.state is State.PENDING:
        rows = yield QUERIES.open_gates, {"task_uid": execution.task_uid}
        active = any(row["gate"] == Gate.ACTIVE for row in rows)
        execution = admitted(execution, overlap, active=active, others_open=bool(rows))
    inserted = yield QUERIES.insert_execution, execution_parameters(execution)
    return Transition(before=None, execution=execution, time=now) if inserted else None


def offer_handlers(handlers: Sequence[Handler], now: datetime) -> Operation[Told[None]]:
    """Remember handlers."""
    yield (
        QUERIES.offer_handler,
        [{"name": handler.name, "description": handler.description, "now": to_micros(now)} for handler in handlers],
    )
    return None, ()


def known_handlers() -> Operation[tuple[Handler, ...]]:
    """Read every handler ever offered."""
    rows = yield QUERIES.known_handlers, {}
    return tuple(Handler(name=row["name"], description=row["description"], offered=False) for row in rows)


def _record_all(firing: Firing, now: datetime) -> Operation[list[Event]]:
    events: list[Event] = []
    for execution in firing.executions:
        recorded = yield from record_new(execution, firing.task.policy.overlap, now)
        if recorded is not None:
            events.append(recorded)
    return events


def _skip_never_started(task: Task, now: datetime) -> Operation[list[Event]]:
    rows = yield QUERIES.never_started_by_schedule, {"task_uid": task.uid}
    events: list[Event] = []
    for row in rows:
        ended = skipped(execution_of(row), Reason.TASK_DISABLED, now)
        events += yield from end_pending(ended, now)
    return events


def end_pending(ended: Execution, now: datetime) -> Operation[list[Event]]:
    """Write the end of an execution that never ran, if it still has not."""
    rows = yield (
        QUERIES.end_pending,
        {
            "id": ended.id,
            "state": ended.state.value,
            "reason": ended.reason.value if ended.reason else None,
            "end_time": micros(ended.end_time),
        },
    )
    return [Transition(before=State.PENDING, execution=ended, time=now)] if rows else []
