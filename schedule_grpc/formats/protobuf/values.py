"""Times, durations and JSON between our values and protobuf's well-known types."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp

from schedule_grpc.domain.canonical_json import MAX_EXACT, whole
from schedule_grpc.errors import InvalidArgument, Violation
from schedule_grpc.runtime.clock import EPOCH, MICROSECOND, from_micros
from schedule_grpc.text.unicode import fault_of
from schedule_grpc.violation import MOST_VIOLATIONS

M = TypeVar("M", bound=Message)

_DAY = 86_400
"""Seconds."""
_MICROS = 1_000_000
_NANOS_PER_MICRO = 1000
_NANOS = _MICROS * _NANOS_PER_MICRO
_MAX_DURATION_SECONDS = 315_576_000_000
"""About 10,000 years (google/protobuf/duration.proto)."""

_MOST_PER_CHARACTER = 6
"""Bytes of a message for one of JSON, at most: `1,` in a list takes 11."""

_KINDS = {
    FieldDescriptor.CPPTYPE_STRING: "is not a text",
    FieldDescriptor.CPPTYPE_BOOL: "is not True or False",
    FieldDescriptor.CPPTYPE_INT32: "is not a whole number of 32 bits",
}
"""The reason of a violation, by the type that a field of a request has."""


def request_of(kind: type[M], **fields: Any) -> M:
    """Return a message of the given fields; None leaves a field unset.

    Raises:
        InvalidArgument: naming each field that cannot hold its value; protobuf's own errors name none.
    """
    try:
        return kind(**fields)
    except (TypeError, ValueError, OverflowError):
        violations = [
            Violation(field=field, reason=reason)
            for field, value in fields.items()
            if (reason := _fault_in(kind, field, value)) is not None
        ]
        if not violations:
            raise
        raise InvalidArgument(*violations) from None


class Reader:
    """Reads fields of a request and collects their violations, to report all at once."""

    def __init__(self) -> None:
        self._violations: list[Violation] = []
        self._more = 0

    def refuse(self, field: str, reason: str) -> None:
        """Note a violation; beyond `MOST_VIOLATIONS` it is only counted."""
        if len(self._violations) < MOST_VIOLATIONS:
            self._violations.append(Violation(field=field, reason=reason))
        else:
            self._more += 1

    def instant(self, message: Timestamp, field: str) -> datetime | None:
        """Return a timestamp's instant; microseconds are kept, finer parts dropped."""
        if 0 <= message.nanos < _NANOS:
            with suppress(OverflowError):
                return instant_from(message)
        self.refuse(field, "is not a time between the years 1 and 9999 with nanos from 0 to 999,999,999")
        return None

    def duration(self, message: Duration, field: str) -> timedelta | None:
        """Return a duration; microseconds are kept, finer parts dropped."""
        if message.seconds * message.nanos < 0:
            self.refuse(field, "is not a valid duration: seconds and nanos have different signs")
            return None
        if abs(message.nanos) >= _NANOS:
            self.refuse(field, "is not a valid duration: nanos are a second or more")
            return None
        if abs(message.seconds) > _MAX_DURATION_SECONDS:
            self.refuse(field, "is not a valid duration: longer than 10,000 years")
            return None
        return _timedelta(message)

    def check(self) -> None:
        """End reading.

        Raises:
            InvalidArgument: with the violations, if there are any.
        """
        if self._violations:
            raise InvalidArgument(*self._violations, more=self._more)


def instant_to(instant: datetime) -> Timestamp:
    """Return the timestamp of an instant."""
    since = instant - EPOCH
    return Timestamp(seconds=since.days * _DAY + since.seconds, nanos=since.microseconds * _NANOS_PER_MICRO)


def instant_from(message: Timestamp) -> datetime:
    """Return the instant of a server's timestamp."""
    return from_micros(message.seconds * _MICROS + message.nanos // _NANOS_PER_MICRO)


def duration_to(duration: timedelta) -> Duration:
    """Return the message of a duration."""
    seconds, micros = divmod(duration // MICROSECOND, _MICROS)
    if seconds < 0 < micros:  # both parts have the same sign
        seconds, micros = seconds + 1, micros - _MICROS
    return Duration(seconds=seconds, nanos=micros * _NANOS_PER_MICRO)


def duration_from(message: Duration) -> timedelta:
    """Return the duration of a server's message."""
    return _timedelta(message)


def struct_to(value: Mapping[str, Any]) -> Struct:
    """Return the Struct of a JSON object."""
    struct = Struct()
    _fill_struct(struct, value)
    return struct


def value_to(value: Any) -> Value:
    """Return the Value of a JSON value."""
    made = Value()
    _fill(made, value)
    return made


def json_asked(struct: Struct, field: str, most: int) -> dict[str, Any]:
    """Return the JSON object of a caller's request, which may have ``most`` bytes as text.

    Raises:
        InvalidArgument: if the message is so large that the text must be too large: it is not even decoded.
    """
    size = struct.ByteSize()
    if size > most * _MOST_PER_CHARACTER:
        reason = f"{size} bytes as a message, which cannot be the {most} bytes of JSON allowed"
        raise InvalidArgument.of(field, reason)
    return json_from(struct)


def json_from(struct: Struct) -> dict[str, Any]:
    """Return the JSON object of a Struct, its keys sorted: a map of protobuf's has another order each time."""
    return {key: value_from(item) for key, item in sorted(struct.fields.items())}


def value_from(value: Value) -> Any:
    """Return the JSON value of a Value; a Value that is not set is null."""
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return json_from(value.struct_value)
    if kind == "list_value":
        return [value_from(item) for item in value.list_value.values]
    if kind == "number_value":
        return whole(value.number_value)
    if kind is None or kind == "null_value":
        return None
    return getattr(value, kind)


def _fill(place: Value, value: Any) -> None:
    """Write a JSON value in its place: a Value made apart would be copied once more on each level."""
    if value is None:
        place.null_value = 0  # type: ignore[assignment]
    elif isinstance(value, bool):
        place.bool_value = value
    elif isinstance(value, str):
        place.string_value = value
    elif isinstance(value, int) and abs(value) > MAX_EXACT:
        place.string_value = str(value)  # a double would be another integer
    elif isinstance(value, int | float):
        place.number_value = value
    elif isinstance(value, Mapping):
        _fill_struct(place.struct_value, value)
    else:
        place.list_value.SetInParent()
        for item in value:
            _fill(place.list_value.values.add(), item)


def _fill_struct(place: Struct, value: Mapping[str, Any]) -> None:
    place.SetInParent()
    for key, item in value.items():
        _fill(place.fields[key], item)


def _timedelta(message: Duration) -> timedelta:
    return timedelta(seconds=message.seconds, microseconds=int(message.nanos / _NANOS_PER_MICRO))


def _fault_in(kind: type[Message], field: str, value: object) -> str | None:
    """Return why a field of a message cannot hold a value; None if it can."""
    try:
        kind(**{field: value})
    except (TypeError, ValueError, OverflowError):
        fault = fault_of(value) if isinstance(value, str) else None
        return fault or _KINDS.get(kind.DESCRIPTOR.fields_by_name[field].cpp_type, "is not a value of this field")
    return None
