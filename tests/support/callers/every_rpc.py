"""Every rpc of the contract, a request that each accepts, and every place in it where text goes."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from schedule_grpc.pb import schedule_pb2 as pb

SERVICE = pb.DESCRIPTOR.services_by_name["ScheduleService"]
WATCH = "WatchExecutions"
RPCS = [method.name for method in SERVICE.methods]
SPECIAL = ("google.protobuf.",)
"""Messages of others: their texts are no fields of ours."""


def raw(channel: grpc.aio.Channel, rpc: str) -> Any:
    """Return an rpc as it is on the wire: bytes in, bytes out."""
    path = f"/{SERVICE.full_name}/{rpc}"
    return (channel.unary_stream if rpc == WATCH else channel.unary_unary)(path)


def stub(channel: grpc.aio.Channel, rpc: str) -> Any:
    """Return an rpc that takes a message and gives bytes."""
    path = f"/{SERVICE.full_name}/{rpc}"
    kind = channel.unary_stream if rpc == WATCH else channel.unary_unary
    return kind(path, request_serializer=lambda message: message.SerializeToString())


def accepted(rpc: str, task: str, execution: str) -> Message:
    """Return a request that would be accepted where that task and that execution are."""
    now = datetime.now(UTC)
    registration = pb.RegisterTaskRequest(name=task, schedule="@manual", handler="quick")
    requests: dict[str, Message] = {
        "RegisterTask": registration,
        "BatchRegisterTasks": pb.BatchRegisterTasksRequest(requests=[registration]),
        "UpdateTask": pb.UpdateTaskRequest(
            task=pb.Task(name=task, description="changed"), update_mask=FieldMask(paths=["description"])
        ),
        "RunTaskNow": pb.RunTaskNowRequest(name=task),
        "TriggerCron": pb.TriggerCronRequest(cron="0 0 1 1 *"),
        "BackfillTask": pb.BackfillTaskRequest(
            name=task, start_time=_instant(now - timedelta(hours=1)), end_time=_instant(now)
        ),
        "PreviewSchedule": pb.PreviewScheduleRequest(schedule="@daily", count=3),
        "GetExecution": pb.GetExecutionRequest(id=execution, log_lines=100),
        "CancelExecution": pb.CancelExecutionRequest(id=execution),
        "WatchExecutions": pb.WatchExecutionsRequest(task_name=task, log_lines=True),
        "ListTasks": pb.ListTasksRequest(),
        "ListExecutions": pb.ListExecutionsRequest(),
        "ListHandlers": pb.ListHandlersRequest(),
        "GetSummary": pb.GetSummaryRequest(),
        "GetUpcomingRuns": pb.GetUpcomingRunsRequest(hours=2),
        "InitializeDefaultTasks": pb.InitializeDefaultTasksRequest(),
    }
    return requests.get(rpc) or _request_of(rpc)(name=task)


def with_text(rpc: str, text: str, task: str, execution: str) -> Iterator[tuple[str, Message]]:
    """Yield an accepted request for every string field of an rpc, with this text in that field, and its path."""
    for path in _string_fields(_request_of(rpc).DESCRIPTOR):
        request = accepted(rpc, task, execution)
        _put(request, path, text)
        yield ".".join(path), request


def _request_of(rpc: str) -> type[Message]:
    made: type[Message] = getattr(pb, SERVICE.methods_by_name[rpc].input_type.name)
    return made


def _string_fields(descriptor: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for field in descriptor.fields:
        path = (*above, field.name)
        if field.type == FieldDescriptor.TYPE_STRING:
            yield path
        elif field.message_type is not None and not field.message_type.full_name.startswith(SPECIAL):
            yield from _string_fields(field.message_type, path)


def _put(message: Any, path: tuple[str, ...], text: str) -> None:
    for name in path[:-1]:
        inner = getattr(message, name)
        if message.DESCRIPTOR.fields_by_name[name].is_repeated:
            inner = inner[0] if inner else inner.add()
        message = inner
    if message.DESCRIPTOR.fields_by_name[path[-1]].is_repeated:
        getattr(message, path[-1]).append(text)
    else:
        setattr(message, path[-1], text)


def _instant(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
