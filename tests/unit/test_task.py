"""What a task may hold: each limit at, below and above, and what an error says."""

import re
from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs
from support.rigs.rig import START, at

from schedule_grpc.api.ui.views.task_rows import task_row
from schedule_grpc.domain.examination import examined_task
from schedule_grpc.domain.finding import Verdict
from schedule_grpc.domain.registration import registered
from schedule_grpc.domain.retry import RetryPolicy
from schedule_grpc.domain.task import Policy, checked_payload, define
from schedule_grpc.errors import InvalidArgument, InvalidSchedule

MICROSECOND = timedelta(microseconds=1)


def refused(**changes: Any) -> list[str]:
    """Return what define says about a definition, line by line."""
    with pytest.raises(InvalidArgument) as caught:
        define(**({"name": "a", "schedule": "@daily", "handler": "h"} | changes))
    return [str(violation) for violation in caught.value.violations]


def test_a_definition_without_anything_else_has_the_defaults():
    """29 s, three retries, UTC, nothing to carry."""
    made = define(name="a", schedule="@daily", handler="h")
    assert (made.payload, made.metadata, made.description, made.category) == ({}, {}, "", "")
    assert made.policy == Policy(
        timeout=timedelta(seconds=29), retry=RetryPolicy(max_retries=3), start_deadline=timedelta(hours=1)
    )
    assert define(name="a", schedule="@daily", handler="h", time_zone="") == made


def test_missing_names_are_required():
    """Both, together."""
    assert refused(name="", handler="") == ["name: is required", "handler: is required"]


def test_a_refused_name_is_shown_but_not_whole():
    """Its first 40 characters, quoted, so that what cannot be seen is seen."""
    rule = "is not a letter or digit followed by up to 127 letters, digits, '.', '_' or '-'"
    assert refused(name="a\x00b") == [f"name: 'a\\x00b' {rule}"]
    assert refused(handler="x" * 10_000) == [f"handler: '{'x' * 40}…' {rule}"]


