"""Statuses on the wire: whatever an error says, it fits into the headers that every peer accepts."""

import base64
from urllib.parse import quote

import pytest
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status

from schedule_grpc import errors
from schedule_grpc.errors import InvalidArgument, InvalidSchedule, ScheduleError, Violation
from schedule_grpc.formats.protobuf import status_of

HEADERS = 6 * 1024
"""Of the 8 KiB that gRPC accepts: the rest is for what stands beside it."""
TEXTS = ["x", "é", "字", "😀", "%", "\n", "\x00"]


def size(status: Status) -> int:
    """Return the bytes of a status in its two headers."""
    message = quote(status.message, safe=" !\"#$&'()*+,/:;<=>?@[\\]^`{|}~")
    return len(message) + len(base64.b64encode(status.SerializeToString()))


def violations(status: Status) -> list[BadRequest.FieldViolation]:
    """Return the violations of a status."""
    told = BadRequest()
    assert status.details[1].Unpack(told)
    return list(told.field_violations)


@pytest.mark.parametrize("text", TEXTS)
def test_every_error_fits_however_long_its_text(text: str):
    """Text of any alphabet, in every place that an error has."""
    long = text * 100_000
    for error in (
        ScheduleError(long, details={"a": long, "b": long, "c": long}),
        InvalidSchedule("schedule", long, text=long),
        InvalidArgument.of(long, long),
        InvalidArgument(*[Violation(field=long, reason=long)] * 1000),
        errors.TaskNotFound(long),
        errors.HandlerNotFound(long, (long, long), task=long),
        errors.EtagMismatch(long, given=long, current=long),
        errors.BindingError(long, long),
    ):
        assert size(status_of(error)) <= HEADERS, type(error)


def test_violations_are_told_while_they_fit_and_counted():
    """The first ones; the message says how many more there are."""
    short = [Violation(field=f"f{number}", reason="is wrong") for number in range(60)]
    status = status_of(InvalidArgument(*short))
    assert [each.field for each in violations(status)] == [f"f{number}" for number in range(20)]
    assert status.message.startswith("f0: is wrong; f1: is wrong; ")
    assert status.message.endswith("; and 40 more")
    status = status_of(InvalidArgument(*[Violation(field=each.field, reason="why" * 200) for each in short], more=5))
    told = violations(status)
    assert 1 <= len(told) < 20
    assert status.message.endswith(f"; and {65 - len(told)} more")


def test_few_violations_are_all_told():
    """And nothing is said of more."""
    error = InvalidArgument(*[Violation(field=f"f{number}", reason="is wrong") for number in range(20)])
    assert len(violations(status_of(error))) == 20
    assert status_of(error).message == error.message
    assert "more" not in error.message
