"""Policies: every value by its path, through the contract and the database and back, and the bounds of each."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.rigs.rig import START

from schedule_grpc.domain.canonical_json import encode
from schedule_grpc.domain.policy import DEFAULT, CatchUp, Overlap, Policy, Retention, Window
from schedule_grpc.domain.policy_reading import read_policy, understood
from schedule_grpc.domain.retry import RetryPolicy
from schedule_grpc.errors import InvalidArgument
from schedule_grpc.formats.protobuf import policy_asked, policy_from, policy_to
from schedule_grpc.pb import schedule_pb2 as pb
from schedule_grpc.store.policies import policy_text, stored_policy

durations = st.integers(0, 10**13).map(lambda micros: timedelta(microseconds=micros))
instants = st.integers(-(10**15), 10**15).map(lambda micros: START + timedelta(microseconds=micros))
policies = st.builds(
    Policy,
    timeout=durations,
    retry=st.builds(
        RetryPolicy,
        max_retries=st.integers(0, 100),
        initial_backoff=durations,
        multiplier=st.floats(1, 100),
        max_backoff=durations,
    ),
    overlap=st.sampled_from(Overlap),
    catch_up=st.sampled_from(CatchUp),
    catch_up_window=durations,
    jitter=durations,
    window=st.builds(Window, start_time=st.none() | instants, end_time=st.none() | instants),
    start_deadline=durations,
    alert_after=st.integers(0, 1000),
    overdue_grace=durations,
    payload_override=st.booleans(),
    retention=st.builds(Retention, max_age=durations, max_count=st.integers(1, 1_000_000)),
)


@given(policies)
def test_a_policy_survives_the_contract_and_the_database(policy: Policy):
    """As a caller asks for it, as a server tells of it, and as a row keeps it."""
    assert policy_asked(policy_to(policy)) == policy
    assert policy_from(policy_to(policy)) == policy
    assert stored_policy(policy_text(policy))[0] == policy


@given(policies)
def test_a_policy_is_its_fields(policy: Policy):
    """Every path once; from the defaults, they make the same policy again."""
    assert Policy().with_fields(policy.fields()) == policy
    assert policy.with_fields(dict.fromkeys(policy.fields())) == Policy()


def test_the_paths_are_those_of_the_contract():
    """As update masks and errors name them."""
    assert list(Policy().fields()) == [
        "timeout",
        "retry.max_retries",
        "retry.initial_backoff",
        "retry.multiplier",
        "retry.max_backoff",
        "overlap",
        "catch_up",
        "catch_up_window",
        "jitter",
        "window.start_time",
        "window.end_time",
        "start_deadline",
        "retention.max_age",
        "retention.max_count",
        "alert_after",
        "overdue_grace",
        "payload_override",
    ]


def test_a_path_that_is_none_is_refused():
    """It is a programmer's mistake: users' paths are checked where they come in."""
    with pytest.raises(KeyError):
        Policy().with_fields({"retry": None})


def test_rows_of_the_first_version_keep_their_policies():
    """What they do not tell has its default."""
    told = {
        "timeout_us": 5_000_000,
        "start_deadline_us": 60_000_000,
        "overlap": "ALLOW_ALL",
        "max_retries": 1,
        "initial_backoff_us": 1,
        "multiplier": 3,
        "max_backoff_us": 2,
    }
    microsecond = timedelta(microseconds=1)
    assert stored_policy(encode(told))[0] == Policy(
        timeout=timedelta(seconds=5),
        start_deadline=timedelta(minutes=1),
        overlap=Overlap.ALLOW_ALL,
        retry=RetryPolicy(max_retries=1, initial_backoff=microsecond, multiplier=3, max_backoff=2 * microsecond),
    )


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        (Policy(retention=Retention(max_count=0)), "policy.retention.max_count: must be between 1 and 1000000"),
        (Policy(retention=Retention(max_count=1_000_001)), "policy.retention.max_count: must be between 1 and 1000000"),
        (
            Policy(retention=Retention(max_age=timedelta(minutes=59))),
            "policy.retention.max_age: must be between 1 h and 3650 days",
        ),
        (Policy(alert_after=-1), "policy.alert_after: must be between 0 and 1000"),
        (Policy(overdue_grace=timedelta(days=366)), "policy.overdue_grace: must be between 0 s and 365 days"),
        (
            Policy(window=Window(start_time=START, end_time=START)),
            "policy.window.end_time: must be later than policy.window.start_time",
        ),
    ],
)
def test_what_is_out_of_bounds_is_told_by_its_path(policy: Policy, told: str):
    """The limits that are not the same as those of test_task."""
    assert [str(violation) for violation in policy.violations()] == [told]


def test_a_window_with_one_end_is_a_window():
    """Or none."""
    for window in (Window(), Window(start_time=START), Window(end_time=START)):
        assert list(Policy(window=window).violations()) == []


def test_an_unknown_path_is_never_dropped():
    """Whatever its value: a slip of the pen would lose a policy."""
    with pytest.raises(KeyError):
        Policy().with_fields({"tiemout": 5})


@given(policies)
def test_a_policy_is_understood_as_its_table_is(policy: Policy):
    """However often it was seen: what is kept of it is what reading it says."""
    told = read_policy(policy)
    expected = DEFAULT.with_fields(told.values), (*told.violations, *told.bounds())
    assert [understood(policy), understood(policy), understood(policy.fields())] == [expected] * 3


def test_what_is_equal_is_not_what_is_meant():
    """True is no number, though it is 1; of the hour that comes twice both passes are equal, and are two instants."""
    assert understood(Policy(alert_after=1))[1] == ()
    assert [each.field for each in understood(Policy(alert_after=True))[1]] == ["policy.alert_after"]
    twice = datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    for start, hour in ((twice, 0), (twice.replace(fold=1), 1)):
        window = understood(Policy(window=Window(start_time=start)))[0].window
        assert window.start_time == datetime(2026, 10, 25, hour, 30, tzinfo=UTC)


@pytest.mark.parametrize(("given", "meant"), [(True, True), (False, False), ("True", True), ("false", False)])
def test_a_flag_is_true_or_false(given: object, meant: bool):
    """As a value of its own, or as the word for it, in any case."""
    assert read_policy({"payload_override": given}).checked() == {"payload_override": meant}


@pytest.mark.parametrize("given", [1, 0, "yes", "", [True]])
def test_nothing_else_is_a_flag(given: object):
    """A number least of all, though 1 is equal to True."""
    (refused,) = read_policy({"payload_override": given}).violations
    assert refused.reason == f"{given!r} is neither true nor false"


def test_a_policy_made_of_something_else_is_read_all_the_same():
    """Its part is a table, a value a text or a list."""
    odd: Any = {"retry": {"max_retries": 5}}, {"window": None}, {"timeout": "5m"}, {"overlap": ["skip"]}
    read = [understood(Policy(**each)) for each in odd]
    assert [wrong for _, wrong in read[:3]] == [(), (), ()]
    assert (read[0][0].retry.max_retries, read[1][0], read[2][0].timeout) == (5, Policy(), timedelta(minutes=5))
    assert [each.field for each in read[3][1]] == ["policy.overlap"]


def test_a_message_of_a_policy_is_read_as_it_is_each_time():
    """Of what is kept nothing goes into another's; what is refused is refused again, one that is too large not kept."""
    asked = policy_to(Policy(alert_after=3))
    assert policy_asked(asked).alert_after == policy_asked(asked).alert_after == 3
    asked.timeout.seconds, asked.timeout.nanos = 1, -1
    for _ in range(2):
        with pytest.raises(InvalidArgument, match=r"policy\.timeout"):
            policy_asked(asked)
    large = pb.TaskPolicy.FromString(
        policy_to(Policy(alert_after=3)).SerializeToString() + b"\xfa\x3f\xd0\x0f" + b"x" * 2000
    )
    assert large.ByteSize() > 2000
    assert policy_asked(large) == Policy(alert_after=3)
