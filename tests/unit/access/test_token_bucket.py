"""A token bucket: over any time no more things happen than it gets tokens, beside the minute that it may have saved."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedule_grpc.domain.access.token_bucket import TokenBucket


def test_it_holds_a_minute_and_fills_at_its_rate():
    """At 60 a minute one comes each second; the wait that it names is the one that suffices, to a microsecond."""
    bucket = TokenBucket(60, 0)
    assert [bucket.take(1, 60, 0) for _ in range(60)] == [None] * 60
    assert bucket.take(1, 60, 0) == timedelta(seconds=1)
    assert bucket.take(2, 60, 0.5) == timedelta(seconds=1.5)
    assert bucket.take(2, 60, 2) is None
    assert bucket.take(1, 60, 1_000) is None
    assert bucket.tokens == 59


def test_more_than_it_holds_is_let_through_when_it_is_full():
    """The next ones wait for what it owes then."""
    bucket = TokenBucket(10, 0)
    assert bucket.take(1_000, 10, 0) is None
    assert bucket.take(1, 10, 0) == timedelta(minutes=99.1)
    assert bucket.take(1_000, 10, 60 * 99) == timedelta(minutes=1)
    assert bucket.take(1_000, 10, 60 * 100) is None


def test_less_than_one_a_minute_here_is_one_at_a_time():
    """Of a limit that several servers share, a bucket holds at least one token."""
    bucket = TokenBucket(1, 0)
    assert bucket.take(1, 0.5, 0) is None
    assert bucket.take(1, 0.5, 60) == timedelta(minutes=1)
    assert bucket.take(1, 0.5, 120) is None


def test_what_was_taken_for_nothing_comes_back():
    """But never more than it holds."""
    bucket = TokenBucket(10, 0)
    assert bucket.take(10, 10, 0) is None
    bucket.give_back(10)
    bucket.give_back(10)
    assert [bucket.take(1, 10, 0) is None for _ in range(11)] == [True] * 10 + [False]


@pytest.mark.parametrize("rate", [1, 7, 60, 600])
@given(steps=st.lists(st.tuples(st.floats(0, 30), st.integers(1, 5)), max_size=60))
def test_no_more_are_taken_than_it_got(rate: int, steps: list[tuple[float, int]]):
    """Beside the ones that it held at first; and a wait that it names is never too short."""
    bucket, now, taken = TokenBucket(rate, 0), 0.0, 0
    for pause, most in steps:
        now += pause
        count = min(most, rate)
        wait = bucket.take(count, rate, now)
        if wait is not None:
            now += wait.total_seconds() + 1e-6
            assert bucket.take(count, rate, now) is None
        taken += count
        assert taken <= rate + now * rate / 60 + 1e-3
