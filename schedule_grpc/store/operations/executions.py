"""Operations on executions as callers see them: what they ask to run or to end, and the history."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from schedule_grpc.database import Operation, Parameters, Row
from schedule_grpc.domain.access.audit import Author, Entry
from schedule_grpc.domain.execution import (
    Backfill,
    Execution,
    ExecutionFilter,
    Reason,
    State,
    Trigger,
    planned,
    skipped,
)
from schedule_grpc.domain.task import Task
from schedule_grpc.events import Event, Transition
from schedule_grpc.runtime.clock import to_micros
from schedule_grpc.store.operations.gates import Comer, end_pending, record_new, request_cancel
from schedule_grpc.store.operations.tasks import find_task, keyed
from schedule_grpc.store.queries import QUERIES
from schedule_grpc.store.rows import execution_of, task_of
from schedule_grpc.store.with_events import WithEvents

_OF_STATE = {State.PENDING: QUERIES.waiting_executions, State.RUNNING: QUERIES.executions_under_lease}
"""Lists of open executions; each other state is one in which executions ended."""
FOREVER = 2**63 - 1
"""Microseconds: the latest that a column can hold, so that a list also shows rows whose time cannot be read."""


def trigger(
    namespace: str, names: Sequence[str], author: Author | None, now: datetime
) -> Operation[WithEvents[tuple[Execution, ...]]]:
    """Record a run of each task of these names that is there and enabled."""
    rows = yield QUERIES.hold_tasks_by_name, keyed((namespace, name) for name in names)
    tasks = [task for task in map(task_of, rows) if task.enabled and task.definition.can_run]
    by, traceparent = (None, None) if author is None else (author.attribution or None, author.traceparent)
    executions = [
        planned(task, trigger=Trigger.CRON, now=now, triggered_by=by, traceparent=traceparent) for task in tasks
    ]
    comers = [Comer(execution, task.policy) for execution, task in zip(executions, tasks, strict=True)]
    events = yield from record_new(comers, now)
    recorded = _recorded(events)
    return recorded, [*events, *(entry for each in recorded for entry in _entries(each, author))]


def backfill(
    task: Task, executions: Sequence[Execution], author: Author | None, now: datetime
) -> Operation[WithEvents[Backfill | None]]:
    """Record a backfill, if the task is still as it was read."""
    yield QUERIES.lock_tasks, {"uids": [task.uid]}
    found = yield from find_task(task.key)
    if found is None or (found.uid, found.revision) != (task.uid, task.revision):
        return None, ()
    events = yield from record_new([Comer(execution, task.policy) for execution in executions], now)
    recorded = _recorded(events)
    entries = _entries(recorded[0], author, count=len(recorded)) if recorded else ()
    done = Backfill(executions=recorded, existing_count=len(executions) - len(recorded))
    return done, [*events, *(replace(entry, execution="") for entry in entries)]


def cancel(
    namespace: str, execution_id: str, note: str, author: Author | None, now: datetime
) -> Operation[WithEvents[Execution | None]]:
    """Cancel an execution that waits, ask for the end of one that runs."""
    found = yield from _hold(namespace, execution_id)
    if found is None:
        return None, ()
    after, events = yield from request_cancel(found, note, now)
    return after, [*events, *(_entries(after, author) if after != found else ())]


def give_up(namespace: str, execution_id: str, now: datetime) -> Operation[WithEvents[Execution | None]]:
    """End an execution that never started."""
    found = yield from _hold(namespace, execution_id)
    if found is None or found.state is not State.PENDING or found.start_time is not None:
        return found, ()
    ended = skipped(found, Reason.NO_WORKER, now)
    events = yield from end_pending(found, ended, now)
    return ended, events


def find_execution(namespace: str, execution_id: str) -> Operation[Execution | None]:
    """Read one execution of a namespace."""
    rows = yield QUERIES.find_execution, {"id": execution_id, "namespace": namespace}
    return execution_of(rows[0]) if rows else None


def is_requested(namespace: str, request_id: str) -> Operation[bool]:
    """Read whether a request id stands for an execution of a namespace."""
    rows = yield QUERIES.find_executions_by_request, [{"namespace": namespace, "request_id": request_id}]
    return bool(rows)


def count_open_of(namespace: str, most: int) -> Operation[int]:
    """Count the open executions of a namespace."""
    (row,) = yield QUERIES.count_open_of, {"namespace": namespace, "most": most}
    count: int = row["count"]
    return count


def find_executions(execution_ids: Sequence[str]) -> Operation[tuple[Execution, ...]]:
    """Read some executions."""
    rows = yield QUERIES.find_executions, [{"id": execution_id} for execution_id in execution_ids]
    return tuple(execution_of(row) for row in rows)


def list_executions(
    namespace: str, task_name: str | None, chosen: ExecutionFilter, after: tuple[datetime, str] | None, limit: int
) -> Operation[tuple[Execution, ...]]:
    """Read executions of a namespace, newest first."""
    parameters = _range(chosen, after) | {"namespace": namespace, "limit": limit}
    if task_name is not None:
        (owner,) = yield QUERIES.last_uid_of_name, {"namespace": namespace, "name": task_name}
        states = "".join(f",{state.value}," for state in sorted(chosen.states))
        rows = yield QUERIES.executions_of_task, parameters | {"task_uid": owner["uid"], "states": states}
    elif chosen.states:
        rows = yield from _rows_in_states(chosen.states, parameters, limit)
    else:
        rows = yield QUERIES.executions, parameters
    return tuple(execution_of(row) for row in rows)


def _rows_in_states(states: Collection[State], parameters: Parameters, limit: int) -> Operation[Sequence[Row]]:
    """Read a page of each state, which an index has in order, and merge them."""
    found: list[Row] = []
    for state in sorted(states):
        found += yield _OF_STATE.get(state, QUERIES.ended_executions), {**parameters, "state": state.value}
    found.sort(key=lambda row: (row["create_time"], row["id"]), reverse=True)
    return found[:limit]


def _hold(namespace: str, execution_id: str) -> Operation[Execution | None]:
    yield QUERIES.lock_task_of, {"namespace": namespace, "execution_id": execution_id}
    rows = yield QUERIES.hold_execution, {"namespace": namespace, "id": execution_id}
    return execution_of(rows[0]) if rows else None


def _range(chosen: ExecutionFilter, after: tuple[datetime, str] | None) -> dict[str, Any]:
    after_time, after_id = (to_micros(after[0]), after[1]) if after else (FOREVER, "")
    newest = to_micros(chosen.end_time) - 1 if chosen.end_time else FOREVER
    return {
        "oldest": to_micros(chosen.start_time) if chosen.start_time else -FOREVER,
        "newest": min(newest, after_time),
        "after_time": after_time,
        "after_id": after_id,
    }


def _entries(execution: Execution, author: Author | None, *, count: int = 1) -> Iterator[Entry]:
    if author is not None and author.caller.is_audited:
        yield Entry(
            author=author,
            namespace=execution.namespace,
            resource=execution.task_name,
            execution=execution.id,
            count=count,
        )


def _recorded(events: Sequence[Event]) -> tuple[Execution, ...]:
    return tuple(event.execution for event in events if isinstance(event, Transition) and event.previous_state is None)
