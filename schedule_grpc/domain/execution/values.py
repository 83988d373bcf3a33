"""What an execution is: values, compared by value, changed by `transitions` only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from msgspec import Struct

from schedule_grpc.domain.access.namespace import DEFAULT_NAMESPACE, TaskKey
from schedule_grpc.domain.condition import Condition
from schedule_grpc.domain.execution.log_lines import KeptLog, Progress
from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.domain.states import Gate, Reason, State, Trigger
from schedule_grpc.errors import Violation

MAX_TEXT_BYTES = 64 * 1024
"""How much of a result or an error is kept."""

ON_TIME = timedelta(seconds=30)
"""How late an occurrence may be recorded and still count as fired on schedule."""


class CoveredRange(Struct, frozen=True, kw_only=True):
    """Earlier occurrences that an execution accounts for besides its own."""

    from_time: datetime
    to_time: datetime
    count: int
    exact: bool = True


class FailedAttempt(Struct, frozen=True, kw_only=True):
    """One call of the handler that did not succeed."""

    number: int
    start_time: datetime
    duration: timedelta
    failure_kind: FailureKind
    error: str
    worker: str = ""
    """The worker that ran it; empty if a server did."""


class Execution(Struct, frozen=True, kw_only=True):
    """The durable record of one occurrence (or one manual run), over all its attempts."""

    id: str
    task_uid: str
    task_name: str
    namespace: str = DEFAULT_NAMESPACE
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
    failure_kind: FailureKind | None = None
    gate: Gate | None = None
    attempt: int = 0
    failed_attempts: tuple[FailedAttempt, ...] = ()
    hand_backs: int = 0
    lease_token: str | None = None
    worker: str | None = None
    """The worker that runs the newest attempt, or ran it; None if a server does."""
    cancel_requested_time: datetime | None = None
    cancel_note: str | None = None
    request_id: str | None = None
    triggered_by: str | None = None
    """The caller that asked for it; None where that is not known, or nobody did."""
    traceparent: str | None = None
    """The span of the call that asked for it, in W3C's form; None: no traced call did."""
    payload: Mapping[str, Any] | None = None
    result: Any = None
    error: str | None = None
    troubles: tuple[Violation, ...] = ()
    """What this program cannot read of it; such a part is None or empty here, or UNKNOWN."""
    progress: Progress | None = None
    """How far the newest attempt is that reported it. Read with one execution, not with lists and events."""
    log: KeptLog | None = None
    """The newest log lines; None where they were not asked for, or the caller may not see them."""

    @property
    def trouble(self) -> str:
        """What this program cannot read of it, and why, in words; empty where it reads everything."""
        return "; ".join(map(str, self.troubles))

    @property
    def task_key(self) -> TaskKey:
        """The namespace and the name of its task."""
        return self.namespace, self.task_name

    @property
    def queue(self) -> tuple[str, str]:
        """The namespace and the handler: executions with the same ones wait for slots in the order of their times."""
        return self.namespace, self.handler

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

    @property
    def lateness(self) -> timedelta | None:
        """From the scheduled time to the first attempt's start, at least zero.

        None for what has no such time or never started, and for a backfill: the past was asked for, that is not late.
        """
        if self.scheduled_time is None or self.start_time is None or self.trigger is Trigger.BACKFILL:
            return None
        return max(self.start_time - self.scheduled_time, timedelta(0))

    @property
    def newest_attempt_failed(self) -> bool:
        """Whether the newest attempt that began has failed; one that was handed back is not among them."""
        return bool(self.failed_attempts) and self.failed_attempts[-1].start_time == self.attempt_start_time


@dataclass(frozen=True, kw_only=True, slots=True)
class ExecutionFilter:
    """Which executions a list shows; None and the empty set mean all. ``end_time`` is exclusive."""

    states: frozenset[State] = field(default_factory=frozenset)
    start_time: datetime | None = None
    end_time: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ExecutionPage:
    """One page of executions, newest first; an empty token marks the last one."""

    executions: tuple[Execution, ...]
    next_page_token: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Backfill:
    """What a backfill recorded, in the order of the scheduled times, and how many occurrences had their row already."""

    executions: tuple[Execution, ...]
    existing_count: int


class Outcome(Struct, frozen=True, kw_only=True):
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
    conditions: tuple[Condition, ...] = ()
    """The conditions that the handler reported: stored with the outcome, sent as alerts."""
    claimed: Execution | None = None
    """The execution as the owner claimed it; given, it need not be read again."""


class HandBack(Struct, frozen=True, kw_only=True):
    """An attempt that its owner gives back.

    The owner stopped the attempt, at shutdown or for a cancel request, or never called the handler. The row, and the
    task's policy, decide the execution's next state.
    """

    execution_id: str
    lease_token: str
    time: datetime
    began: bool = True
    """Whether the handler was called: where ``max_retries`` is 0, it is not called a second time."""
    claimed: Execution | None = None
    """The execution as the owner claimed it; given, it need not be read again."""


Report: TypeAlias = Outcome | HandBack
"""How the owner of an attempt reports its end."""
