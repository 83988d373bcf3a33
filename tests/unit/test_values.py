"""Retry policy, JSON text, definitions, executions, pages: the pure values."""

from datetime import timedelta

import pytest
from msgspec.structs import replace
from support.rigs.rig import START, at

from schedule_grpc.domain.canonical_json import MAX_DEPTH, NotJson, canonical, normalise
from schedule_grpc.domain.execution import (
    CoveredRange,
    ExecutionFilter,
    Gate,
    Occupancy,
    Outcome,
    Reason,
    State,
    Trigger,
    admitted,
    after,
    new_execution_id,
    planned,
)
from schedule_grpc.domain.listing import TaskPlace
from schedule_grpc.domain.paging import ExecutionCursor, Page, TaskCursor
from schedule_grpc.domain.planning import plan
from schedule_grpc.domain.registration import registered
from schedule_grpc.domain.retry import FailureKind, RetryPolicy, next_wait
from schedule_grpc.domain.task import Overlap, Policy, TaskFilter, checked_payload, define
from schedule_grpc.errors import InvalidArgument, InvalidSchedule

SECOND = timedelta(seconds=1)


def task(schedule: str = "@hourly", **changes):
    """Return a new task."""
    definition = define(**({"name": "test-task", "schedule": schedule, "handler": "h"} | changes))
    return registered(None, definition, enabled=None, now=START).after


# -- retry


def test_backoff_is_one_two_four_seconds_and_never_more_than_ten():
    """The default policy, by the number of the failed attempt."""
    waits = [RetryPolicy().backoff(attempt).total_seconds() for attempt in (1, 2, 3, 4, 5, 1000, 10**6)]
    assert waits == [1, 2, 4, 8, 10, 10, 10]


@pytest.mark.parametrize(
    ("kind", "attempt", "wait"),
    [
        (FailureKind.ERROR, 1, 1),
        (FailureKind.TIMEOUT, 2, 2),
        (FailureKind.LEASE_LOST, 3, 4),
        (FailureKind.ERROR, 4, None),
        (FailureKind.REJECTED, 1, None),
    ],
)
def test_three_retries_unless_rejected(kind: FailureKind, attempt: int, wait: int | None):
    """Four attempts in all; a rejected one is the last."""
    found = next_wait(RetryPolicy(), kind=kind, attempt=attempt)
    assert (found.total_seconds() if found else None) == wait


# -- JSON


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1.0, "a": [True, None, 0.5]}, '{"a":[true,null,0.5],"b":1}'),
        (2.0**53, "9007199254740992"),
        (2.0**54, "1.8014398509481984e+16"),
        (-0.0, "0"),
        ("ü\u0000", '"ü\\u0000"'),
        ((1, 2), "[1,2]"),
    ],
)
def test_one_value_has_one_text(value: object, text: str):
    """Keys sorted, whole doubles as integers up to 2^53."""
    assert canonical(value) == text


@pytest.mark.parametrize("value", [float("inf"), {1: 1}, "\ud800", {"\ud800": 1}, {1, 2}, b"x", 10**309])
def test_what_is_not_json_is_refused(value: object):
    """Each with the place in its message."""
    with pytest.raises(NotJson, match=r"value|\."):
        normalise(value)


def test_depth_is_bounded():
    """32 levels are accepted, 33 are not."""
    value: object = 1
    for _ in range(MAX_DEPTH):
        value = [value]
    assert normalise(value) == value
    with pytest.raises(NotJson, match="nested deeper than 32 levels"):
        normalise([value])


# -- definitions


@pytest.mark.parametrize("name", ["a", "A.b_c-9", "0", "x" * 128])
def test_names_that_are_accepted(name: str):
    """Letters, digits, dot, underscore, hyphen; up to 128."""
    assert define(name=name, schedule="@daily", handler=name).name == name


@pytest.mark.parametrize(
    "name", ["", "a/b", "a b", "a:b", ".a", "-a", "a\x00", "😀", "é", "a\n", "x" * 129, "x" * 10_240, "'; DROP TABLE"]
)
def test_names_that_are_refused(name: str):
    """The violation names the field and shows no more than the beginning."""
    with pytest.raises(InvalidArgument) as caught:
        define(name=name, schedule="@daily", handler="h")
    (violation,) = caught.value.violations
    assert violation.field == "name"
    assert len(violation.reason) < 250


