"""Executions between our values and the contract's messages."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TypeVar

from schedule_grpc.domain.access.namespace import DEFAULT_NAMESPACE
from schedule_grpc.domain.execution import (
    STATES,
    Backfill,
    CoveredRange,
    Execution,
    ExecutionFilter,
    ExecutionPage,
    FailedAttempt,
    Reason,
    State,
    Trigger,
)
from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.errors import Violation
from schedule_grpc.formats.protobuf.log_lines import log_from, log_to, progress_from, progress_to
from schedule_grpc.formats.protobuf.status import RemoteError
from schedule_grpc.formats.protobuf.values import (
    Reader,
    duration_from,
    duration_to,
    instant_from,
    instant_to,
    json_from,
    struct_to,
    value_from,
    value_to,
)
from schedule_grpc.pb import schedule_pb2 as pb

N = TypeVar("N")
T = TypeVar("T")

# The names are the same on both sides; a name that is missing on one of them fails here, at import.
_STATE_TO = {state: pb.Execution.State.Value(state.value) for state in STATES}
_REASON_TO = {reason: pb.Execution.Reason.Value(reason.value) for reason in Reason}
_FAILURE_KIND_TO = {kind: pb.Execution.FailureKind.Value(kind.value) for kind in FailureKind}
_TRIGGERS: tuple[Trigger, ...] = tuple(trigger for trigger in Trigger if trigger is not Trigger.UNKNOWN)
_TRIGGER_TO = {trigger: pb.Execution.Trigger.Value(trigger.value) for trigger in _TRIGGERS}
_STATE_FROM = {number: state for state, number in _STATE_TO.items()}
_REASON_FROM = {number: reason for reason, number in _REASON_TO.items()}
_FAILURE_KIND_FROM = {number: kind for kind, number in _FAILURE_KIND_TO.items()}
_TRIGGER_FROM = {number: trigger for trigger, number in _TRIGGER_TO.items()}

_OPTIONAL_TIMES = ("scheduled_time", "start_time", "end_time", "cancel_requested_time")


def execution_filter_from(request: pb.GetTaskHistoryRequest | pb.ListExecutionsRequest) -> ExecutionFilter:
    """Return the filter of a caller's request.

    Raises:
        InvalidArgument: for an unknown state or an invalid time.
    """
    reader = Reader()
    chosen = ExecutionFilter(
        states=_states(reader, request.states),
        start_time=reader.instant(request.start_time, "start_time") if request.HasField("start_time") else None,
        end_time=reader.instant(request.end_time, "end_time") if request.HasField("end_time") else None,
    )
    reader.check()
    return chosen


def states_from(numbers: "Iterable[pb.Execution.State.ValueType]") -> frozenset[State]:
    """Return the states of a caller's request.

    Raises:
        InvalidArgument: for a number that is not a state's.
    """
    reader = Reader()
    states = _states(reader, numbers)
    reader.check()
    return states


def state_from(number: "pb.Execution.State.ValueType") -> State | None:
    """Return the state of a number, None for an unknown number."""
    return _STATE_FROM.get(number)


def state_to(state: State) -> "pb.Execution.State.ValueType":
    """Return the number of a state."""
    return _STATE_TO.get(state, pb.Execution.STATE_UNSPECIFIED)


def states_to(states: Iterable[State]) -> "list[pb.Execution.State.ValueType]":
    """Return the numbers of states."""
    return [state_to(state) for state in states]


def reason_to(reason: Reason | None) -> "pb.Execution.Reason.ValueType":
    """Return the number of a reason, or of none."""
    return _REASON_TO[reason] if reason else pb.Execution.REASON_UNSPECIFIED


def reason_from(number: "pb.Execution.Reason.ValueType") -> Reason | None:
    """Return the reason of a number; None for none, and for an unknown one."""
    return _REASON_FROM.get(number)


def failure_kind_to(kind: FailureKind | None) -> "pb.Execution.FailureKind.ValueType":
    """Return the number of a kind of failure, or of none."""
    return _FAILURE_KIND_TO[kind] if kind else pb.Execution.FAILURE_KIND_UNSPECIFIED


def failure_kind_from(number: "pb.Execution.FailureKind.ValueType") -> FailureKind | None:
    """Return the kind of failure of a number; None for none, and for an unknown one."""
    return _FAILURE_KIND_FROM.get(number)


def execution_to(execution: Execution) -> pb.Execution:
    """Return an execution's message."""
    message = pb.Execution(
        id=execution.id,
        task_id=execution.task_id,
        task_name=execution.task_name,
        task_uid=execution.task_uid,
        handler=execution.handler,
        state=state_to(execution.state),
        reason=reason_to(execution.reason),
        failure_kind=failure_kind_to(execution.failure_kind),
        trigger=_TRIGGER_TO.get(execution.trigger, pb.Execution.TRIGGER_UNSPECIFIED),
        create_time=instant_to(execution.create_time),
        attempt=execution.attempt,
        failed_attempts=[_attempt_to(attempt) for attempt in execution.failed_attempts],
        error=execution.error or "",
        trouble=execution.trouble,
        namespace=execution.namespace,
        triggered_by=execution.triggered_by or "",
        worker=execution.worker or "",
    )
    for name in _OPTIONAL_TIMES:
        instant = getattr(execution, name)
        if instant is not None:
            getattr(message, name).CopyFrom(instant_to(instant))
    if execution.state is State.PENDING:
        message.available_time.CopyFrom(instant_to(execution.available_time))
    if execution.payload is not None:
        message.payload.CopyFrom(struct_to(execution.payload))
    if execution.result is not None:
        message.result.CopyFrom(value_to(execution.result))
    if execution.covers is not None:
        message.covers.CopyFrom(_covers_to(execution.covers))
    if execution.progress is not None:
        message.progress.CopyFrom(progress_to(execution.progress))
    if execution.log is not None:
        message.log.CopyFrom(log_to(execution.log))
    return message


