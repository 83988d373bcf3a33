"""How an execution becomes another one. Pure: the store writes what these return."""

import itertools
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from msgspec.structs import replace

from schedule_grpc.domain.execution.attempts import bounded
from schedule_grpc.domain.execution.values import CoveredRange, Execution, FailedAttempt, Outcome
from schedule_grpc.domain.retry import FailureKind, next_wait
from schedule_grpc.domain.states import Reason, State, Trigger
from schedule_grpc.domain.task import Task

MAX_HAND_BACKS = 20
"""How often an attempt may be given back without counting; a row that exceeds it is failing, not being moved."""

_NUMBERS = itertools.count()
_NUMBERED = 16**5

_SERVER_GONE = "The server that ran this attempt stopped or lost its lease"
_WORKER_GONE = "The worker that ran this attempt stopped or lost its lease"
_NOT_STOPPED = "Task execution timeout: the worker did not stop the attempt"


def new_execution_id(task_name: str, now: datetime) -> str:
    """Return ``exec_<name>_<epoch ms>_<random>``, the form that callers of the older service know.

    The random part begins with a running number: of executions created at one moment, the later ones have greater ids,
    so that lists keep their order.
    """
    number = next(_NUMBERS) % _NUMBERED
    return f"exec_{task_name}_{int(now.timestamp() * 1000)}_{number:05x}{secrets.token_hex(3)}"


def new_lease_token() -> str:
    """Return a unique token: each claim takes a new one, so an old owner's writes are refused."""
    return secrets.token_hex(16)


def planned(
    task: Task,
    *,
    trigger: Trigger,
    now: datetime,
    available_time: datetime | None = None,
    scheduled_time: datetime | None = None,
    covers: CoveredRange | None = None,
    payload: Mapping[str, Any] | None = None,
    request_id: str | None = None,
    triggered_by: str | None = None,
    traceparent: str | None = None,
) -> Execution:
    """Return the PENDING execution that stands for an occurrence of ``task``, or for a manual run of it.

    ``available_time`` is when it may start, by default now; ``triggered_by`` names the caller that asked for it, and
    ``traceparent`` the span of its call.
    """
    return Execution(
        id=new_execution_id(task.name, now),
        task_uid=task.uid,
        task_name=task.name,
        namespace=task.namespace,
        handler=task.handler,
        trigger=trigger,
        state=State.PENDING,
        create_time=now,
        available_time=max(available_time or now, now),
        revision=task.revision,
        scheduled_time=scheduled_time,
        covers=covers,
        payload=payload,
        request_id=request_id,
        triggered_by=triggered_by,
        traceparent=traceparent,
    )


def begun(
    execution: Execution, *, lease_token: str, revision: int, now: datetime, worker: str | None = None
) -> Execution:
    """Return a PENDING execution whose next attempt begins, under a lease, with its task's newest definition.

    ``worker`` is the name of the worker that runs it; None: a server does.
    """
    return replace(
        execution,
        state=State.RUNNING,
        attempt=execution.attempt + 1,
        attempt_start_time=now,
        start_time=execution.start_time or now,
        deadline_time=None,
        lease_token=lease_token,
        revision=revision,
        worker=worker,
    )


def skipped(execution: Execution, reason: Reason, now: datetime) -> Execution:
    """Return the execution ended before it ever ran."""
    return _ended(execution, State.SKIPPED, now, reason=reason)


def missed(execution: Execution, reason: Reason, now: datetime) -> Execution:
    """Return the execution ended because it was too late for it to run."""
    return _ended(execution, State.MISSED, now, reason=reason)


def cancel_requested(execution: Execution, note: str, now: datetime) -> Execution:
    """Return the execution after a cancel request.

    A waiting execution is CANCELLED; a running one is marked, and its owner stops it; an ended one, or one that is
    marked already, stays as it is.
    """
    if execution.state.is_terminal or execution.cancel_requested_time is not None:
        return execution
    marked = replace(execution, cancel_requested_time=now, cancel_note=note or "Cancelled")
    return _cancelled(marked, now) if execution.state is State.PENDING else marked


def deleted(execution: Execution, now: datetime) -> Execution:
    """Return a PENDING execution ended because its task is deleted: SKIPPED if it never started, else FAILED."""
    if execution.start_time is None:
        return skipped(execution, Reason.TASK_DELETED, now)
    failed = execution
    if not execution.failed_attempts:  # its only attempts were handed back
        stopped = FailedAttempt(
            number=execution.attempt + 1,
            start_time=execution.attempt_start_time or execution.start_time,
            duration=timedelta(0),
            failure_kind=FailureKind.LEASE_LOST,
            error=_owner_gone(execution),
        )
        failed = replace(execution, attempt=stopped.number, failed_attempts=(stopped,))
    last = failed.failed_attempts[-1]
    return _ended(
        failed,
        State.FAILED,
        now,
        reason=Reason.TASK_DELETED,
        failure_kind=last.failure_kind,
        error=last.error,
        result=execution.result,
    )


def succeeded(execution: Execution, outcome: Outcome) -> Execution:
    """Return a RUNNING execution ended by an attempt that succeeded, even if its cancellation was requested."""
    return _ended(execution, State.SUCCEEDED, outcome.end_time, result=outcome.result)


