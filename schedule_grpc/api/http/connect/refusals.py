"""Errors as Connect and gRPC-Web have them: the code, message and google.rpc details that gRPC's callers get."""

import json
from collections.abc import Mapping

from connectrpc.code import Code
from connectrpc.errors import ConnectError, ErrorDetail
from protobuf.wkt import Any as Packed

from schedule_grpc.api.http.envelope import Answer
from schedule_grpc.errors import ScheduleError
from schedule_grpc.formats.protobuf import status_of

_CODES: Mapping[int, Code] = {
    400: Code.INVALID_ARGUMENT,
    403: Code.PERMISSION_DENIED,
    404: Code.UNIMPLEMENTED,
    405: Code.UNIMPLEMENTED,
    408: Code.DEADLINE_EXCEEDED,
    413: Code.RESOURCE_EXHAUSTED,
    503: Code.UNAVAILABLE,
}
"""Codes of the guard's refusals, by their HTTP status."""


def connect_error_of(error: ScheduleError) -> ConnectError:
    """Return an error as connectrpc writes it."""
    status = status_of(error)
    details = [ErrorDetail(Packed(type_url=each.type_url, value=each.value)) for each in status.details]
    return ConnectError(Code(error.status.lower()), status.message, details)


def connect_error_of_answer(answer: Answer) -> ConnectError:
    """Return a refusal of the guard as connectrpc writes it."""
    return ConnectError(_CODES.get(answer.status_code, Code.UNKNOWN), json.loads(bytes(answer.body))["error"])


def answer_to_rpc(answer: Answer) -> Answer:
    """Return a refusal of the guard in Connect's form; gRPC-Web's callers go by the HTTP status."""
    error = connect_error_of_answer(answer)
    content = {"code": error.code.value, "message": error.message}
    kept = {name: value for name, value in answer.headers.items() if name not in ("content-length", "content-type")}
    return Answer(content, status_code=answer.status_code, headers=kept)
