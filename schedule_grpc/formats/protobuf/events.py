"""Events between our values and the contract's messages."""

from schedule_grpc.domain.access.namespace import DEFAULT_NAMESPACE
from schedule_grpc.events import Logged, Lost, Progress, Transition, WatchEvent
from schedule_grpc.formats.protobuf.executions import execution_from, execution_to, state_from, state_to
from schedule_grpc.formats.protobuf.log_lines import line_from, lines_to
from schedule_grpc.formats.protobuf.values import instant_from, instant_to
from schedule_grpc.pb import schedule_pb2 as pb


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
    if isinstance(event, Logged):
        log = pb.WatchExecutionsResponse.Log(
            execution_id=event.execution_id,
            task_name=event.task_name,
            namespace=event.namespace,
            lines=lines_to((event.attempt, line) for line in event.lines),
        )
        return pb.WatchExecutionsResponse(log=log)
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
    if kind == "log" and message.log.lines:
        found = [line_from(line) for line in message.log.lines]
        return Logged(
            execution_id=message.log.execution_id,
            task_name=message.log.task_name,
            namespace=message.log.namespace or DEFAULT_NAMESPACE,
            attempt=found[0][0],
            lines=tuple(line for _, line in found),
        )
    return Lost(count=message.lost.count) if kind == "lost" else None
