"""Operations at a task's gate: a new execution comes in, an ended one lets the next one through."""

from datetime import datetime

from schedule_grpc.database import Operation
from schedule_grpc.events import CancelRequested, Event, TaskChanged, Transition
from schedule_grpc.execution import (
    Execution,
    Gate,
    Occupancy,
    Reason,
    State,
    Trigger,
    admitted,
    cancel_requested,
    let_through,
    makes_way,
    queues,
    skipped,
)
from schedule_grpc.policy import Overlap, Policy
from schedule_grpc.store.queries import QUERIES
from schedule_grpc.store.rows import execution_of, execution_parameters, micros, settled_parameters, task_of
from schedule_grpc.task import Task

SUPERSEDED = "Cancelled: a newer execution was due (CANCEL_OTHER)"
ALL_OF_THEM = 2**31


def record_new(execution: Execution, policy: Policy, now: datetime) -> Operation[list[Event]]:
    """Insert a planned execution as its task's gate lets it in; nothing if its occurrence has its row already.

    The last event tells of the execution itself; those before, of others that made way for it.
    """
    events: list[Event] = []
    if execution.state is State.PENDING:
        found = yield from _occupancy(execution, policy)
        if makes_way(execution, policy, found):
            events += yield from _make_way(execution, policy, now)
            found = yield from _occupancy(execution, policy)
        execution = admitted(execution, policy, found)
    inserted = yield QUERIES.insert_execution, execution_parameters(execution)
    if inserted:
        events.append(Transition(before=None, execution=execution, time=now))
    return events


def end_pending(before: Execution, ended: Execution, now: datetime) -> Operation[list[Event]]:
    """Write the end of an execution that nobody runs, if it is still PENDING, and let the next one through."""
    rows = yield QUERIES.end_pending, settled_parameters(ended)
    if not rows:
        return []
    events: list[Event] = [Transition(before=State.PENDING, execution=ended, time=now)]
    if before.gate is Gate.ACTIVE:
        events += yield from let_next_through(before.task_uid, now)
    return events


def let_next_through(task_uid: str, now: datetime) -> Operation[list[Event]]:
    """Give the gate to the execution that waits for it longest, if one does; nobody holds it at this moment."""
    rows = yield QUERIES.waiting_executions, {"task_uid": task_uid, "limit": 1}
    if not rows:
        return []
    waiting = execution_of(rows[0])
    (row,) = yield QUERIES.find_task_by_uid, {"uid": task_uid}
    through = let_through(waiting, task_of(row).policy, now)
    yield QUERIES.let_through, {"id": through.id, "deadline_time": micros(through.deadline_time)}
    return [TaskChanged(name=waiting.task_name)]


def request_cancel(execution: Execution, reason: str, now: datetime) -> Operation[tuple[Execution, list[Event]]]:
    """Cancel what waits, ask for the end of what runs; return the execution as it is then."""
    wanted = cancel_requested(execution, reason, now)
    if wanted == execution:
        return execution, []
    if wanted.state is State.CANCELLED:
        events = yield from end_pending(execution, wanted, now)
        return wanted, events
    yield (
        QUERIES.request_cancel,
        {
            "id": wanted.id,
            "cancel_requested_time": micros(wanted.cancel_requested_time),
            "cancel_reason": wanted.cancel_reason,
        },
    )
    return wanted, [CancelRequested(execution_id=wanted.id)]


def end_all_pending(task: Task, reason: Reason, now: datetime) -> Operation[list[Event]]:
    """End what a disabled task does not start any more: recorded by its schedule or a backfill, never attempted.

    Those that wait at the gate come first, so that none of them is let through on the way.
    """
    rows = yield QUERIES.pending_executions, {"task_uid": task.uid}
    ending = [
        execution
        for execution in map(execution_of, rows)
        if execution.start_time is None and execution.trigger not in (Trigger.MANUAL, Trigger.CRON)
    ]
    events: list[Event] = []
    for execution in sorted(ending, key=lambda each: each.gate is Gate.ACTIVE):
        events += yield from end_pending(execution, skipped(execution, reason, now), now)
    return events


def _occupancy(execution: Execution, policy: Policy) -> Operation[Occupancy]:
    (row,) = yield QUERIES.occupancy, {"task_uid": execution.task_uid}
    active = bool(row["active"])
    buffered: list[Execution] = []
    if active and policy.overlap in (Overlap.BUFFER_ONE, Overlap.CANCEL_OTHER):
        buffered = yield from _buffered(execution.task_uid, policy, limit=1)
    return Occupancy(active=active, any_open=bool(row["any_open"]), buffered=bool(buffered))


def _buffered(task_uid: str, policy: Policy, *, limit: int) -> Operation[list[Execution]]:
    queueing = "".join(f",{trigger.value}," for trigger in Trigger if queues(trigger, policy))
    rows = yield QUERIES.buffered_executions, {"task_uid": task_uid, "queues": queueing, "limit": limit}
    return [execution_of(row) for row in rows]


def _make_way(execution: Execution, policy: Policy, now: datetime) -> Operation[list[Event]]:
    """Skip what waits for the gate and does not queue, and cancel what holds it."""
    events: list[Event] = []
    for waiting in (yield from _buffered(execution.task_uid, policy, limit=ALL_OF_THEM)):
        events += yield from end_pending(waiting, skipped(waiting, Reason.OVERLAP, now), now)
    rows = yield QUERIES.active_execution, {"task_uid": execution.task_uid}
    for row in rows:
        _, told = yield from request_cancel(execution_of(row), SUPERSEDED, now)
        events += told
    return events
