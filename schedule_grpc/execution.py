"""Executions: the durable record of one occurrence or one manual run, and the only place where its state may change.

::

    (new) ──► PENDING ──claim──► RUNNING ──► SUCCEEDED
      │        │  ▲                │ └─────► FAILED
      │        │  └── retry, ──────┘
      │        │      hand-back, lease lost with retries left
      ├────────┴──► SKIPPED      never ran: OVERLAP, TASK_DISABLED, NO_WORKER
      └───────────► MISSED       never ran: START_DEADLINE
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from schedule_grpc.retry import FailureKind, RetryPolicy, judge
from schedule_grpc.task import Overlap, Task

MAX_TEXT_BYTES = 64 * 1024
"""How much of a result or an error is kept."""

MAX_HAND_BACKS = 20
"""How often an attempt may be given back without counting; a row that exceeds it is failing, not being moved."""

ON_TIME = timedelta(seconds=30)
"""How late an occurrence may be recorded and still count as fired on schedule."""


class State(StrEnum):
    """Where an execution is in its life."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    MISSED = "MISSED"

    @property
    def ended(self) -> bool:
        """Whether it never changes again."""
        return not TRANSITIONS[self]


TRANSITIONS: Mapping[State | None, frozenset[State]] = MappingProxyType(
    {
        None: frozenset({State.PENDING, State.SKIPPED}),
        State.PENDING: frozenset({State.RUNNING, State.SKIPPED, State.MISSED}),
        State.RUNNING: frozenset({State.SUCCEEDED, State.FAILED, State.PENDING}),
        State.SUCCEEDED: frozenset(),
        State.FAILED: frozenset(),
        State.SKIPPED: frozenset(),
        State.MISSED: frozenset(),
    }
)
"""From each state (None: not yet recorded) to the states it may change to. The store's suite drives every operation
from every state and compares what happened with this table."""


class Reason(StrEnum):
    """Why an execution never ran."""

    OVERLAP = "OVERLAP"
    TASK_DISABLED = "TASK_DISABLED"
    NO_WORKER = "NO_WORKER"
    START_DEADLINE = "START_DEADLINE"


class Trigger(StrEnum):
    """What put an execution into the queue."""

    SCHEDULE = "SCHEDULE"
    """An occurrence that was the only one due, or that is at most `ON_TIME` late."""
    CATCH_UP = "CATCH_UP"
    """An occurrence that is later and stands for earlier ones too."""
    MANUAL = "MANUAL"
    """RunTaskNow."""


class Gate(StrEnum):
    """How an open execution stands to the others of its task; at most one is ACTIVE."""

    ACTIVE = "ACTIVE"
    FREE = "FREE"


@dataclass(frozen=True, kw_only=True, slots=True)
class CoveredRange:
    """Earlier occurrences that an execution accounts for besides its own."""

    from_time: datetime
    to_time: datetime
    count: int
    exact: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class FailedAttempt:
    """One call of the handler that did not succeed."""

    number: int
    start_time: datetime
    duration: timedelta
    kind: FailureKind
    error: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Execution:
    """The durable record of one occurrence (or one manual run), over all its attempts."""

    id: str
    task_uid: str
    task_name: str
    handler: str
    trigger: Trigger
    state: State
    create_time: datetime
    available_time: datetime
    revision: int
    scheduled_time: datetime | None = None
    covers: CoveredRange | None = None
    deadline_time: datetime | None = None
    start_time: datetime | None = None
    attempt_start_time: datetime | None = None
    end_time: datetime | None = None
    reason: Reason | None = None
    kind: FailureKind | None = None
    gate: Gate | None = None
    attempt: int = 0
    attempts: tuple[FailedAttempt, ...] = ()
    hand_backs: int = 0
    lease_token: str | None = None
    request_id: str | None = None
    payload: Mapping[str, Any] | None = None
    result: Any = None
    error: str | None = None

    @property
    def task_id(self) -> str:
        """The id that callers of the older service know."""
        return f"task_{self.task_name}"

    @property
    def duration(self) -> timedelta | None:
        """From the first attempt's start to the end; None before it; zero for what never ran."""
        if self.end_time is None:
            return None
        return max(self.end_time - (self.start_time or self.end_time), timedelta(0))


