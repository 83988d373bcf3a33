"""Backoff and its bounds, one by one."""

from dataclasses import replace
from datetime import timedelta

import pytest

from schedule_grpc.domain.retry import MAX_BACKOFF, MAX_RETRIES, FailureKind, RetryPolicy, next_wait

SECOND = timedelta(seconds=1)
MICROSECOND = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("policy", "waits"),
    [
        (RetryPolicy(multiplier=1), [1, 1, 1, 1]),
        (RetryPolicy(multiplier=3, max_backoff=timedelta(hours=1)), [1, 3, 9, 27]),
        (RetryPolicy(multiplier=1.5, initial_backoff=2 * SECOND), [2, 3, 4.5, 6.75]),
        (RetryPolicy(initial_backoff=timedelta(0)), [0, 0, 0, 0]),
        (RetryPolicy(initial_backoff=60 * SECOND), [10, 10, 10, 10]),
        (RetryPolicy(max_backoff=timedelta(0)), [0, 0, 0, 0]),
        (RetryPolicy(initial_backoff=MAX_BACKOFF, multiplier=100, max_backoff=MAX_BACKOFF), [86400] * 4),
    ],
)
def test_waits_grow_by_the_multiplier_up_to_the_longest(policy: RetryPolicy, waits: list[float]):
    """After the first, second, third and fourth failed attempt, in seconds."""
    assert [policy.backoff(attempt).total_seconds() for attempt in (1, 2, 3, 4)] == waits


def test_the_largest_exponent_does_not_overflow():
    """After attempt 100 with multiplier 100, and far beyond what a double can hold."""
    policy = RetryPolicy(multiplier=100, max_backoff=MAX_BACKOFF)
    assert {policy.backoff(attempt) for attempt in (100, 155, 10_000)} == {MAX_BACKOFF}


@pytest.mark.parametrize(
    ("field", "within", "beyond"),
    [
        ("max_retries", [0, MAX_RETRIES], [-1, MAX_RETRIES + 1]),
        ("multiplier", [1, 100], [0.999, 100.001, 0, -2, float("nan"), float("inf")]),
        ("initial_backoff", [timedelta(0), MAX_BACKOFF], [-MICROSECOND, MAX_BACKOFF + MICROSECOND]),
        ("max_backoff", [timedelta(0), MAX_BACKOFF], [-MICROSECOND, MAX_BACKOFF + MICROSECOND]),
    ],
)
def test_each_bound_is_accepted_and_a_step_beyond_it_is_not(field: str, within: list[object], beyond: list[object]):
    """The violation names the field as the contract does."""
    for value in within:
        assert list(replace(RetryPolicy(), **{field: value}).violations()) == []
    for value in beyond:
        (violation,) = replace(RetryPolicy(), **{field: value}).violations()
        assert violation.field == f"policy.retry.{field}"
        assert violation.reason.startswith("must be between")


def test_all_violations_are_told_together():
    """Four fields, four reasons, each as `field: reason`."""
    policy = RetryPolicy(max_retries=-1, multiplier=0, initial_backoff=-SECOND, max_backoff=-SECOND)
    assert [str(violation) for violation in policy.violations()] == [
        "policy.retry.max_retries: must be between 0 and 100",
        "policy.retry.multiplier: must be between 1 and 100",
        "policy.retry.initial_backoff: must be between 0 s and 24 h",
        "policy.retry.max_backoff: must be between 0 s and 24 h",
    ]


@pytest.mark.parametrize("kind", [FailureKind.ERROR, FailureKind.TIMEOUT, FailureKind.LEASE_LOST])
@pytest.mark.parametrize("retries", [0, 1, 3, MAX_RETRIES])
def test_as_many_retries_as_granted_and_then_the_end(kind: FailureKind, retries: int):
    """The last granted retry follows attempt number `retries`; the next failure is final, whatever its kind."""
    policy = RetryPolicy(max_retries=retries)
    granted = [next_wait(policy, kind=kind, attempt=attempt) for attempt in range(1, retries + 1)]
    assert None not in granted
    assert next_wait(policy, kind=kind, attempt=retries + 1) is None


def test_a_wait_of_nothing_is_a_retry_and_not_the_end():
    """Zero seconds are not None."""
    assert next_wait(RetryPolicy(initial_backoff=timedelta(0)), kind=FailureKind.ERROR, attempt=1) == timedelta(0)