def execution_from(message: pb.Execution) -> Execution:
    """Return the execution of a server's message."""
    create_time = instant_from(message.create_time)
    field, _, reason = message.trouble.partition(": ")
    available = instant_from(message.available_time) if message.HasField("available_time") else create_time
    return Execution(
        id=message.id,
        task_uid=message.task_uid,
        task_name=message.task_name,
        namespace=message.namespace or DEFAULT_NAMESPACE,  # a server older than namespaces tells none
        handler=message.handler,
        trigger=_known(_TRIGGER_FROM, message.trigger, "trigger") if message.trigger else Trigger.UNKNOWN,
        state=_known(_STATE_FROM, message.state, "state") if message.state else State.UNKNOWN,
        create_time=create_time,
        available_time=available,
        revision=0,
        reason=_REASON_FROM.get(message.reason),
        failure_kind=_FAILURE_KIND_FROM.get(message.failure_kind),
        scheduled_time=_optional_instant(message, "scheduled_time"),
        start_time=_optional_instant(message, "start_time"),
        end_time=_optional_instant(message, "end_time"),
        cancel_requested_time=_optional_instant(message, "cancel_requested_time"),
        payload=json_from(message.payload) if message.HasField("payload") else None,
        attempt=message.attempt,
        failed_attempts=tuple(_attempt_from(attempt) for attempt in message.failed_attempts),
        result=value_from(message.result) if message.HasField("result") else None,
        error=message.error or None,
        triggered_by=message.triggered_by or None,
        worker=message.worker or None,
        covers=_covers_from(message.covers) if message.HasField("covers") else None,
        progress=progress_from(message.progress, message.id) if message.HasField("progress") else None,
        log=log_from(message.log) if message.HasField("log") else None,
        troubles=(Violation(field=field, reason=reason),) if message.trouble else (),
    )


def execution_page_from(message: pb.GetTaskHistoryResponse | pb.ListExecutionsResponse) -> ExecutionPage:
    """Return the page of a server's message."""
    return ExecutionPage(
        executions=tuple(execution_from(each) for each in message.executions), next_page_token=message.next_page_token
    )


def backfill_to(backfill: Backfill) -> pb.BackfillTaskResponse:
    """Return a backfill's message."""
    return pb.BackfillTaskResponse(
        executions=[execution_to(each) for each in backfill.executions], existing_count=backfill.existing_count
    )


def backfill_from(message: pb.BackfillTaskResponse) -> Backfill:
    """Return the backfill of a server's message."""
    return Backfill(
        executions=tuple(execution_from(each) for each in message.executions), existing_count=message.existing_count
    )


def _states(reader: Reader, numbers: "Iterable[pb.Execution.State.ValueType]") -> frozenset[State]:
    asked = frozenset(number for number in numbers)  # one by one: a million of them at once would hold the interpreter
    for number in asked - _STATE_FROM.keys():
        reader.refuse("states", f"{number} is not a state that this server knows")
    return frozenset(_STATE_FROM[number] for number in asked & _STATE_FROM.keys())


def _known(names: Mapping[N, T], number: N, kind: str) -> T:
    """Return the value of a number.

    Raises:
        RemoteError: for a number of a newer server that this client does not know.
    """
    if number not in names:
        message = f"The server sent a {kind} that this client does not know ({number}): it is older than the server"
        raise RemoteError(message, code="UNKNOWN_VALUE", status="UNIMPLEMENTED")
    return names[number]


def _optional_instant(message: pb.Execution, name: str) -> datetime | None:
    return instant_from(getattr(message, name)) if message.HasField(name) else None  # type: ignore[arg-type]


def _attempt_to(attempt: FailedAttempt) -> pb.Execution.FailedAttempt:
    return pb.Execution.FailedAttempt(
        number=attempt.number,
        start_time=instant_to(attempt.start_time),
        duration=duration_to(attempt.duration),
        failure_kind=_FAILURE_KIND_TO[attempt.failure_kind],
        error=attempt.error,
        worker=attempt.worker,
    )


def _attempt_from(message: pb.Execution.FailedAttempt) -> FailedAttempt:
    return FailedAttempt(
        number=message.number,
        start_time=instant_from(message.start_time),
        duration=duration_from(message.duration),
        failure_kind=_known(_FAILURE_KIND_FROM, message.failure_kind, "kind of failure"),
        error=message.error,
        worker=message.worker,
    )


def _covers_to(covers: CoveredRange) -> pb.Execution.CoveredRange:
    return pb.Execution.CoveredRange(
        from_time=instant_to(covers.from_time),
        to_time=instant_to(covers.to_time),
        count=covers.count,
        exact=covers.exact,
    )


def _covers_from(message: pb.Execution.CoveredRange) -> CoveredRange:
    return CoveredRange(
        from_time=instant_from(message.from_time),
        to_time=instant_from(message.to_time),
        count=message.count,
        exact=message.exact,
    )
