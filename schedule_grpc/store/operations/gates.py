"""Operations at a task's gate: a new execution comes in, an ended one lets the next one through.

The caller has locked the task first (see `lock_tasks` in tasks.sql).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from schedule_grpc.database import Operation, Table, together
from schedule_grpc.domain.execution import (
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
from schedule_grpc.domain.policy import Overlap, Policy
from schedule_grpc.domain.task import Task
from schedule_grpc.events import CancelRequested, Event, TaskChanged, Transition
from schedule_grpc.store.queries import QUERIES
from schedule_grpc.store.rows import execution_of, micros, tasks_in
from schedule_grpc.store.tables import ended_pending, first_runs, new_executions, started_runs

SUPERSEDED = "Cancelled: a newer execution was due (CANCEL_OTHER)"
ALL_OF_THEM = 2**31
NOBODY = Occupancy(active=False, any_open=False)


class Comer(Struct, frozen=True):
    """A planned execution that comes to its task's gate, and the policies by which it is let in."""

    execution: Execution
    policy: Policy


class Beginning(Protocol):
    """Lets what was let in begin at once, under its owner's lease, as far as there are slots."""

    @property
    def owner(self) -> str:
        """The id of the server that runs the attempts that begin."""

    def begun(self, execution: Execution) -> Execution:
        """Return an execution that was let in as it begins at once, or as it is."""

    def take_back(self, execution: Execution) -> None:
        """Free the slot of an execution that was not recorded as it begins."""


def record_new(comers: Sequence[Comer], now: datetime, *, beginning: Beginning | None = None) -> Operation[list[Event]]:
    """Insert planned executions as their tasks' gates admit them; an occurrence that has a row already is left out.

    Executions of one task are admitted in their order. The event of an execution follows the events of others that made
    way for it. Most tasks have nothing open, so the first of each is recorded as if it were alone, in one round trip;
    where it is not, the statement leaves it out, and its gate is looked at.
    """
    events: list[Event] = []
    for number, wave in enumerate(_waves(comers)):
        events_of = (yield from _record_alone(wave, now, beginning)) if number == 0 else {}
        beside = [comer for comer in wave if comer.execution.id not in events_of]
        if beside:
            events_of |= yield from _record_beside(beside, now, beginning)
        events += [event for comer in wave for event in events_of[comer.execution.id]]
    return events


def end_pending(before: Execution, ended: Execution, now: datetime) -> Operation[list[Event]]:
    """Write the end of a waiting execution, if it is still PENDING, and let the next one through."""
    rows = yield QUERIES.end_pending, ended_pending(ended)
    if not rows:
        return []
    events: list[Event] = [Transition(previous_state=State.PENDING, execution=ended, time=now)]
    if before.gate is Gate.ACTIVE:
        events += yield from let_next_through([before.task_uid], now)
    return events


def let_next_through(task_uids: Iterable[str], now: datetime) -> Operation[list[Event]]:
    """Give each gate, which is free at this moment, to the execution that waits for it longest, if one does."""
    rows = yield QUERIES.next_waiting, Table({"task_uid": list(dict.fromkeys(task_uids))})
    tasks = yield QUERIES.find_tasks, [{"uid": row["task_uid"]} for row in rows]
    policies = {task.uid: task.policy for task in tasks_in(tasks)}
    waiting = [execution_of(row) for row in rows]
    through = [let_through(each, policies[each.task_uid], now) for each in waiting]
    yield QUERIES.let_through, [{"id": each.id, "deadline_time": micros(each.deadline_time)} for each in through]
    return [TaskChanged(namespace=each.namespace, name=each.task_name) for each in waiting]


def request_cancel(execution: Execution, note: str, now: datetime) -> Operation[tuple[Execution, list[Event]]]:
    """Cancel what waits, ask for the end of what runs; return the execution as it is then."""
    after = cancel_requested(execution, note, now)
    if after == execution:
        return execution, []
    if after.state is State.CANCELLED:
        events = yield from end_pending(execution, after, now)
        return after, events
    yield (
        QUERIES.request_cancel,
        {
            "id": after.id,
            "cancel_requested_time": micros(after.cancel_requested_time),
            "cancel_note": after.cancel_note,
        },
    )
    return after, [CancelRequested(execution_id=after.id)]


def end_all_pending(task: Task, reason: Reason, now: datetime) -> Operation[list[Event]]:
    """End the never attempted executions of a disabled task that its schedule or a backfill recorded.

    Executions that wait at the gate come first, so that none of them is let through on the way.
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


def _record_alone(
    wave: Sequence[Comer], now: datetime, beginning: Beginning | None
) -> Operation[dict[str, list[Event]]]:
    """Record the executions whose tasks have no other open one; return the events of each, by its id."""
    alone = [_let_in(comer, NOBODY) for comer in wave]
    recorded = alone if beginning is None else [beginning.begun(execution) for execution in alone]
    _, inserted = yield from together(
        (QUERIES.note_first_runs, first_runs([each for each in recorded if each.state is State.RUNNING])),
        (QUERIES.insert_executions, new_executions(recorded, _owner(beginning), alone=True)),
    )
    ids = set(inserted)
    if beginning is not None:
        for each in recorded:
            if each.id not in ids and each.state is State.RUNNING:
                beginning.take_back(each)
    return {
        let_in.id: _events_of_new(let_in, each, now)
        for let_in, each in zip(alone, recorded, strict=True)
        if each.id in ids
    }


def _record_beside(
    wave: Sequence[Comer], now: datetime, beginning: Beginning | None
) -> Operation[dict[str, list[Event]]]:
    """Record executions as their tasks' gates let them in beside others; return what happened, by their ids."""
    coming = [comer for comer in wave if comer.execution.state is State.PENDING]
    found = yield from _occupancies(coming)
    events: dict[str, list[Event]] = {comer.execution.id: [] for comer in wave}
    crowded = [comer for comer in coming if makes_way(comer.execution, comer.policy, found[comer.execution.task_uid])]
    for comer in crowded:
        events[comer.execution.id] = yield from _make_way(comer, now)
    if crowded:
        found |= yield from _occupancies(crowded)
    let_in = [_let_in(each, found.get(each.execution.task_uid, NOBODY)) for each in wave]
    recorded = let_in if beginning is None else [beginning.begun(execution) for execution in let_in]
    inserted = yield QUERIES.insert_executions, new_executions(recorded, _owner(beginning))
    ids = {row["id"] for row in inserted}
    yield QUERIES.note_runs, started_runs(each for each in recorded if each.id in ids and each.state is State.RUNNING)
    for execution, each in zip(let_in, recorded, strict=True):
        if each.id in ids:
            events[each.id] += _events_of_new(execution, each, now)
    return events


def _owner(beginning: Beginning | None) -> str | None:
    return None if beginning is None else beginning.owner


def _let_in(comer: Comer, found: Occupancy) -> Execution:
    if comer.execution.state is not State.PENDING:
        return comer.execution
    return admitted(comer.execution, comer.policy, found)


def _events_of_new(let_in: Execution, recorded: Execution, now: datetime) -> list[Event]:
    """Return what happened to an execution that was recorded: it came, and maybe it began."""
    came: list[Event] = [Transition(previous_state=None, execution=let_in, time=now)]
    return (
        came if recorded is let_in else [*came, Transition(previous_state=State.PENDING, execution=recorded, time=now)]
    )


def _occupancies(comers: Sequence[Comer]) -> Operation[dict[str, Occupancy]]:
    """Read the open executions of the comers' tasks."""
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
        _, cancelling = yield from request_cancel(execution_of(row), SUPERSEDED, now)
        events += cancelling
    return events
