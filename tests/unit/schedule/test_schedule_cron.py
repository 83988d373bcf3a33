"""When cron expressions are due in UTC, and at the ends of the calendar."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone

import pytest

from schedule_grpc.domain.schedule import Cron, cron, parse

OCCURRENCES = [
    # the named schedules, examples and triggers of the older service's description
    ("@hourly", "2026-01-31T10:00:00Z", ["2026-01-31T11:00:00Z", "2026-01-31T12:00:00Z"]),
    ("@daily", "2026-01-31T10:00:00Z", ["2026-02-01T00:00:00Z", "2026-02-02T00:00:00Z"]),
    ("@midnight", "2026-01-31T10:00:00Z", ["2026-02-01T00:00:00Z", "2026-02-02T00:00:00Z"]),
    ("@weekly", "2026-01-31T10:00:00Z", ["2026-02-01T00:00:00Z", "2026-02-08T00:00:00Z"]),
    ("@monthly", "2026-01-31T10:00:00Z", ["2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"]),
    ("@yearly", "2026-01-31T10:00:00Z", ["2027-01-01T00:00:00Z", "2028-01-01T00:00:00Z"]),
    ("@annually", "2026-01-31T10:00:00Z", ["2027-01-01T00:00:00Z", "2028-01-01T00:00:00Z"]),
    ("* * * * *", "2026-01-31T23:58:30Z", ["2026-01-31T23:59:00Z", "2026-02-01T00:00:00Z"]),
    ("*/5 * * * *", "2026-01-31T10:00:00Z", ["2026-01-31T10:05:00Z", "2026-01-31T10:10:00Z"]),
    ("0 * * * *", "2026-01-31T10:00:00Z", ["2026-01-31T11:00:00Z", "2026-01-31T12:00:00Z"]),
    ("0 0 * * *", "2026-01-31T10:00:00Z", ["2026-02-01T00:00:00Z", "2026-02-02T00:00:00Z"]),
    ("0 0 * * 0", "2026-01-31T10:00:00Z", ["2026-02-01T00:00:00Z", "2026-02-08T00:00:00Z"]),
    ("*/15 * * * *", "2026-01-31T10:50:00Z", ["2026-01-31T11:00:00Z", "2026-01-31T11:15:00Z"]),
    ("0 */2 * * *", "2026-01-31T21:00:00Z", ["2026-01-31T22:00:00Z", "2026-02-01T00:00:00Z"]),
    ("0 9 * * 1-5", "2026-01-30T09:00:00Z", ["2026-02-02T09:00:00Z", "2026-02-03T09:00:00Z"]),
    ("30 2 * * *", "2026-01-31T02:29:59Z", ["2026-01-31T02:30:00Z", "2026-02-01T02:30:00Z"]),
    # what other programs read in another way
    ("5-5 * * * *", "2026-01-31T10:00:00Z", ["2026-01-31T10:05:00Z", "2026-01-31T11:05:00Z"]),
    ("0 0 * * 5-7", "2026-01-31T10:00:00Z", ["2026-02-01T00:00:00Z", "2026-02-06T00:00:00Z"]),
    ("0 0 * * 7", "2026-01-31T10:00:00Z", ["2026-02-01T00:00:00Z", "2026-02-08T00:00:00Z"]),
    # both days restricted: either; one begins with *: both
    ("0 0 13 * 5", "2026-02-01T00:00:00Z", ["2026-02-06T00:00:00Z", "2026-02-13T00:00:00Z", "2026-02-20T00:00:00Z"]),
    ("0 0 13 * 5", "2026-04-10T00:00:00Z", ["2026-04-13T00:00:00Z", "2026-04-17T00:00:00Z"]),
    ("0 0 */2 * 1", "2026-02-01T00:00:00Z", ["2026-02-09T00:00:00Z", "2026-02-23T00:00:00Z"]),
    ("0 0 13 * */5", "2026-02-01T00:00:00Z", ["2026-02-13T00:00:00Z", "2026-03-13T00:00:00Z", "2026-09-13T00:00:00Z"]),
    ("0 0 31 2 1", "2026-02-17T00:00:00Z", ["2026-02-23T00:00:00Z", "2027-02-01T00:00:00Z"]),
    # the calendar
    ("0 0 31 * *", "2026-01-31T00:00:00Z", ["2026-03-31T00:00:00Z", "2026-05-31T00:00:00Z"]),
    ("0 0 29 2 *", "2026-01-01T00:00:00Z", ["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"]),
    ("0 0 29 2 *", "2096-03-01T00:00:00Z", ["2104-02-29T00:00:00Z"]),
    ("0 0 29 2 */7", "2088-03-01T00:00:00Z", ["2128-02-29T00:00:00Z"]),
    ("59 23 31 12 *", "1969-12-31T23:59:00Z", ["1970-12-31T23:59:00Z"]),
]


def _instants(schedule, after, count):
    return [found.strftime("%Y-%m-%dT%H:%M:%SZ") for found in schedule.upcoming(datetime.fromisoformat(after), count)]


@pytest.mark.parametrize(("text", "after", "expected"), OCCURRENCES)
def test_schedule_cron_occurrences(text, after, expected):
    """Expressions and names are due when Debian's cron would run them."""
    assert _instants(parse(text), after, len(expected)) == expected


