"""Errors to google.rpc.Status and back (AIP-193)."""

from collections.abc import Iterable, Mapping

import grpc
from google.protobuf.any_pb2 import Any
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from schedule_grpc import errors
from schedule_grpc.domain.access.key_text import redacted
from schedule_grpc.domain.access.quota import QuotaExceeded
from schedule_grpc.errors import InvalidArgument, ResourceExhausted, ScheduleError, Violation
from schedule_grpc.formats.protobuf.values import duration_to
from schedule_grpc.violation import listed

DOMAIN = "schedule.v1"
MAX_DETAIL = 512
"""Bytes of one detail."""
MAX_FIELD = 256
"""Bytes of a field's name."""
MAX_MESSAGE = 1024
"""Bytes of the message as it travels, in a header where a byte that is not printable ASCII takes three."""
MAX_STATUS = 3 * 1024
"""Bytes of the whole status, message included. It travels in a header too, a third larger for base64.

Peers accept 8 KiB of headers, and replace a larger status by RESOURCE_EXHAUSTED.
"""

_FRAMING = 4
"""Bytes around a violation within its message."""
_DEADLINE = "DEADLINE_EXCEEDED"


class RemoteError(ScheduleError):
    """A server's error that this client has no class for; ``remote_code`` and ``remote_status`` are the server's."""

    def __init__(self, message: str, *, code: str, status: str, details: dict[str, str] | None = None) -> None:
        super().__init__(message, details=details)
        self.remote_code = code
        self.remote_status = status


def status_of(error: ScheduleError) -> Status:
    """Return the status of an error: with ErrorInfo always, with BadRequest if fields are wrong.

    With RetryInfo where it is known when the same call may succeed.

    It fits into the headers that every peer accepts: long texts are cut, violations beyond that are counted.
    """
    code, _ = grpc.StatusCode[error.status].value
    info = _packed(ErrorInfo(reason=error.code, domain=DOMAIN, metadata=_short(error.details)))
    if not isinstance(error, InvalidArgument):
        details = [info]
        if isinstance(error, ResourceExhausted) and error.retry_after is not None:
            details.append(_packed(RetryInfo(retry_delay=duration_to(error.retry_after))))
        return Status(code=code, message=_cut(error.message, MAX_MESSAGE), details=details)
    violations = _fitting(error.violations, MAX_STATUS - MAX_MESSAGE - info.ByteSize())
    message = _message(violations, error.more + len(error.violations) - len(violations))
    return Status(code=code, message=message, details=[info, _packed(BadRequest(field_violations=violations))])


def error_from(error: grpc.RpcError) -> ScheduleError:
    """Return the error of a failed call: of the class whose code its ErrorInfo has, else a RemoteError."""
    status: Status | None = rpc_status.from_call(error)
    code: grpc.StatusCode = error.code()
    message = error.details() or code.name
    reason, metadata, violations, retry_after = "", {}, [], None
    for detail in status.details if status else ():
        info, bad_request, retry = ErrorInfo(), BadRequest(), RetryInfo()
        if detail.Unpack(info):
            reason, metadata = info.reason, dict(info.metadata)
        elif detail.Unpack(bad_request):
            violations = [Violation(field=each.field, reason=each.description) for each in bad_request.field_violations]
        elif detail.Unpack(retry):
            retry_after = retry.retry_delay.ToTimedelta()
    found = _ours(code.name, reason, message, metadata, violations)
    if isinstance(found, ResourceExhausted):
        found.retry_after = retry_after
    return found


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
    # The classes' own constructors build the message of their arguments; here the message is known already.
    error = found.__new__(found)
    ScheduleError.__init__(error, message, details=metadata)
    return error


def _by_reason(status: str, reason: str) -> type[ScheduleError] | None:
    kinds: list[type[ScheduleError]] = [*_family(ScheduleError), QuotaExceeded]
    known = {found.code: found for found in kinds}
    if reason in known:
        return known[reason]
    # A deadline is the caller's own, and a server that cannot be reached may answer later: both are Unavailable.
    return errors.Unavailable if status in ("UNAVAILABLE", _DEADLINE) else None


def _family(root: type[ScheduleError]) -> list[type[ScheduleError]]:
    return [root, *(each for child in root.__subclasses__() for each in _family(child))]


def _packed(message: ErrorInfo | BadRequest | RetryInfo) -> Any:
    packed = Any()
    packed.Pack(message)
    return packed


def _fitting(violations: Iterable[Violation], room: int) -> list[BadRequest.FieldViolation]:
    """Return the first violations, as many as fit into ``room`` bytes."""
    fitting: list[BadRequest.FieldViolation] = []
    for each in violations:
        violation = BadRequest.FieldViolation(
            field=_cut(each.field, MAX_FIELD), description=_cut(each.reason, MAX_DETAIL)
        )
        room -= violation.ByteSize() + _FRAMING
        if room < 0:
            break
        fitting.append(violation)
    return fitting


def _message(violations: Iterable[BadRequest.FieldViolation], more: int) -> str:
    """Return the violations as one text that fits; its end counts the others, however long the text is."""
    text = listed((f"{each.field}: {each.description}" for each in violations), 0)
    rest = listed([""], more)
    return _cut(text, MAX_MESSAGE - len(rest)) + rest


def _short(details: Mapping[str, str]) -> dict[str, str]:
    return {name: _cut(text, MAX_DETAIL) for name, text in details.items()}


def _cut(text: str, most: int) -> str:
    """Return the beginning of a text that takes at most ``most`` bytes in a header; keys in it lose their secrets."""
    text = redacted(text)
    for index, character in enumerate(text[: most + 1]):
        plain = character.isascii() and character.isprintable() and character != "%"
        most -= 1 if plain else 3 * len(character.encode("utf-8", "surrogatepass"))
        if most < 0:
            return text[:index]
    return text
