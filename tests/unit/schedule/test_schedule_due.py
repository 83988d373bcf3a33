"""What is due in a stretch of time: the newest few, the oldest, and their number."""

from datetime import UTC, datetime, timedelta

import pytest

from schedule_grpc.domain.schedule import MAX_COUNTED, Due, parse

START = datetime(2026, 1, 1, tzinfo=UTC)


def _minutes(*numbers):
    return tuple(START + timedelta(minutes=number) for number in numbers)


@pytest.mark.parametrize("text", ["*/5 * * * *", "every 5 minutes"])
def test_schedule_due_holds_the_end_and_not_the_beginning(text):
    """The stretch is (after, until]: an occurrence at its beginning is accounted for already, one at its end is due."""
    schedule = parse(text)
    assert schedule.due(START, START) == Due()
    assert schedule.due(START, START + timedelta(minutes=4)) == Due()
    assert schedule.due(START, START + timedelta(minutes=5)) == Due(newest=_minutes(5), oldest=_minutes(5)[0], count=1)
    assert schedule.due(START, START + timedelta(minutes=21)) == Due(
        newest=_minutes(20), oldest=_minutes(5)[0], count=4
    )
    assert schedule.due(START + timedelta(hours=1), START) == Due()


@pytest.mark.parametrize("text", ["*/5 * * * *", "every 5 minutes"])
@pytest.mark.parametrize(
    ("newest", "expected"),
    [(0, ()), (1, (20,)), (3, (10, 15, 20)), (4, (5, 10, 15, 20)), (6, (5, 10, 15, 20)), (9, (5, 10, 15, 20))],
)
def test_schedule_due_lists_the_newest_in_ascending_order(text, newest, expected):
    """As many of the newest as asked for, fewer where there are fewer; the count is of all."""
    due = parse(text).due(START, START + timedelta(minutes=20), newest)
    assert due == Due(newest=_minutes(*expected), oldest=_minutes(5)[0], count=4, exact=True)


def test_schedule_due_counts_intervals_exactly():
    """An interval's count is arithmetic, however long the stretch."""
    due = parse("every 1 second").due(START, START + timedelta(days=3650), newest=2)
    end = START + timedelta(days=3650)
    assert due == Due(
        newest=(end - timedelta(seconds=1), end), oldest=START + timedelta(seconds=1), count=3650 * 86_400, exact=True
    )


@pytest.mark.parametrize(("extra", "exact"), [(0, True), (1, False)])
def test_schedule_due_counts_cron_up_to_its_bound(extra, exact):
    """Exactly 10,000 occurrences are counted as such; of more, the count says at least 10,000."""
    until = START + timedelta(minutes=MAX_COUNTED + extra)
    due = parse("* * * * *").due(START, until, newest=2)
    assert due == Due(newest=(until - timedelta(minutes=1), until), oldest=_minutes(1)[0], count=10_000, exact=exact)


@pytest.mark.parametrize(
    ("text", "until", "newest"),
    [
        ("* * * * *", "2026-12-31T12:34:56Z", ["2026-12-31T12:32:00Z", "2026-12-31T12:33:00Z", "2026-12-31T12:34:00Z"]),
        # crowded long ago, silent since: the search backward passes eleven empty months
        ("* * * 1 *", "2026-12-31T12:34:56Z", ["2026-01-31T23:57:00Z", "2026-01-31T23:58:00Z", "2026-01-31T23:59:00Z"]),
        (
            "* * 1-8 1 *",
            "2030-12-31T00:00:00Z",
            ["2030-01-08T23:57:00Z", "2030-01-08T23:58:00Z", "2030-01-08T23:59:00Z"],
        ),
        (
            "0,30 * * * *",
            "2027-01-01T00:00:00Z",
            ["2026-12-31T23:00:00Z", "2026-12-31T23:30:00Z", "2027-01-01T00:00:00Z"],
        ),
    ],
)
@pytest.mark.slow
def test_schedule_due_finds_the_newest_of_too_many(text, until, newest):
    """Where more are due than are counted, the newest are still the newest, and the oldest the oldest."""
    schedule, end = parse(text), datetime.fromisoformat(until)
    due = schedule.due(START, end, newest=3)
    assert [instant.strftime("%Y-%m-%dT%H:%M:%SZ") for instant in due.newest] == newest
    assert (due.oldest, due.count, due.exact) == (schedule.next_after(START), 10_000, False)
    assert schedule.due(START, end, newest=1).newest == due.newest[-1:]
    assert schedule.due(START, end, newest=0).newest == ()
    many = schedule.due(START, end, newest=150).newest
    assert many[-3:] == due.newest
    assert many == schedule.upcoming(many[0] - timedelta(seconds=1), 150)


@pytest.mark.parametrize("newest", [-1, 10_001])
def test_schedule_due_lists_no_more_than_are_counted(newest):
    """More than the bound, or fewer than none, cannot be asked for."""
    with pytest.raises(ValueError, match="cannot be listed"):
        parse("* * * * *").due(START, START, newest)
