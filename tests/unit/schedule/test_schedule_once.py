"""The schedules that do not repeat."""

from datetime import UTC, datetime, timedelta

import pytest

from schedule_grpc.domain.schedule import Due, Manual, Once, parse


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-01-31T10:00:00Z", datetime(2026, 1, 31, 10, tzinfo=UTC)),
        ("2026-01-31t10:00:00z", datetime(2026, 1, 31, 10, tzinfo=UTC)),
        ("2026-01-31T10:00:00+02:00", datetime(2026, 1, 31, 8, tzinfo=UTC)),
        ("2026-01-31T10:00:00-00:00", datetime(2026, 1, 31, 10, tzinfo=UTC)),
        ("2026-01-31T22:00:00.5-03:30", datetime(2026, 2, 1, 1, 30, 0, 500_000, tzinfo=UTC)),
        ("2026-01-31T10:00:00.123456789Z", datetime(2026, 1, 31, 10, 0, 0, 123_456, tzinfo=UTC)),
        (" 2024-02-29T23:59:59Z ", datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC)),
        ("9999-12-31T23:59:59Z", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_schedule_once_is_due_at_its_instant_only(text, instant):
    """An RFC 3339 instant is due once, with its fraction, whatever offset it is written in."""
    schedule = parse(text, "Europe/Berlin")
    assert isinstance(schedule, Once)
    assert schedule.is_once
    assert schedule.instant == instant
    assert (schedule.text, schedule.cron, schedule.fields) == (text, None, None)
    assert schedule.next_after(instant - timedelta(microseconds=1)) == instant
    assert schedule.next_after(instant) is None
    assert schedule.upcoming(instant - timedelta(days=1), 5) == (instant,)
    assert parse(schedule.text, "Europe/Berlin") == schedule


def test_schedule_once_in_a_stretch_of_time():
    """Its instant belongs to the stretch that ends with it, not to the one that begins with it."""
    schedule, instant = parse("2026-01-31T10:00:00Z"), datetime(2026, 1, 31, 10, tzinfo=UTC)
    hour = timedelta(hours=1)
    assert schedule.due(instant - hour, instant) == Due(newest=(instant,), oldest=instant, count=1)
    assert schedule.due(instant, instant + hour) == Due()


@pytest.mark.parametrize("text", ["@manual", "@MANUAL", " @manual\t"])
def test_schedule_manual_is_never_due(text):
    """A manual schedule has no occurrence and no expression."""
    schedule, after = parse(text), datetime(2026, 1, 1, tzinfo=UTC)
    assert isinstance(schedule, Manual)
    assert (schedule.text, schedule.cron, schedule.is_once) == (text, None, False)
    assert schedule.next_after(after) is None
    assert schedule.upcoming(after, 5) == ()
    assert schedule.due(after, after + timedelta(days=3650), newest=5) == Due()
    assert parse(schedule.text) == schedule
