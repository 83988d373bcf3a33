"""What a schedule's reading claims is what it does: readings are read back, and compared with what fires."""

import re
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schedule_grpc.domain.schedule import parse
from schedule_grpc.errors import InvalidSchedule

MONTHS = ("January", "February", "March", "April", "May", "June", "July")
MONTHS += ("August", "September", "October", "November", "December")
WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
MONTH, WEEKDAY = "|".join(MONTHS), "|".join(WEEKDAYS)
NUMBERS, TIMES = r"\d+(?:(?:, \d+)*,? and \d+)?", r"\d\d:\d\d(?:(?:, \d\d:\d\d)*,? and \d\d:\d\d)?"
MINUTES = (
    (r"Every minute", lambda _: range(60)),
    (r"Every hour", lambda _: [0]),
    (r"Every (\d+) minutes, minutes (\d+) through (\d+) past the hour", lambda m: range(m[1], m[2] + 1, m[0])),
    (r"Every (\d+) minutes", lambda m: range(0, 60, m[0])),
    (r"Minutes (\d+) through (\d+) past the hour", lambda m: range(m[0], m[1] + 1)),
    (rf"At (?:{NUMBERS}) minutes past the hour", lambda m: m),
)
HOURS = (
    (r", between (\d\d):00 and (\d\d):59", lambda m: range(m[0], m[2] + 1)),
    (rf", within the hours that begin at (?:{TIMES})", lambda m: m[::2]),
    (r", every (\d+) hours, between (\d\d):00 and (\d\d):59", lambda m: range(m[1], m[3] + 1, m[0])),
    (r", every (\d+) hours", lambda m: range(0, 24, m[0])),
    (r"", lambda _: range(24)),
)
DAYS = (
    (rf", on day (?:{NUMBERS}) of the month", lambda m: m),
    (r", every (\d+) days, between day (\d+) and (\d+) of the month", lambda m: range(m[1], m[2] + 1, m[0])),
    (r", between day (\d+) and (\d+) of the month", lambda m: range(m[0], m[1] + 1)),
    (r"", lambda _: range(1, 32)),
)


def claimed(reading: str) -> tuple[set[tuple[int, int]], set[int], set[int], set[int], bool]:
    """Return the times of day, days, months and days of the week that a reading names, and whether one day suffices."""
    times, rest = _times(reading)
    months, rest = _named(rest, MONTHS, "month")
    _, days, rest = _first(DAYS, rest)
    either = ", or on " in rest
    weekdays, rest = _named(rest.replace(", or on ", ", only on "), WEEKDAYS, "day")
    if not months:
        months, rest = _named(rest, MONTHS, "month")
    assert rest == "", f"{reading!r}: nothing is known of {rest!r}"
    by_number = {MONTHS.index(name) + 1 for name in months} or set(range(1, 13))
    return times, set(days), by_number, {WEEKDAYS.index(name) for name in weekdays} or set(range(7)), either


def _times(reading: str) -> tuple[set[tuple[int, int]], str]:
    at = re.match(rf"At ({TIMES})(?=,|$)", reading)
    if at:
        return {(int(each[:2]), int(each[3:])) for each in re.findall(r"\d\d:\d\d", at[1])}, reading[at.end() :]
    every = re.match(r"Every (\d+) hours", reading)
    if every:
        reading = f"At 0 minutes past the hour, every {reading.removeprefix('Every ')}"
    matched, minutes, rest = _first(MINUTES, reading)
    assert matched, reading
    _, hours, rest = _first(HOURS, rest)
    return set(product(hours, minutes)), rest


def _first(forms, text: str):
    """Return which form a text begins with, what that means, and the rest."""
    for pattern, meaning in forms:
        match = re.match(rf"(?:{pattern})(?=,|$)", text)
        if match and (pattern or text == "" or text[0] == ","):
            return pattern, [*meaning([int(each) for each in re.findall(r"\d+", match[0])])], text[match.end() :]
    raise AssertionError(f"no form is known of {text!r}")


