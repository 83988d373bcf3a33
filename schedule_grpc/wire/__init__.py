"""Domain values to protobuf messages and back, errors to google.rpc.Status and back: the only translation."""

from schedule_grpc.wire.executions import (
    execution_filter_from,
    execution_from,
    execution_page_from,
    execution_to,
    states_to,
)
from schedule_grpc.wire.status import error_from, status_of
from schedule_grpc.wire.tasks import (
    handler_from,
    handler_to,
    policy_to,
    registration_from,
    task_filter_from,
    task_from,
    task_to,
)
from schedule_grpc.wire.values import Reader, instant_to, json_from, struct_to

__all__ = [
    "Reader",
    "error_from",
    "execution_filter_from",
    "execution_from",
    "execution_page_from",
    "execution_to",
    "handler_from",
    "handler_to",
    "instant_to",
    "json_from",
    "policy_to",
    "registration_from",
    "states_to",
    "status_of",
    "struct_to",
    "task_filter_from",
    "task_from",
    "task_to",
]