def after(execution: Execution, outcome: Outcome, task: Task) -> Execution:
    """Return a RUNNING execution as it stands after its attempt: ended, or PENDING again until its backoff is over."""
    if outcome.kind is None:
        return succeeded(execution, outcome)
    failure = FailedAttempt(
        number=execution.attempt,
        start_time=execution.attempt_start_time or execution.create_time,
        duration=outcome.duration,
        failure_kind=outcome.kind,
        error=outcome.error or "",
        worker=execution.worker or "",
    )
    failed = replace(execution, failed_attempts=bounded((*execution.failed_attempts, failure)))
    if execution.cancel_requested_time is not None:
        return _cancelled(failed, outcome.end_time, result=outcome.result)
    wait = next_wait(task.policy.retry, kind=outcome.kind, attempt=execution.attempt) if outcome.retry else None
    if wait is None or task.delete_time is not None:
        return _ended(
            failed,
            State.FAILED,
            outcome.end_time,
            reason=None if wait is None else Reason.TASK_DELETED,
            failure_kind=outcome.kind,
            error=outcome.error,
            result=outcome.result,
        )
    return replace(
        failed,
        state=State.PENDING,
        available_time=outcome.end_time + wait,
        error=outcome.error,
        result=outcome.result,
    )


def handed_back(execution: Execution, task: Task, now: datetime) -> Execution:
    """Return a RUNNING execution whose owner stopped its attempt: PENDING again, the attempt uncounted.

    CANCELLED where its end was asked for. As a lost attempt where the policy grants no second call of the handler, and
    where the execution was handed back too often.
    """
    if execution.cancel_requested_time is None and task.policy.retry.max_retries == 0:
        return lost(execution, task, now)
    return never_begun(execution, task, now)


def never_begun(execution: Execution, task: Task, now: datetime) -> Execution:
    """Return a RUNNING execution whose attempt never called the handler: PENDING again, the attempt uncounted.

    CANCELLED where its end was asked for; as a lost attempt where its task is deleted, or it came back too often.
    """
    if execution.cancel_requested_time is not None:
        return _cancelled(execution, now)
    if task.delete_time is not None or execution.hand_backs >= MAX_HAND_BACKS:
        return lost(execution, task, now)
    return replace(
        execution,
        state=State.PENDING,
        available_time=now,
        attempt=max(execution.attempt - 1, 0),
        hand_backs=execution.hand_backs + 1,
    )


def waiting_no_longer(execution: Execution, task: Task, now: datetime) -> Execution:
    """Return a PENDING execution that waits no longer than it is meant to, after the clock was set back.

    A retry waits for its backoff, an occurrence for its jitter, a handed back execution for nothing.
    """
    if execution.available_time <= now:
        return execution
    wait = min(execution.available_time - now, _meant_wait(execution, task))
    return replace(execution, available_time=now + wait)


def _meant_wait(execution: Execution, task: Task) -> timedelta:
    if execution.attempt_start_time is None:
        return max(execution.available_time - execution.create_time, timedelta(0))
    if execution.newest_attempt_failed:
        return task.policy.retry.backoff(execution.failed_attempts[-1].number)
    return timedelta(0)


def unrecordable(outcome: Outcome, error: Exception) -> Outcome:
    """Return the outcome to write instead of one that cannot be written: a final failure, with the reason."""
    return replace(
        outcome,
        kind=FailureKind.ERROR,
        error=f"What the handler said could not be recorded ({type(error).__name__})",
        result=None,
        retry=False,
        conditions=(),
    )


def lost(execution: Execution, task: Task, now: datetime) -> Execution:
    """Return a RUNNING execution whose owner is gone: that attempt failed, the policy decides about another."""
    return after(execution, _unreported(execution, now, FailureKind.LEASE_LOST, _owner_gone(execution)), task)


def not_stopped(execution: Execution, task: Task, now: datetime) -> Execution:
    """Return a RUNNING execution whose attempt its worker did not stop in time: no other one may run beside it."""
    return after(execution, _unreported(execution, now, FailureKind.TIMEOUT, _NOT_STOPPED, retry=False), task)


def _unreported(execution: Execution, now: datetime, kind: FailureKind, error: str, *, retry: bool = True) -> Outcome:
    """Return the outcome of an attempt whose owner reports none."""
    began = execution.attempt_start_time or now
    return Outcome(
        execution_id=execution.id,
        lease_token=execution.lease_token or "",
        end_time=now,
        duration=max(now - began, timedelta(0)),
        kind=kind,
        error=error,
        retry=retry,
    )


def _owner_gone(execution: Execution) -> str:
    return _SERVER_GONE if execution.worker is None else _WORKER_GONE


def _cancelled(execution: Execution, now: datetime, *, result: Any = None) -> Execution:
    return _ended(execution, State.CANCELLED, now, error=execution.cancel_note, result=result)


def _ended(execution: Execution, state: State, now: datetime, **changes: Any) -> Execution:
    # The wall clock may have been set back during the run; an end before the start would be nonsense.
    end_time = max(now, execution.start_time or now)
    return replace(
        execution,
        **{
            "error": None,
            "result": None,
            **changes,
            "state": state,
            "end_time": end_time,
            "gate": None,
            "deadline_time": None,
        },
    )
