"""Times and durations that protobuf does not allow are refused, each by its field."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from support.servers.live import asked

from schedule_grpc.domain.registration import registered
from schedule_grpc.domain.task import define
from schedule_grpc.errors import InvalidArgument
from schedule_grpc.formats import protobuf
from schedule_grpc.formats.json_answers import task_json
from schedule_grpc.pb import schedule_pb2 as pb

SECONDS = 315_576_000_000


@pytest.mark.parametrize(
    ("duration", "reason"),
    [
        (Duration(seconds=1, nanos=2_000_000_000), "nanos are a second or more"),
        (Duration(nanos=1_000_000_000), "nanos are a second or more"),
        (Duration(nanos=-1_000_000_000), "nanos are a second or more"),
        (Duration(seconds=1, nanos=-1), "seconds and nanos have different signs"),
        (Duration(seconds=-1, nanos=1), "seconds and nanos have different signs"),
        (Duration(seconds=-1, nanos=2_000_000_000), "seconds and nanos have different signs"),
        (Duration(seconds=SECONDS + 1), "longer than 10,000 years"),
        (Duration(seconds=-(2**63)), "longer than 10,000 years"),
        (Duration(seconds=2**63 - 1, nanos=999_999_999), "longer than 10,000 years"),
    ],
)
def test_a_duration_that_protobuf_does_not_allow_is_refused(duration: Duration, reason: str):
    """In a registration and in an update, by the field's name; two seconds too many are not taken in silence."""
    policy = pb.TaskPolicy(timeout=duration, retry=pb.RetryPolicy(max_backoff=duration))
    requests = [
        lambda: protobuf.registration_from(asked(policy=policy)),
        lambda: protobuf.update_from(pb.UpdateTaskRequest(task=pb.Task(name="a", policy=policy))),
    ]
    complaint = f"is not a valid duration: {reason}"
    for request in requests:
        with pytest.raises(InvalidArgument) as caught:
            request()
        told = {violation.field: violation.reason for violation in caught.value.violations}
        assert told == {"policy.timeout": complaint, "policy.retry.max_backoff": complaint}


@pytest.mark.parametrize(
    ("duration", "read"),
    [
        (Duration(seconds=1, nanos=999_999_999), timedelta(seconds=1, microseconds=999_999)),
        (Duration(nanos=-999_999_999), timedelta(microseconds=-999_999)),
        (Duration(seconds=SECONDS), timedelta(seconds=SECONDS)),
        (Duration(), timedelta(0)),
    ],
)
def test_a_duration_is_read_to_the_microsecond(duration: Duration, read: timedelta):
    """Finer parts are dropped."""
    reader = protobuf.Reader()
    assert reader.duration(duration, "field") == read
    reader.check()


@pytest.mark.parametrize(
    "timestamp",
    [
        Timestamp(seconds=1, nanos=1_000_000_000),
        Timestamp(seconds=1, nanos=-1),
        Timestamp(seconds=253_402_300_800),
        Timestamp(seconds=-62_135_596_801),
        Timestamp(seconds=2**63 - 1),
        Timestamp(seconds=-(2**63), nanos=999_999_999),
    ],
)
def test_a_time_that_protobuf_does_not_allow_is_refused(timestamp: Timestamp):
    """In a window, in filters of lists, by the field's name."""
    window = pb.TaskPolicy(window=pb.TaskPolicy.Window(start_time=timestamp))
    requests = {
        "policy.window.start_time": lambda: protobuf.registration_from(asked(policy=window)),
        "end_time": lambda: protobuf.execution_filter_from(pb.ListExecutionsRequest(end_time=timestamp)),
    }
    for field, request in requests.items():
        with pytest.raises(InvalidArgument) as caught:
            request()
        assert [violation.field for violation in caught.value.violations] == [field]


@pytest.mark.parametrize(
    ("timestamp", "read"),
    [
        (Timestamp(seconds=253_402_300_799, nanos=999_999_999), datetime.max.replace(tzinfo=UTC)),
        (Timestamp(seconds=-62_135_596_800), datetime.min.replace(tzinfo=UTC)),
    ],
)
def test_the_first_and_the_last_time_are_read(timestamp: Timestamp, read: datetime):
    """The years 1 and 9999."""
    reader = protobuf.Reader()
    assert reader.instant(timestamp, "field") == read
    reader.check()


def test_a_json_object_has_its_keys_in_order_at_every_depth():
    """A map of protobuf's has none, and a command that prints the object twice prints the same."""
    names = [f"key {number}" for number in range(30)]
    read = protobuf.json_from(protobuf.struct_to({name: [dict.fromkeys(names, 1)] for name in reversed(names)}))
    assert list(read) == sorted(names)
    assert all(list(within) == sorted(names) for [within] in read.values())


def test_the_json_answer_of_a_task_has_its_keys_in_order():
    """As a caller registers it, in whatever order its keys come."""
    definition = define(name="a", schedule="@daily", handler="b", payload={"b": {"d": 1, "c": 2}, "a": 3})
    task = registered(None, definition, enabled=None, now=datetime(2026, 1, 31, tzinfo=UTC)).after
    assert json.dumps(task_json(task)["payload"]) == '{"a": 3, "b": {"c": 2, "d": 1}}'
