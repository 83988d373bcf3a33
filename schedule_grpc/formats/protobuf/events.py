"""Events between our values and the contract's messages."""

from typing import TypeAlias

from schedule_grpc.domain.access.namespace import DEFAULT_NAMESPACE
from schedule_grpc.events import Lost, Progress, Transition
from schedule_grpc.formats.protobuf.executions import execution_from, execution_to, state_from, state_to
from schedule_grpc.formats.protobuf.values import instant_from, instant_to
from schedule_grpc.pb import schedule_pb2 as pb

WatchEvent: TypeAlias = Transition | Progress | Lost


def event_to(event: WatchEvent) -> pb.WatchExecutionsResponse:
    """Return an event's message."""
    if isinstance(event, Lost):
        return pb.WatchExecutionsResponse(lost=pb.WatchExecutionsResponse.Lost(count=event.count))
    if isinstance(event, Progress):
        progress = pb.WatchExecutionsResponse.Progress(
            execution_id=event.execution_id,
            task_name=event.task_name,
            fraction=event.fraction,
            text=event.text,
            event_time=instant_to(event.time),
            namespace=event.namespace,
        )
        return pb.WatchExecutionsResponse(progress=progress)
    transition = pb.WatchExecutionsResponse.Transition(
        execution=execution_to(event.execution),
        previous_state=pb.Execution.STATE_UNSPECIFIED
        if event.previous_state is None
        else state_to(event.previous_state),
        event_time=instant_to(event.time),
    )
    return pb.WatchExecutionsResponse(transition=transition)


def event_from(message: pb.WatchExecutionsResponse) -> WatchEvent | None:
    """Return the event of a server's message; None for a kind that this program does not know yet."""
    kind = message.WhichOneof("event")
    if kind == "transition":
        transition = message.transition
        return Transition(
            previous_state=state_from(transition.previous_state),
            execution=execution_from(transition.execution),
            time=instant_from(transition.event_time),
        )
    if kind == "progress":
        progress = message.progress
        return Progress(
            execution_id=progress.execution_id,
            task_name=progress.task_name,
            fraction=progress.fraction,
            text=progress.text,
            time=instant_from(progress.event_time),
            namespace=progress.namespace or DEFAULT_NAMESPACE,
        )
    return Lost(count=message.lost.count) if kind == "lost" else None
