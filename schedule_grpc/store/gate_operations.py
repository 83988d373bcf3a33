"""Operations at a task's gate: a new execution comes in, an ended one lets the next one through.

Whoever does any of these has locked the task first (see `lock_tasks` in tasks.sql).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeAlias

from msgspec import Struct

from schedule_grpc.database import Operation, Table
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
from schedule_grpc.store.rows import execution_of, micros, tasks_in
from schedule_grpc.store.tables import ended_pending, new_executions
from schedule_grpc.task import Task

SUPERSEDED = "Cancelled: a newer execution was due (CANCEL_OTHER)"
ALL_OF_THEM = 2**31
NOBODY = Occupancy(active=False, any_open=False)


class Comer(Struct, frozen=True):
    """A planned execution that comes to its task's gate, and the policies by which it is let in."""

    execution: Execution
    policy: Policy


Begin: TypeAlias = Callable[[Execution], Execution]
"""Returns an execution that was let in as it begins at once, or as it is."""


def record_new(
    comers: Sequence[Comer], now: datetime, *, begin: Begin | None = None, owner: str | None = None
) -> Operation[list[Event]]:
    """Insert planned executions as their tasks' gates let them in; an occurrence that has its row is left out.

    Those of one task come in in their order. The event that tells of an execution follows those of others that made
    way for it. What ``begin`` lets begin at once has the ``owner`` for its lease.
    """
    events: list[Event] = []
    for wave in _waves(comers):
        events += yield from _record_wave(wave, now, begin, owner)
    return events


def end_pending(before: Execution, ended: Execution, now: datetime) -> Operation[list[Event]]:
    """Write the end of an execution that nobody runs, if it is still PENDING, and let the next one through."""
    rows = yield QUERIES.end_pending, ended_pending(ended)
    if not rows:
        return []
    events: list[Event] = [Transition(before=State.PENDING, execution=ended, time=now)]
    if before.gate is Gate.ACTIVE:
        events += yield from let_next_through([before.task_uid], now)
    return events


def let_next_through(task_uids: Iterable[str], now: datetime) -> Operation[list[Event]]:
    """Give each gate to the execution that waits for it longest, if one does; nobody holds them at this moment."""
    rows = yield QUERIES.next_waiting, Table({"task_uid": list(dict.fromkeys(task_uids))})
    tasks = yield QUERIES.find_tasks, [{"uid": row["task_uid"]} for row in rows]
    policies = {task.uid: task.policy for task in tasks_in(tasks)}
    waiting = [execution_of(row) for row in rows]
    through = [let_through(each, policies[each.task_uid], now) for each in waiting]
    yield QUERIES.let_through, [{"id": each.id, "deadline_time": micros(each.deadline_time)} for each in through]
    return [TaskChanged(name=each.task_name) for each in waiting]


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


def _waves(comers: Iterable[Comer]) -> Iterator[list[Comer]]:
    """Put the first of each task into one wave, the second of each into the next: no two of a wave meet at a gate."""
    waves: list[list[Comer]] = []
    came: dict[str, int] = {}
    for comer in comers:
        uid = comer.execution.task_uid
        number = came.get(uid, 0)
        came[uid] = number + 1
        if number == len(waves):
            waves.append([])
        waves[number].append(comer)
    return iter(waves)


def _record_wave(
    wave: Sequence[Comer], now: datetime, begin: Begin | None, owner: str | None
) -> Operation[list[Event]]:
    coming = [comer for comer in wave if comer.execution.state is State.PENDING]
    found = yield from _occupancies(coming)
    events: dict[str, list[Event]] = {}
    crowded = [comer for comer in coming if makes_way(comer.execution, comer.policy, found[comer.execution.task_uid])]
    for comer in crowded:
        events[comer.execution.id] = yield from _make_way(comer, now)
    if crowded:
        found |= yield from _occupancies(crowded)
    admitted_ones = [
        admitted(each.execution, each.policy, found[each.execution.task_uid])
        if each.execution.state is State.PENDING
        else each.execution
        for each in wave
    ]
    as_recorded = admitted_ones if begin is None else [begin(execution) for execution in admitted_ones]
    inserted = yield QUERIES.insert_executions, new_executions(as_recorded, owner)
    ids = {row["id"] for row in inserted}
    told: list[Event] = []
    for execution, recorded in zip(admitted_ones, as_recorded, strict=True):
        told += events.get(execution.id, ())
        if execution.id in ids:
            told.append(Transition(before=None, execution=execution, time=now))
            if recorded is not execution:
                told.append(Transition(before=State.PENDING, execution=recorded, time=now))
    return told


def _occupancies(comers: Sequence[Comer]) -> Operation[dict[str, Occupancy]]:
    """See who is at the gates of the comers' tasks."""
    uids = [comer.execution.task_uid for comer in comers]
    rows = yield QUERIES.occupied, Table({"task_uid": uids})
    found = dict.fromkeys(uids, NOBODY)
    found |= {row["task_uid"]: Occupancy(active=bool(row["active"]), any_open=True) for row in rows}
    asking = [
        comer
        for comer in comers
        if found[comer.execution.task_uid].active and comer.policy.overlap in (Overlap.BUFFER_ONE, Overlap.CANCEL_OTHER)
    ]
    buffered = yield QUERIES.buffered_executions, [_buffered(comer, limit=1) for comer in asking]
    for row in buffered:
        found[row["task_uid"]] = replace(found[row["task_uid"]], buffered=True)
    return found


def _buffered(comer: Comer, *, limit: int) -> dict[str, object]:
    queueing = "".join(f",{trigger.value}," for trigger in Trigger if queues(trigger, comer.policy))
    return {"task_uid": comer.execution.task_uid, "queues": queueing, "limit": limit}


def _make_way(comer: Comer, now: datetime) -> Operation[list[Event]]:
    """Skip what waits for the gate and does not queue, and cancel what holds it."""
    events: list[Event] = []
    waiting = yield QUERIES.buffered_executions, _buffered(comer, limit=ALL_OF_THEM)
    for execution in map(execution_of, waiting):
        events += yield from end_pending(execution, skipped(execution, Reason.OVERLAP, now), now)
    rows = yield QUERIES.active_execution, {"task_uid": comer.execution.task_uid}
    for row in rows:
        _, told = yield from request_cancel(execution_of(row), SUPERSEDED, now)
        events += told
    return events