@pytest.mark.parametrize(
    ("field", "limit", "unit"), [("payload", 65_536, "bytes of JSON"), ("metadata", 16_384, "bytes of JSON")]
)
def test_json_is_measured_in_bytes_of_its_text(field: str, limit: int, unit: str):
    """A letter of two bytes counts twice; at the limit it is kept, one byte above it is told with both numbers."""
    define(name="a", schedule="@daily", handler="h", **{field: {"x": "é" * ((limit - 8) // 2)}})  # type: ignore[arg-type]
    told = refused(**{field: {"x": "é" * ((limit - 8) // 2) + "y"}})
    assert told == [f"{field}: {limit + 1} {unit}, more than the {limit} bytes allowed"]


def test_the_description_is_measured_in_characters():
    """4,096 of whatever kind."""
    assert define(name="a", schedule="@daily", handler="h", description="é" * 4096).description == "é" * 4096
    assert refused(description="é" * 4097) == ["description: longer than 4096 characters"]


@pytest.mark.parametrize(
    ("field", "least", "most", "reason"),
    [
        ("timeout", timedelta(seconds=1), timedelta(hours=24), "must be between 1 s and 24 h"),
        ("start_deadline", timedelta(seconds=1), timedelta(days=365), "must be between 1 s and 365 days"),
        ("catch_up_window", timedelta(0), timedelta(days=3650), "must be between 0 s and 3650 days"),
        ("jitter", timedelta(0), timedelta(hours=24), "must be between 0 s and 24 h"),
    ],
)
def test_a_policys_limits_are_part_of_it(field: str, least: timedelta, most: timedelta, reason: str):
    """At the limit accepted, a microsecond beyond it refused."""
    for value in (least, most):
        define(name="a", schedule="@daily", handler="h", policy=Policy(**{field: value}))  # type: ignore[arg-type]
    for value in (least - MICROSECOND, most + MICROSECOND):
        assert refused(policy=Policy(**{field: value})) == [f"policy.{field}: {reason}"]  # type: ignore[arg-type]


def test_everything_wrong_is_told_in_one_answer():
    """Each field once, and the error's own text is all of them."""
    with pytest.raises(InvalidArgument) as caught:
        define(
            name="",
            schedule="@daily",
            time_zone="Mars/Olympus",
            handler="a b",
            payload={"a": [float("inf")]},
            metadata={"b": object()},
            description="x" * 5000,
            policy=Policy(timeout=timedelta(0), retry=RetryPolicy(max_retries=-1)),
        )
    assert [violation.field for violation in caught.value.violations] == [
        "name",
        "handler",
        "description",
        "policy.timeout",
        "policy.retry.max_retries",
        "time_zone",
        "payload",
        "metadata",
    ]
    assert "payload: .a[0]: inf is not JSON" in str(caught.value)
    assert "metadata: .b: object is not JSON" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "field"), [({"schedule": "nonsense"}, "schedule"), ({"time_zone": "X/Y"}, "time_zone")]
)
def test_a_wrong_schedule_alone_is_an_error_of_its_own(changes: dict[str, str], field: str):
    """Which callers of the older service know by its words."""
    with pytest.raises(InvalidSchedule) as caught:
        define(**({"name": "a", "schedule": "@daily", "handler": "h"} | changes))
    assert (caught.value.field, caught.value.code) == (field, "INVALID_SCHEDULE")


def test_what_is_kept_is_a_copy():
    """The caller's mapping may change afterwards, the definition does not."""
    payload: dict[str, Any] = {"a": [1.0]}
    made = define(name="a", schedule="@daily", handler="h", payload=payload)
    payload["a"].append(2)
    assert made.payload == {"a": [1]}


def test_definitions_are_compared_by_what_they_mean():
    """A double that is whole, and the order of keys, make no difference; a policy does."""
    one = define(name="a", schedule="@daily", handler="h", payload={"a": 1, "b": 2})
    assert define(name="a", schedule="@daily", handler="h", payload={"b": 2.0, "a": 1.0}) == one
    assert define(name="a", schedule="@daily", handler="h", policy=Policy(timeout=timedelta(seconds=30))) != one


def test_a_manual_payload_is_checked_like_a_tasks():
    """At the limit kept; too large, too deep or not JSON refused, as `payload`."""
    assert checked_payload({"a": 1.0}) == {"a": 1}
    assert len(checked_payload({"x": "y" * (65_536 - 8)})["x"]) == 65_528
    deep: Any = 1
    for _ in range(33):
        deep = {"a": deep}
    for payload in ({"x": "y" * (65_536 - 7)}, deep, {"a": float("nan")}):
        with pytest.raises(InvalidArgument) as caught:
            checked_payload(payload)
        assert [violation.field for violation in caught.value.violations] == ["payload"]


def test_a_task_tells_its_next_runs_as_long_as_it_is_enabled():
    """As many as asked; fewer where the schedule ends, none while it is paused."""
    hourly = define(name="a", schedule="@hourly", handler="h")
    task = registered(None, hourly, enabled=None, now=START).after
    assert task.next_run_times(3) == (at("2026-01-31T11:00"), at("2026-01-31T12:00"), at("2026-01-31T13:00"))
    assert task.next_run_times(1) == (at("2026-01-31T11:00"),)
    paused = registered(None, hourly, enabled=False, now=START).after
    assert paused.next_run_times() == ()
    once = define(name="a", schedule="2026-02-01T00:00:00Z", handler="h")
    assert registered(None, once, enabled=None, now=START).after.next_run_times(5) == (at("2026-02-01T00:00"),)


def test_a_task_that_is_overdue_is_so_everywhere():
    """More than a minute after it should have fired, its jitter counted; a row of the dashboard says the same."""
    made = define(name="a", schedule="@hourly", handler="h", policy={"jitter": timedelta(minutes=10)})
    fresh = registered(None, made, enabled=None, now=START).after
    task = structs.replace(fresh, next_run_time=START, start_delay=timedelta(minutes=2))
    for late, expected in ((3, False), (3.1, True)):
        now = START + timedelta(minutes=late)
        (_, schedule, *_) = examined_task(task, (), offered=True, now=now)
        assert task.is_overdue(now) is task_row(task, (), now).is_overdue is expected
        assert (schedule.verdict is Verdict.FAIL) is expected
    unknown = structs.replace(task, start_delay=timedelta())
    (_, schedule, *_) = examined_task(unknown, (), offered=True, now=START + timedelta(minutes=10))
    assert schedule.verdict is Verdict.OK, "a caller does not know the delay, and the jitter is not over"
    assert not structs.replace(task, next_run_time=None).is_overdue(START + timedelta(days=1))


def test_a_task_is_known_by_its_names():
    """The id callers know, the etag of its revision."""
    task = registered(None, define(name="a-b", schedule="@daily", handler="h"), enabled=None, now=START).after
    assert (task.id, task.name, task.handler, task.etag) == ("task_a-b", "a-b", "h", "1")


def test_the_uids_of_new_tasks_ascend():
    """Within a moment and from one to the next: tasks that come together stand together. No two are the same."""
    definition = define(name="a", schedule="@daily", handler="h")
    moments = [START] * 1000 + [START + timedelta(milliseconds=1)] * 1000
    uids = [registered(None, definition, enabled=None, now=now).after.uid for now in moments]
    assert uids == sorted(uids)
    assert len({uid[-12:] for uid in uids}) == len(uids)
    assert all(re.fullmatch("[0-9a-f]{32}", uid) for uid in uids)
