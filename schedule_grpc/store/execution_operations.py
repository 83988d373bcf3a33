"""Operations on executions as callers see them: manual runs, and the history."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from schedule_grpc.clock import to_micros
from schedule_grpc.database import Operation
from schedule_grpc.errors import InvalidArgument, TaskDisabled, TaskNotFound
from schedule_grpc.execution import Execution, ExecutionFilter, Reason, State, Trigger, planned, skipped
from schedule_grpc.store.queries import QUERIES
from schedule_grpc.store.rows import execution_of
from schedule_grpc.store.task_operations import Told, end_pending, find_task, record_new

FOREVER = 2**62
"""Microseconds: later than every instant that datetime can hold."""


def submit(
    name: str, payload: Mapping[str, Any] | None, request_id: str | None, now: datetime
) -> Operation[Told[Execution]]:
    """Record a manual run, or find the one that the request id stands for already."""
    if request_id is not None:
        rows = yield QUERIES.find_execution_by_request, {"request_id": request_id}
        if rows:
            return _same_request(execution_of(rows[0]), name, payload), ()
    task = yield from find_task(name)
    if task is None:
        raise TaskNotFound(name)
    if not task.enabled:
        raise TaskDisabled(name)
    execution = planned(task, trigger=Trigger.MANUAL, now=now, payload=payload, request_id=request_id)
    recorded = yield from record_new(execution, task.policy.overlap, now)
    if recorded is None:
        raise AssertionError(f"a manual run has no occurrence to collide with: {execution.id}")
    return recorded.execution, [recorded]


def give_up(execution_id: str, now: datetime) -> Operation[Told[Execution | None]]:
    """End an execution that nobody ever started."""
    found = yield from find_execution(execution_id)
    if found is None or found.state is not State.PENDING or found.start_time is not None:
        return found, ()
    ended = skipped(found, Reason.NO_WORKER, now)
    events = yield from end_pending(ended, now)
    return ended, events


def find_execution(execution_id: str) -> Operation[Execution | None]:
    """Read one execution."""
    rows = yield QUERIES.find_execution, {"id": execution_id}
    return execution_of(rows[0]) if rows else None


def list_executions(
    task_name: str | None, chosen: ExecutionFilter, after: tuple[datetime, str] | None, limit: int
) -> Operation[tuple[Execution, ...]]:
    """Read executions, newest first."""
    parameters: dict[str, Any] = _range(chosen, after) | {
        "states": "".join(f",{state.value}," for state in sorted(chosen.states)),
        "limit": limit,
    }
    if task_name is None:
        rows = yield QUERIES.executions, parameters
        return tuple(execution_of(row) for row in rows)
    (owner,) = yield QUERIES.last_uid_of_name, {"name": task_name}
    rows = yield QUERIES.executions_of_task, parameters | {"task_uid": owner["uid"]}
    return tuple(execution_of(row) for row in rows)


def _range(chosen: ExecutionFilter, after: tuple[datetime, str] | None) -> dict[str, Any]:
    after_time, after_id = (to_micros(after[0]), after[1]) if after else (FOREVER, "")
    newest = to_micros(chosen.end_time) - 1 if chosen.end_time else FOREVER
    return {
        "oldest": to_micros(chosen.start_time) if chosen.start_time else -FOREVER,
        "newest": min(newest, after_time),
        "after_time": after_time,
        "after_id": after_id,
    }


def _same_request(execution: Execution, name: str, payload: Mapping[str, Any] | None) -> Execution:
    if execution.task_name != name or execution.payload != payload:
        raise InvalidArgument.of("request_id", "was used for another task or another payload")
    return execution
