"""True intervals: n-th period from 1970-01-04 00:00 UTC, by elapsed time."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from schedule_grpc.domain.schedule import Interval, parse


@pytest.mark.parametrize(
    ("text", "after", "expected"),
    [
        ("every 5 minutes", "2026-01-31T10:01:00Z", ["2026-01-31T10:05:00Z", "2026-01-31T10:10:00Z"]),
        ("every 2 hours", "2026-01-31T21:00:00Z", ["2026-01-31T22:00:00Z", "2026-02-01T00:00:00Z"]),
        ("every 3 days", "2026-01-30T00:00:00Z", ["2026-01-31T00:00:00Z", "2026-02-03T00:00:00Z"]),
        ("every 1 second", "2026-01-31T10:00:00.25Z", ["2026-01-31T10:00:01Z", "2026-01-31T10:00:02Z"]),
        ("every 45 minutes", "2026-01-31T00:00:00Z", ["2026-01-31T00:45:00Z", "2026-01-31T01:30:00Z"]),
        ("every 90 minutes", "2026-01-31T00:00:00Z", ["2026-01-31T01:30:00Z", "2026-01-31T03:00:00Z"]),
        ("every 1 week", "2026-01-31T10:00:00Z", ["2026-02-01T00:00:00Z", "2026-02-08T00:00:00Z"]),
        ("every 2 weeks", "2026-01-31T10:00:00Z", ["2026-02-01T00:00:00Z", "2026-02-15T00:00:00Z"]),
        ("every 5 hours", "1970-01-04T00:00:00Z", ["1970-01-04T05:00:00Z", "1970-01-04T10:00:00Z"]),
        ("every 3650 days", "1960-01-01T00:00:00Z", ["1960-01-07T00:00:00Z", "1970-01-04T00:00:00Z"]),
        ("every hour", "2026-01-31T10:30:00Z", ["2026-01-31T11:00:00Z", "2026-01-31T12:00:00Z"]),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_schedule_interval_occurrences(text, after, expected, zone):
    """An interval goes on through hours, days and months, whatever its zone."""
    found = parse(text, zone).upcoming(datetime.fromisoformat(after), len(expected))
    assert [instant.strftime("%Y-%m-%dT%H:%M:%SZ") for instant in found] == expected


@pytest.mark.parametrize("unit", ["second", "minute", "hour", "day", "week"])
@pytest.mark.parametrize("number", [2, 7, 45])
def test_schedule_intervals_are_regular(unit, number):
    """Every distance is one period, also over the ends of hours, days, months and years (the older service failed)."""
    period = number * timedelta(**{f"{unit}s": 1})
    after = datetime(2026, 12, 31, 22, 59, tzinfo=UTC)
    found = parse(f"every {number} {unit}s").upcoming(after, 50)
    assert {later - earlier for earlier, later in pairwise(found)} == {period}
    assert all((instant - datetime(1970, 1, 4, tzinfo=UTC)) % period == timedelta() for instant in found)


@pytest.mark.parametrize("text", ["every 2 weeks", "every 1 week", "every 7 weeks", "every week"])
def test_schedule_weeks_begin_on_sunday(text):
    """Intervals of weeks fall on Sundays, 00:00 UTC."""
    assert {found.strftime("%A %H:%M") for found in parse(text).upcoming(datetime(2026, 1, 1, tzinfo=UTC), 9)} == {
        "Sunday 00:00"
    }


@pytest.mark.parametrize(
    ("text", "period"),
    [
        ("every minute", timedelta(minutes=1)),
        ("EVERY 5 Minutes", timedelta(minutes=5)),
        ("  every\t05   minute ", timedelta(minutes=5)),
        ("every 1 seconds", timedelta(seconds=1)),
        ("every 3650 days", timedelta(days=3650)),
        ("every 315360000 seconds", timedelta(days=3650)),
        ("every 0000000000000000000001 day", timedelta(days=1)),
    ],
)
def test_schedule_intervals_are_read_in_any_case_and_with_any_blanks(text, period):
    """Case, blanks, leading zeros and the plural do not matter; without a number it is one."""
    schedule = parse(text)
    assert isinstance(schedule, Interval)
    assert (schedule.period, schedule.text) == (period, text)
    assert parse(schedule.text) == schedule


CRONS = {
    "every 60 seconds": "* * * * *",
    "every 1 minute": "* * * * *",
    "every 2 minutes": "*/2 * * * *",
    "every 300 seconds": "*/5 * * * *",
    "every 5 minutes": "*/5 * * * *",
    "every 30 minutes": "*/30 * * * *",
    "every 60 minutes": "0 * * * *",
    "every hour": "0 * * * *",
    "every 2 hours": "0 */2 * * *",
    "every 120 minutes": "0 */2 * * *",
    "every 12 hours": "0 */12 * * *",
    "every 24 hours": "0 0 * * *",
    "every 1 day": "0 0 * * *",
    "every 7 days": "0 0 * * 0",
    "every 1 week": "0 0 * * 0",
    "every 168 hours": "0 0 * * 0",
}
NO_CRONS = [
    "every 1 second",
    "every 30 seconds",
    "every 90 seconds",
    "every 7 minutes",
    "every 45 minutes",
    "every 90 minutes",
    "every 5 hours",
    "every 36 hours",
    "every 48 hours",
    "every 2 days",
    "every 3 days",
    "every 2 weeks",
    "every 7 weeks",
]


@pytest.mark.parametrize(("text", "cron"), CRONS.items())
def test_schedule_interval_and_its_cron_expression_fire_together(text, cron):
    """An interval's cron expression is due at exactly its instants in UTC."""
    interval, after = parse(text), datetime(2026, 2, 27, 22, 22, 22, tzinfo=UTC)
    assert interval.cron == cron
    assert interval.upcoming(after, 100) == parse(cron).upcoming(after, 100)
    assert interval.same_times(parse(cron))


@pytest.mark.parametrize("text", NO_CRONS)
def test_schedule_interval_that_no_cron_expression_equals(text):
    """Where cron would start anew with the hour, day or month, the interval says that it has no expression."""
    assert parse(text).cron is None
    assert parse(text).fields is None


def test_schedule_only_those_minutes_and_hours_have_an_expression_that_fire_with_it():
    """No period up to two days has an expression but the divisors of the hour and the day, and a day itself."""
    with_cron = [minutes for minutes in range(1, 2881) if parse(f"every {minutes} minutes").cron]
    assert with_cron == [1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60, 120, 180, 240, 360, 480, 720, 1440]