@dataclass(frozen=True, kw_only=True, slots=True)
class ExecutionFilter:
    """Which executions a list shows; None and the empty set mean all. ``end_time`` is exclusive."""

    states: frozenset[State] = field(default_factory=frozenset)
    start_time: datetime | None = None
    end_time: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ExecutionPage:
    """One page of executions, newest first; an empty token says that it is the last."""

    executions: tuple[Execution, ...]
    next_page_token: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of one attempt, as its owner reports it under its lease.

    ``kind`` None means success. ``retry`` False refuses a retry that the policy would grant (an attempt that could not
    be stopped must not run beside its successor). ``result`` is a normalised JSON value.
    """

    execution_id: str
    lease_token: str
    end_time: datetime
    duration: timedelta
    kind: FailureKind | None = None
    error: str | None = None
    result: Any = None
    retry: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class HandBack:
    """An attempt that its owner stopped for reasons of its own (shutdown); it counts for nothing."""

    execution_id: str
    lease_token: str
    time: datetime


def new_execution_id(task_name: str, now: datetime) -> str:
    """Return ``exec_<name>_<epoch ms>_<random>``, the form that callers of the older service know."""
    return f"exec_{task_name}_{int(now.timestamp() * 1000)}_{secrets.token_hex(5)}"


def new_lease_token() -> str:
    """Return a token that nobody else has: each claim takes a new one, so an old owner's writes are refused."""
    return secrets.token_hex(16)


def planned(
    task: Task,
    *,
    trigger: Trigger,
    now: datetime,
    scheduled_time: datetime | None = None,
    covers: CoveredRange | None = None,
    payload: Mapping[str, Any] | None = None,
    request_id: str | None = None,
) -> Execution:
    """Return the PENDING execution that stands for an occurrence of ``task``, or for a manual run of it."""
    return Execution(
        id=new_execution_id(task.name, now),
        task_uid=task.uid,
        task_name=task.name,
        handler=task.handler,
        trigger=trigger,
        state=State.PENDING,
        create_time=now,
        available_time=now,
        deadline_time=now + task.policy.start_deadline,
        revision=task.revision,
        scheduled_time=scheduled_time,
        covers=covers,
        payload=payload,
        request_id=request_id,
    )


def admitted(execution: Execution, overlap: Overlap, *, active: bool, others_open: bool) -> Execution:
    """Return the new execution as its task's gate lets it in: ACTIVE, FREE, or SKIPPED for overlap.

    Args:
        execution: A planned one.
        overlap: The task's policy.
        active: Whether an open execution of the task holds the ACTIVE gate.
        others_open: Whether any execution of the task is open, ACTIVE or FREE.
    """
    if overlap is Overlap.SKIP and others_open:
        return skipped(execution, Reason.OVERLAP, execution.create_time)
    return replace(execution, gate=Gate.FREE if active else Gate.ACTIVE)


def skipped(execution: Execution, reason: Reason, now: datetime) -> Execution:
    """Return the execution ended before it ever ran."""
    return _ended(execution, State.SKIPPED, now, reason=reason)


def missed(execution: Execution, now: datetime) -> Execution:
    """Return the execution ended because nobody started it in time."""
    return _ended(execution, State.MISSED, now, reason=Reason.START_DEADLINE)


def succeeded(execution: Execution, outcome: Outcome) -> Execution:
    """Return a RUNNING execution ended by an attempt that succeeded."""
    return _ended(execution, State.SUCCEEDED, outcome.end_time, result=outcome.result)


def after(execution: Execution, outcome: Outcome, policy: RetryPolicy) -> Execution:
    """Return a RUNNING execution as it stands after its attempt: ended, or PENDING again until its backoff is over."""
    if outcome.kind is None:
        return succeeded(execution, outcome)
    failure = FailedAttempt(
        number=execution.attempt,
        start_time=execution.attempt_start_time or execution.create_time,
        duration=outcome.duration,
        kind=outcome.kind,
        error=outcome.error or "",
    )
    told = replace(execution, attempts=(*execution.attempts, failure))
    wait = judge(policy, kind=outcome.kind, attempt=execution.attempt) if outcome.retry else None
    if wait is None:
        return _ended(
            told, State.FAILED, outcome.end_time, kind=outcome.kind, error=outcome.error, result=outcome.result
        )
    return replace(
        told,
        state=State.PENDING,
        available_time=outcome.end_time + wait,
        error=outcome.error,
        result=outcome.result,
    )


def handed_back(execution: Execution, now: datetime) -> Execution | None:
    """Return a RUNNING execution as PENDING again, the attempt uncounted; None if that happened too often."""
    if execution.hand_backs >= MAX_HAND_BACKS:
        return None
    return replace(
        execution,
        state=State.PENDING,
        available_time=now,
        attempt=execution.attempt - 1,
        hand_backs=execution.hand_backs + 1,
    )


def lost(execution: Execution, policy: RetryPolicy, now: datetime) -> Execution:
    """Return a RUNNING execution whose owner is gone: that attempt failed, the policy decides about another."""
    began = execution.attempt_start_time or now
    outcome = Outcome(
        execution_id=execution.id,
        lease_token=execution.lease_token or "",
        end_time=now,
        duration=max(now - began, timedelta(0)),
        kind=FailureKind.LEASE_LOST,
        error="The server that ran this attempt stopped or lost its lease",
    )
    return after(execution, outcome, policy)


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