def _named(text: str, names: tuple[str, ...], unit: str) -> tuple[set[str], str]:
    word = "|".join(names)
    every = re.match(rf", every (\d+) {unit}s(?:, ({word}) through ({word}))?(?=,|$)", text)
    if every and unit == "month":
        first = names.index(every[2]) if every[2] else 0
        last = names.index(every[3]) if every[3] else len(names) - 1
        return set(names[first : last + 1 : int(every[1])]), text[every.end() :]
    through = re.match(rf", ({word}) through ({word})(?=,|$)", text)
    if through:
        first, last = names.index(through[1]), names.index(through[2])
        several = names[first : last + 1] if first <= last else (*names[first:], *names[: last + 1])
        return set(several), text[through.end() :]
    only = re.match(rf", only (?:on|in) ((?:{word})(?:(?:, (?:{word}))*,? and (?:{word}))?)(?=,|$)", text)
    if only:
        return set(re.findall(word, only[1])), text[only.end() :]
    return set(), text


def check(expression: str) -> None:
    """Compare what a reading claims with what fires: on which days of some months, and when on the first of them."""
    schedule = parse(expression)
    times, days, months, weekdays, either = claimed(schedule.description)
    compared = False
    for number in range(75):
        day = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number)
        fits = day.day in days, day.isoweekday() % 7 in weekdays
        claims = day.month in months and (any(fits) if either else all(fits))
        before = day - timedelta(microseconds=1)
        following = schedule.next_after(before)
        fires = following is not None and following < day + timedelta(days=1)
        assert claims is fires, f"{expression} reads {schedule.description!r}: wrong on {day:%F}"
        if fires and not compared:
            due = schedule.due(before, before + timedelta(days=1), newest=1440).newest
            assert {(each.hour, each.minute) for each in due} == times, f"{expression} reads {schedule.description!r}"
            compared = True


def field(low: int, high: int, names: tuple[str, ...] = ()):
    """Return one field of an expression: stars, numbers, names, ranges, steps and lists of these."""
    number = st.integers(low, high)
    word = number.map(str) if not names else st.one_of(number.map(str), st.sampled_from(names))
    spans = st.tuples(number, number).map(sorted)
    step = st.integers(1, high - low)
    span = spans.map(lambda ends: f"{ends[0]}-{ends[1]}")
    stepped = st.tuples(spans, step).map(lambda told: f"{told[0][0]}-{told[0][1]}/{told[1]}")
    items = st.lists(st.one_of(word, span, stepped), min_size=1, max_size=4).map(",".join)
    return st.one_of(st.just("*"), step.map(lambda each: f"*/{each}"), word, items)


SHORT_MONTHS = tuple(name[:3].lower() for name in MONTHS)
SHORT_DAYS = tuple(name[:3] for name in WEEKDAYS)
expressions = st.tuples(
    field(0, 59), field(0, 23), field(1, 31), field(1, 12, SHORT_MONTHS), field(0, 7, SHORT_DAYS)
).map(" ".join)


@settings(derandomize=True, deadline=None, database=None, max_examples=60)
@given(expressions)
def test_a_reading_claims_what_fires(expression: str):
    """Whatever the fields are."""
    try:
        parse(expression)
    except InvalidSchedule:  # 31 February
        return
    check(expression)


@pytest.mark.parametrize("minutes", ["*", "*/5", "*/7", "0", "5", "0,30", "0-30", "0-30/10"])
@pytest.mark.parametrize("hours", ["*", "*/2", "*/5", "1-23/2", "9", "9-10", "9,11", "9-17/2", "0,23"])
def test_minutes_in_hours(minutes: str, hours: str):
    """Every form of the one with every form of the other: `* 9-10 * * *` fires 120 times, and says so."""
    check(f"{minutes} {hours} 1 * *")


@pytest.mark.parametrize("days", ["*", "*/2", "1,15", "1-7", "2-30/7"])
@pytest.mark.parametrize("months", ["*", "*/3", "jan", "1-3"])
@pytest.mark.parametrize("weekdays", ["*", "*/2", "0,7", "1-5", "5-7", "mon-fri/2"])
def test_days_in_months(days: str, months: str, weekdays: str):
    """Both kinds of days, and either, within the months."""
    check(f"0 9 {days} {months} {weekdays}")
