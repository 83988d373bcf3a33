"""Domain values to protobuf messages and back, errors to google.rpc.Status and back: the only place that does it."""

from schedule_grpc.formats.protobuf.events import event_from, event_to
from schedule_grpc.formats.protobuf.executions import (
    backfill_from,
    backfill_to,
    execution_filter_from,
    execution_from,
    execution_page_from,
    execution_to,
    states_from,
    states_to,
)
from schedule_grpc.formats.protobuf.policy import policy_asked, policy_from, policy_to
from schedule_grpc.formats.protobuf.preview import preview_from, preview_to
from schedule_grpc.formats.protobuf.status import RemoteError, error_from, status_of
from schedule_grpc.formats.protobuf.tasks import (
    batch_of_written,
    handler_from,
    handler_to,
    page_of_written,
    registration_from,
    registration_to,
    registrations_from,
    task_filter_from,
    task_from,
    task_to,
    written_task,
)
from schedule_grpc.formats.protobuf.updates import update_from, update_to
from schedule_grpc.formats.protobuf.values import Reader, instant_to, json_asked, json_from, request_of, struct_to

__all__ = [
    "Reader",
    "RemoteError",
    "backfill_from",
    "backfill_to",
    "batch_of_written",
    "error_from",
    "event_from",
    "event_to",
    "execution_filter_from",
    "execution_from",
    "execution_page_from",
    "execution_to",
    "handler_from",
    "handler_to",
    "instant_to",
    "json_asked",
    "json_from",
    "page_of_written",
    "policy_asked",
    "policy_from",
    "policy_to",
    "preview_from",
    "preview_to",
    "registration_from",
    "registration_to",
    "registrations_from",
    "request_of",
    "states_from",
    "states_to",
    "status_of",
    "struct_to",
    "task_filter_from",
    "task_from",
    "task_to",
    "update_from",
    "update_to",
    "written_task",
]
