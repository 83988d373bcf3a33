"""Lists of tasks between our values and the contract's messages: filters, orders, and what executions are doing."""

from collections.abc import Mapping

from schedule_grpc.domain.listing import LastOutcome, TaskActivity, TaskFilter, TaskOrder, TaskState
from schedule_grpc.domain.states import State
from schedule_grpc.formats.protobuf.executions import (
    failure_kind_from,
    failure_kind_to,
    reason_from,
    reason_to,
    state_from,
    state_to,
)
from schedule_grpc.formats.protobuf.values import Reader, instant_from, instant_to
from schedule_grpc.pb import schedule_pb2 as pb

_STATE_TO = {state: pb.TaskState.Value(f"TASK_STATE_{state.value}") for state in TaskState}
_STATE_FROM = {number: state for state, number in _STATE_TO.items()}
ORDERS: Mapping[TaskOrder, str] = {
    TaskOrder.NAME: "name",
    TaskOrder.NEXT: "next_run_time",
    TaskOrder.LAST: "last_run_time desc",
    TaskOrder.FAILURES: "stats.consecutive_failures desc",
}
"""As order_by has them (AIP-132)."""
_ORDER_FROM = {text: order for order, text in ORDERS.items()}


def task_filter_from(request: pb.ListTasksRequest) -> TaskFilter:
    """Return the filter of a caller's request.

    Raises:
        InvalidArgument: for an unknown state or view, or an order that lists do not have.
    """
    reader = Reader()
    order_by = " ".join(request.order_by.split()) or ORDERS[TaskOrder.NAME]
    if order_by not in _ORDER_FROM:
        reader.refuse("order_by", f"is none of {', '.join(_ORDER_FROM)}")
    asked = frozenset(number for number in request.states)
    for number in asked - _STATE_FROM.keys():
        reader.refuse("states", f"{number} is not a state of a task that this server knows")
    if request.view not in pb.TaskView.values():
        reader.refuse("view", f"{request.view} is not a view that this server knows")
    reader.check()
    return TaskFilter(
        enabled=request.enabled if request.HasField("enabled") else None,
        handler=request.handler,
        name_prefix=request.name_prefix,
        category=request.category,
        query=request.query,
        states=frozenset(_STATE_FROM[number] for number in asked),
        order=_ORDER_FROM[order_by],
    )


def task_states_to(states: frozenset[TaskState]) -> "list[pb.TaskState.ValueType]":
    """Return the numbers of states."""
    return [_STATE_TO[state] for state in sorted(states)]


def activity_to(activity: TaskActivity) -> pb.TaskActivity:
    """Return the message of what a task's executions are doing."""
    message = pb.TaskActivity(running_count=activity.running, waiting_count=activity.waiting)
    last = activity.last
    if last is not None:
        message.last_outcome.CopyFrom(
            pb.TaskActivity.Outcome(
                execution_id=last.execution_id,
                state=state_to(last.state),
                reason=reason_to(last.reason),
                failure_kind=failure_kind_to(last.failure_kind),
                start_time=None if last.start_time is None else instant_to(last.start_time),
                end_time=instant_to(last.end_time),
            )
        )
    return message


def activity_from(message: pb.TaskActivity) -> TaskActivity:
    """Return what a task's executions are doing, of a server's message."""
    last = message.last_outcome
    return TaskActivity(
        running=message.running_count,
        waiting=message.waiting_count,
        last=LastOutcome(
            execution_id=last.execution_id,
            state=state_from(last.state) or State.UNKNOWN,
            reason=reason_from(last.reason),
            failure_kind=failure_kind_from(last.failure_kind),
            start_time=instant_from(last.start_time) if last.HasField("start_time") else None,
            end_time=instant_from(last.end_time),
        )
        if message.HasField("last_outcome")
        else None,
    )