def test_every_wrong_field_is_told_at_once():
    """Name, handler, schedule, payload, policy: five violations, and the schedule's own error when it is alone."""
    with pytest.raises(InvalidArgument) as caught:
        define(
            name="a b",
            schedule="99 * * * *",
            handler="",
            payload={"x": float("nan")},
            policy=Policy(timeout=timedelta(0)),
        )
    fields = {violation.field for violation in caught.value.violations}
    assert fields == {"name", "handler", "schedule", "payload", "policy.timeout"}
    with pytest.raises(InvalidSchedule):
        define(name="a", schedule="99 * * * *", handler="h")


def test_sizes_are_bounded():
    """Payload 64 KiB, metadata 16 KiB, description 4,096 characters: at the limit accepted, one above refused."""
    define(name="a", schedule="@daily", handler="h", payload={"x": "y" * (65536 - 8)})
    define(name="a", schedule="@daily", handler="h", metadata={"x": "y" * (16384 - 8)}, description="d" * 4096)
    for field, value in (
        ("payload", {"x": "y" * (65536 - 7)}),
        ("metadata", {"x": "y" * (16384 - 7)}),
        ("description", "d" * 4097),
    ):
        with pytest.raises(InvalidArgument, match=field):
            define(name="a", schedule="@daily", handler="h", **{field: value})  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="payload"):
        checked_payload({"x": "y" * 65536})


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        (Policy(timeout=SECOND / 2), "policy.timeout"),
        (Policy(timeout=timedelta(hours=24) + SECOND), "policy.timeout"),
        (Policy(start_deadline=timedelta(0)), "policy.start_deadline"),
        (Policy(retry=RetryPolicy(max_retries=-1)), "policy.retry.max_retries"),
        (Policy(retry=RetryPolicy(max_retries=101)), "policy.retry.max_retries"),
        (Policy(retry=RetryPolicy(multiplier=0.5)), "policy.retry.multiplier"),
        (Policy(retry=RetryPolicy(multiplier=float("nan"))), "policy.retry.multiplier"),
        (Policy(retry=RetryPolicy(initial_backoff=-SECOND)), "policy.retry.initial_backoff"),
        (Policy(retry=RetryPolicy(max_backoff=timedelta(days=2))), "policy.retry.max_backoff"),
    ],
)
def test_policies_are_bounded(policy: Policy, field: str):
    """Each bound has its field."""
    with pytest.raises(InvalidArgument) as caught:
        define(name="a", schedule="@daily", handler="h", policy=policy)
    assert [violation.field for violation in caught.value.violations] == [field]


def test_a_description_comes_from_metadata_where_none_is_given():
    """metadata.description is understood; what is not text is not."""
    told = {"metadata": {"description": "from metadata", "category": "c"}}
    assert task(**told).definition.effective_description() == "from metadata"
    assert task(description="own", **told).definition.effective_description() == "own"
    assert task(metadata={"description": 1, "category": 2}).definition.effective_description() == ""
    assert task(metadata={"category": 2}).definition.category == ""


# -- planning


def test_nothing_due_moves_only_the_settled_time():
    """A look before the occurrence plans no execution."""
    firing = plan(task(), START + SECOND)
    assert (firing.executions, firing.next_run_time) == ((), at("2026-01-31T11:00"))


def test_a_plan_covers_what_is_older():
    """Three due: the newest is the row's own, two are covered."""
    (execution,) = plan(task(), at("2026-01-31T13:30")).executions
    assert execution.scheduled_time == at("2026-01-31T13:00")
    assert execution.covers == CoveredRange(
        from_time=at("2026-01-31T11:00"), to_time=at("2026-01-31T12:00"), count=2, exact=True
    )
    assert execution.trigger is Trigger.CATCH_UP


def test_more_than_can_be_counted_is_at_least():
    """A cron expression of every minute, two weeks late: 'at least', and the newest is still the newest."""
    (execution,) = plan(task("* * * * *"), START + timedelta(days=14, seconds=30)).executions
    assert execution.scheduled_time == START + timedelta(days=14)
    assert execution.covers is not None
    assert (execution.covers.exact, execution.covers.to_time) == (False, START + timedelta(days=14, minutes=-1))