@pytest.mark.parametrize(
    ("text", "cron"),
    [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        (" @Hourly ", "0 * * * *"),
        ("*/5 * * * *", "*/5 * * * *"),
        (" 0\t9 *  * MON-fri ", "0 9 * * MON-fri"),
    ],
)
def test_schedule_cron_text_is_kept_and_its_expression_told(text, cron):
    """``text`` is verbatim; ``cron`` is what a name stands for, or the expression with its blanks evened out."""
    schedule = parse(text, "Europe/Berlin")
    assert (schedule.text, schedule.cron, schedule.time_zone) == (text, cron, "Europe/Berlin")
    assert isinstance(schedule, Cron)
    assert not schedule.is_once
    assert parse(schedule.text, schedule.time_zone) == schedule


def test_schedule_values_are_equal_by_text_and_zone():
    """A schedule is a value: text and zone decide whether two are equal, not the object, nor what they mean."""
    one = parse("0 0 * * *", "Europe/Berlin")
    parse.cache_clear()
    other = parse("0 0 * * *", "Europe/Berlin")
    assert one is not other
    assert one == other
    assert hash(one) == hash(other)
    assert one != parse("0 0 * * *")
    assert one != parse("@daily", "Europe/Berlin")


def test_schedule_occurrences_are_in_utc_whatever_the_zone_of_the_question():
    """An instant in any zone is taken as what it is; the answer is aware and in UTC."""
    asked = datetime(2026, 1, 31, 23, 30, tzinfo=timezone(timedelta(hours=-5)))
    found = parse("0 0 * * *").next_after(asked)
    assert found == datetime(2026, 2, 2, tzinfo=UTC)
    assert found.tzinfo is UTC


@pytest.mark.parametrize("text", ["* * * * *", "every 5 minutes", "2026-01-01T00:00:00Z", "@manual"])
def test_schedule_naive_instants_are_refused(text):
    """A naive time is not an instant; every question raises ValueError instead of guessing a zone."""
    schedule, naive, aware = parse(text), datetime(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC)  # noqa: DTZ001
    for ask in (
        lambda: schedule.next_after(naive),
        lambda: schedule.upcoming(naive, 1),
        lambda: schedule.due(naive, aware),
        lambda: schedule.due(aware, naive),
    ):
        with pytest.raises(ValueError, match="naive"):
            ask()


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York", "Pacific/Apia", "Africa/Casablanca"])
@pytest.mark.parametrize(
    "text", ["* * * * *", "59 23 31 12 *", "0 0 29 2 *", "0 0 29 2 */7", "every 1 second", "@manual"]
)
def test_schedule_ends_with_the_year_9999(text, zone):
    """Where no occurrence is left until 9999 the answer is None; the calendar's ends raise nothing."""
    schedule = parse(text, zone)
    last = datetime.max.replace(tzinfo=UTC)
    assert schedule.next_after(last) is None
    assert schedule.next_after(last.replace(tzinfo=timezone(timedelta(hours=-12)))) is None
    assert schedule.upcoming(last, 3) == ()
    assert len(schedule.upcoming(last - timedelta(days=2), 1)) <= 1
    first = schedule.next_after(datetime.min.replace(tzinfo=timezone(timedelta(hours=12))))
    assert first is None or first.year < 50


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York"])
def test_schedule_fires_in_the_last_year_there_is(zone):
    """In 9999 zones still have their summers, and schedules are due."""
    schedule = parse("0 12 * * *", zone)
    summer = schedule.next_after(datetime(9999, 7, 1, 20, tzinfo=UTC))
    winter = schedule.next_after(datetime(9999, 12, 1, 20, tzinfo=UTC))
    expected = {"UTC": (12, 12), "Europe/Berlin": (10, 11), "America/New_York": (16, 17)}[zone]
    assert (summer.hour, winter.hour) == expected
    assert parse("* * * * *").next_after(datetime(9999, 12, 31, 23, 58, 59, 999_999, tzinfo=UTC)) == datetime(
        9999, 12, 31, 23, 59, tzinfo=UTC
    )


def test_schedule_late_microseconds_pass_nothing_over():
    """In a year whose timestamps are too coarse as floats, the last microsecond of a minute is still before its end."""
    after = datetime(9000, 6, 1, 11, 59, 59, 999_999, tzinfo=UTC)
    assert parse("* * * * *").next_after(after) == datetime(9000, 6, 1, 12, tzinfo=UTC)


def test_schedule_threads_share_an_expression():
    """Threads that ask one expression about different instants all get the right answers."""
    schedule, start = parse("*/7 3-5 * * 1-5"), datetime(2026, 1, 1, tzinfo=UTC)
    asked = [start + timedelta(hours=7 * number, seconds=1) for number in range(400)]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(schedule.next_after, asked))
    assert found == [_brute(instant) for instant in asked]


def _brute(instant):
    minute = instant.replace(second=0)
    while True:
        minute += timedelta(minutes=1)
        if minute.minute % 7 == 0 and 3 <= minute.hour <= 5 and minute.isoweekday() <= 5:
            return minute


def test_schedule_errors_far_from_the_end_are_not_taken_for_it(monkeypatch):
    """Only near the year 9999 does an error of the search mean that there is no occurrence; else it is shown."""
    monkeypatch.setattr(cron, "next_match", _out_of_range)
    schedule = parse("17 17 17 7 *")
    with pytest.raises(OverflowError, match="out of range"):
        schedule.next_after(datetime(2026, 1, 1, tzinfo=UTC))
    assert schedule.next_after(datetime(9960, 1, 1, tzinfo=UTC)) is None


def _out_of_range(*_args, **_options):
    raise OverflowError("year 10000 is out of range")
