"""Errors to google.rpc.Status and back (AIP-193)."""

from collections.abc import Mapping

import grpc
from google.protobuf.any_pb2 import Any
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from schedule_grpc import errors
from schedule_grpc.errors import InvalidArgument, ScheduleError, Violation

DOMAIN = "schedule.v1"
MAX_DETAIL = 512
"""Characters of one detail: all details travel in HTTP/2 headers, which peers limit to some kilobytes."""

_DEADLINE = "DEADLINE_EXCEEDED"


class RemoteError(ScheduleError):
    """An error that a server told of; ``remote_code`` and ``remote_status`` are its own words for it."""

    def __init__(self, message: str, *, code: str, status: str, details: dict[str, str] | None = None) -> None:
        super().__init__(message, details=details)
        self.remote_code = code
        self.remote_status = status


def status_of(error: ScheduleError) -> Status:
    """Return the status that tells a caller of an error: ErrorInfo always, BadRequest where fields are wrong."""
    details = [_packed(ErrorInfo(reason=error.code, domain=DOMAIN, metadata=_short(error.details)))]
    if isinstance(error, InvalidArgument):
        violations = [
            BadRequest.FieldViolation(field=violation.field, description=violation.reason[:MAX_DETAIL])
            for violation in error.violations
        ]
        details.append(_packed(BadRequest(field_violations=violations)))
    code, _ = grpc.StatusCode[error.status].value
    return Status(code=code, message=error.message[: 2 * MAX_DETAIL], details=details)


def error_from(error: grpc.RpcError) -> ScheduleError:
    """Return the error that a failed call tells of, as one of ours where its reason is one of ours."""
    status: Status | None = rpc_status.from_call(error)
    code: grpc.StatusCode = error.code()
    message = error.details() or code.name
    reason, metadata, violations = "", {}, []
    for detail in status.details if status else ():
        info, bad_request = ErrorInfo(), BadRequest()
        if detail.Unpack(info):
            reason, metadata = info.reason, dict(info.metadata)
        elif detail.Unpack(bad_request):
            violations = [Violation(field=each.field, reason=each.description) for each in bad_request.field_violations]
    return _ours(code.name, reason, message, metadata, violations)


def _ours(
    status: str, reason: str, message: str, metadata: dict[str, str], violations: list[Violation]
) -> ScheduleError:
    found = _by_reason(status, reason)
    if found is None:
        return RemoteError(message, code=reason or status, status=status, details=metadata)
    if issubclass(found, InvalidArgument):
        error: ScheduleError = InvalidArgument(*violations, message=message)
        if issubclass(found, errors.InvalidSchedule) and violations:
            error = errors.InvalidSchedule(violations[0].field, violations[0].reason, text="")
        return error
    # The family's own constructors take what they are about; here it is told already, in the message.
    error = found.__new__(found)
    ScheduleError.__init__(error, message, details=metadata)
    return error


def _by_reason(status: str, reason: str) -> type[ScheduleError] | None:
    known = {found.code: found for found in _family(ScheduleError)}
    if reason in known:
        return known[reason]
    # A deadline is the caller's own; a server that cannot be reached is one that may answer later.
    return errors.Unavailable if status in ("UNAVAILABLE", _DEADLINE) else None


def _family(root: type[ScheduleError]) -> list[type[ScheduleError]]:
    return [root, *(each for child in root.__subclasses__() for each in _family(child))]


def _packed(message: ErrorInfo | BadRequest) -> Any:
    packed = Any()
    packed.Pack(message)
    return packed


def _short(details: Mapping[str, str]) -> dict[str, str]:
    return {name: text[:MAX_DETAIL] for name, text in details.items()}