def test_a_clock_set_back_never_moves_the_settled_time_back():
    """The settled time only goes forward."""
    assert plan(task(), START - timedelta(hours=5)).settled_time == START


# -- executions


def test_execution_ids_are_as_callers_know_them():
    """exec_<name>_<epoch ms>_<random>, unique."""
    ids = {new_execution_id("test-task", START) for _ in range(1000)}
    assert len(ids) == 1000
    assert all(each.startswith(f"exec_test-task_{int(START.timestamp() * 1000)}_") for each in ids)
    assert all(each.rpartition("_")[2].isalnum() and each == each.lower() for each in ids)


@pytest.mark.parametrize(
    ("overlap", "active", "any_open", "gate", "reason"),
    [
        (Overlap.SKIP, False, False, Gate.ACTIVE, None),
        (Overlap.SKIP, True, True, None, Reason.OVERLAP),
        (Overlap.SKIP, False, True, None, Reason.OVERLAP),
        (Overlap.ALLOW_ALL, False, False, Gate.ACTIVE, None),
        (Overlap.ALLOW_ALL, True, True, Gate.FREE, None),
        (Overlap.ALLOW_ALL, False, True, Gate.ACTIVE, None),
    ],
)
def test_the_gate(overlap: Overlap, active: bool, any_open: bool, gate: Gate | None, reason: Reason | None):
    """Who is let in, and how."""
    new = planned(task(), trigger=Trigger.MANUAL, now=START)
    found = admitted(new, Policy(overlap=overlap), Occupancy(active=active, any_open=any_open))
    assert (found.gate, found.reason) == (gate, reason)


def test_an_end_is_never_before_its_start():
    """The wall clock went back during the run: the end is the start."""
    running = replace(
        planned(task(), trigger=Trigger.MANUAL, now=START), state=State.RUNNING, attempt=1, start_time=START
    )
    outcome = Outcome(execution_id=running.id, lease_token="t", end_time=START - timedelta(hours=1), duration=SECOND)
    ended = after(running, outcome, task())
    assert ended.end_time == START
    assert ended.duration == timedelta(0)


# -- pages


@pytest.mark.parametrize(("size", "limit"), [(0, 100), (1, 1), (1000, 1000), (1001, 1000), (2**31 - 1, 1000)])
def test_page_sizes(size: int, limit: int):
    """Default 100, at most 1,000."""
    assert Page(size=size).limit == limit


def test_a_negative_page_size_is_refused():
    """It names the field."""
    with pytest.raises(InvalidArgument, match="page_size"):
        _ = Page(size=-1).limit


def test_tokens_go_round():
    """What is written is read, for the same question."""
    states = ExecutionFilter(states=frozenset({State.FAILED, State.MISSED, State.SKIPPED}))
    cursor = ExecutionCursor(position=(START, "exec_a"))
    assert ExecutionCursor.read(Page(token=cursor.write("t", states)), "t", states) == cursor
    place = TaskCursor(place=TaskPlace(name="x"))
    assert TaskCursor.read(Page(token=place.write(TaskFilter())), TaskFilter()) == place


@pytest.mark.parametrize("token", ["x", "AAAA", "e30=", "WzFd", "bnVsbA==", "W1tbW1tb", "\ud800", "é", "=" * 1000])
def test_foreign_tokens_are_refused(token: str):
    """Whatever they are made of."""
    with pytest.raises(InvalidArgument, match="page_token"):
        TaskCursor.read(Page(token=token), TaskFilter())
    with pytest.raises(InvalidArgument, match="page_token"):
        ExecutionCursor.read(Page(token=token), None, ExecutionFilter())


def test_a_token_of_another_list_is_refused():
    """A task's token does not open a list of executions, nor one task's history another's."""
    chosen = ExecutionFilter()
    token = ExecutionCursor(position=(START, "e")).write("a", chosen)
    for name in ("b", None):
        with pytest.raises(InvalidArgument, match="page_token"):
            ExecutionCursor.read(Page(token=token), name, chosen)
