"""What holds for every schedule, compared with scans that go minute by minute and know nothing of the search."""

import calendar
from datetime import UTC, date, datetime, timedelta, timezone
from typing import NamedTuple
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schedule_grpc.domain.schedule import parse
from schedule_grpc.errors import InvalidSchedule

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
CORRECTED = 180
"""Up to so many minutes Debian's cron takes a jump of the clock for one that it has to correct."""

CHANGES = [
    ("Europe/Berlin", "2026-03-29T01:00:00Z"),
    ("Europe/Berlin", "2026-10-25T01:00:00Z"),
    ("Europe/Dublin", "2027-10-31T01:00:00Z"),
    ("America/New_York", "2026-03-08T07:00:00Z"),
    ("America/New_York", "2026-11-01T06:00:00Z"),
    ("America/St_Johns", "2026-11-01T04:30:00Z"),
    ("America/Havana", "2026-03-08T05:00:00Z"),
    ("America/Havana", "2026-11-01T05:00:00Z"),
    ("America/Santiago", "2026-09-06T04:00:00Z"),
    ("America/Caracas", "2016-05-01T07:00:00Z"),
    ("Africa/Casablanca", "2026-02-15T02:00:00Z"),
    ("Africa/Casablanca", "2026-03-22T02:00:00Z"),
    ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
    ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"),
    ("Pacific/Chatham", "2026-04-04T14:00:00Z"),
    ("Pacific/Chatham", "2026-09-26T14:00:00Z"),
    ("Pacific/Apia", "2011-04-02T14:00:00Z"),
    ("Pacific/Apia", "2011-12-30T10:00:00Z"),
    ("Asia/Kathmandu", "1985-12-31T18:30:00Z"),
    ("Asia/Pyongyang", "2018-05-04T15:00:00Z"),
    ("Antarctica/Troll", "2026-03-29T01:00:00Z"),
    ("Antarctica/Troll", "2026-10-25T01:00:00Z"),
    ("Antarctica/Casey", "2009-10-17T18:00:00Z"),
    ("Antarctica/Casey", "2010-03-04T15:00:00Z"),
    ("Antarctica/Vostok", "1994-01-31T17:00:00Z"),
    ("Asia/Kolkata", "2026-06-01T00:00:00Z"),
    ("UTC", "2028-02-29T00:00:00Z"),
]

RAREST = [("0", 0), ("0", 0), ("29", 29), ("2", 2), ("*/7", 0)]
"""29 February on a Sunday: none between 2088 and 2128."""

fixed_seed = settings(derandomize=True, deadline=None, database=None, max_examples=60)


class Field(NamedTuple):
    """A field's text and the values that it was built to mean."""

    text: str
    values: frozenset[int]


class Expression(NamedTuple):
    """An expression's fields; what they mean is known without reading it."""

    minute: Field
    hour: Field
    day: Field
    month: Field
    weekday: Field

    @property
    def text(self):
        """The expression as cron would be given it."""
        return " ".join(field.text for field in self)

    @property
    def wildcard(self):
        """Whether Debian's cron calls it a wildcard job."""
        return self.minute.text.startswith("*") or self.hour.text.startswith("*")

    def on(self, day):
        """Tell whether a date matches: both days where one begins with ``*``, else either."""
        if day.month not in self.month.values:
            return False
        either = not (self.day.text.startswith("*") or self.weekday.text.startswith("*"))
        matches = (day.day in self.day.values, day.isoweekday() % 7 in self.weekday.values)
        return any(matches) if either else all(matches)

    def at(self, local):
        """Tell whether a local minute matches."""
        return local.minute in self.minute.values and local.hour in self.hour.values and self.on(local)


@st.composite
def fields(draw, low, high, plain_star=0.5):
    """Draw a field: ``*``, or a list of numbers, ranges and steps."""
    if draw(st.floats(0, 1)) < plain_star:
        return Field("*", frozenset(range(low, high + 1)))
    texts, values = [], set()
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(["number", "number", "range", "step", "star"]))
        first = draw(st.integers(low, high))
        last = draw(st.integers(first, high))
        step = draw(st.integers(1, high - low))
        if kind == "number":
            text, found = str(first), [first]
        elif kind == "range":
            text, found = f"{first}-{last}", range(first, last + 1)
        elif kind == "step":
            text, found = f"{first}-{last}/{step}", range(first, last + 1, step)
        else:
            text, found = f"*/{step}", range(low, high + 1, step)
        texts.append(text)
        values.update(found)
    return Field(",".join(texts), frozenset(values))


@st.composite
def expressions(draw, *, often=False):
    """Draw an expression that can fire; one that is due ``often`` has days to spare."""
    rare = 0.85 if often else 0.4
    weekday = draw(fields(0, 7, rare))
    found = Expression(
        draw(fields(0, 59, 0.25)),
        draw(fields(0, 23, 0.3)),
        draw(fields(1, 31, rare)),
        draw(fields(1, 12, 0.95 if often else 0.5)),
        Field(weekday.text, frozenset(value % 7 for value in weekday.values)),
    )
    either = not (found.day.text.startswith("*") or found.weekday.text.startswith("*"))
    if not either and min(found.day.values) > max(_month_length(month) for month in found.month.values):
        return draw(expressions(often=often))
    return found


def _month_length(month):
    return calendar.monthrange(2028, month)[1]


instants = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
zones = st.sampled_from(sorted({zone for zone, _ in CHANGES}))
intervals = st.builds(
    "every {} {}".format, st.integers(1, 500), st.sampled_from(["second", "minutes", "hour", "days", "weeks"])
)
texts = st.one_of(
    expressions().map(lambda expression: expression.text),
    intervals,
    st.sampled_from(["@hourly", "@daily", "@weekly", "@monthly", "@yearly", "@manual"]),
    instants.map(lambda instant: instant.isoformat()),
)


@fixed_seed
@given(text=texts, zone=zones, instant=instants)
def test_schedule_next_is_later_and_in_utc(text, zone, instant):
    """The next occurrence lies strictly after the instant, is in UTC, and is not due again after itself."""
    schedule = parse(text, zone)
    following = schedule.next_after(instant)
    if following is None:
        assert schedule.is_once or text == "@manual"
        return
    assert following > instant
    assert following.tzinfo is UTC
    later = schedule.next_after(following)
    assert later is None or later > following


@fixed_seed
@given(text=texts, zone=zones, instant=instants, parts=st.lists(st.floats(0, 1, exclude_max=True), max_size=5))
def test_schedule_next_is_the_same_until_it_comes(text, zone, instant, parts):
    """For every t in [after, next), next(t) is the same next, in whatever zone t is written."""
    schedule = parse(text, zone)
    following = schedule.next_after(instant)
    if following is None:
        return
    between = [instant + (following - instant) * part for part in parts]
    for asked in (*between, following - timedelta(microseconds=1)):
        if instant <= asked < following:
            assert schedule.next_after(asked) == following
            assert schedule.next_after(asked.astimezone(timezone(timedelta(hours=-9, minutes=-30)))) == following


@fixed_seed
@given(expression=expressions(), instant=instants)
@example(
    expression=Expression(*(Field(text, frozenset({value})) for text, value in RAREST)),
    instant=datetime(2088, 3, 1, tzinfo=UTC),
)
def test_schedule_passes_nothing_over_in_utc(expression, instant):
    """In UTC the next occurrence is the first matching minute of a plain scan of the calendar."""
    assert parse(expression.text).next_after(instant) == _scanned(expression, instant)


@settings(fixed_seed, max_examples=120)
@given(expression=expressions(often=True), change=st.sampled_from(CHANGES), lead=st.integers(0, 30 * 60))
def test_schedule_is_due_when_debian_cron_would_run_it(expression, change, lead):
    """Around changes of the offset, occurrences are those of a simulation of Debian cron's main loop."""
    zone, instant = change[0], datetime.fromisoformat(change[1])
    after = instant - lead * MINUTE
    expected = [found for found in _simulated(expression, ZoneInfo(zone), instant) if found > after]
    until = expected[99] if len(expected) > 99 else instant + DAY
    found = parse(expression.text, zone).due(after, until, newest=100)
    assert list(found.newest) == expected[:100]
    assert found.oldest == (expected[0] if expected else None)


@fixed_seed
@given(text=texts, zone=zones, after=instants, hours=st.integers(0, 400), newest=st.integers(0, 12))
def test_schedule_due_agrees_with_asking_one_by_one(text, zone, after, hours, newest):
    """What is due in a stretch is what next_after gives, one by one."""
    schedule, until = parse(text, zone), after + hours * HOUR / 10
    one_by_one, instant = [], after
    while len(one_by_one) <= 3_000 and (instant := schedule.next_after(instant)) is not None and instant <= until:
        one_by_one.append(instant)
    if len(one_by_one) > 3_000:
        return
    due = schedule.due(after, until, newest)
    assert (due.count, due.exact) == (len(one_by_one), True)
    assert list(due.newest) == (one_by_one[-newest:] if newest else [])
    assert due.oldest == (one_by_one[0] if one_by_one else None)


counted_texts = st.one_of(expressions(often=True).map(lambda expression: expression.text), intervals, texts)
near_changes = st.builds(
    lambda change, lead: (change[0], datetime.fromisoformat(change[1]) - lead),
    st.sampled_from(CHANGES),
    st.timedeltas(timedelta(hours=-4), timedelta(hours=30)),
)
anywhere = st.tuples(st.sampled_from(sorted(available_timezones() - {"localtime", "posixrules", "Factory"})), instants)


@settings(fixed_seed, max_examples=150)
@given(
    text=counted_texts,
    place=st.one_of(near_changes, anywhere),
    hours=st.integers(1, 36),
    step=st.sampled_from([MINUTE, 5 * MINUTE, 7 * MINUTE, HOUR, DAY, 90 * timedelta(seconds=1)]),
    whole=st.booleans(),
)
@example(
    text="30 2 * * *", place=("Europe/Berlin", datetime(2026, 3, 29, tzinfo=UTC)), hours=24, step=MINUTE, whole=True
)
@example(
    text="*/5 * * * *", place=("Europe/Berlin", datetime(2026, 10, 25, tzinfo=UTC)), hours=9, step=HOUR, whole=True
)
@example(
    text="0 0 30 12 *", place=("Pacific/Apia", datetime(2011, 12, 29, tzinfo=UTC)), hours=48, step=HOUR, whole=True
)
@example(
    text="*/7 * * * *", place=("Africa/Monrovia", datetime(1972, 1, 6, tzinfo=UTC)), hours=36, step=MINUTE, whole=True
)
@example(
    text="* * * * *", place=("Europe/Dublin", datetime(1916, 5, 21, tzinfo=UTC)), hours=30, step=MINUTE, whole=True
)
@example(
    text="every 7 seconds", place=("UTC", datetime(2026, 12, 31, 23, tzinfo=UTC)), hours=2, step=MINUTE, whole=True
)
@example(text="0 0 1 1 *", place=("Asia/Tokyo", datetime(2026, 12, 31, 10, tzinfo=UTC)), hours=9, step=HOUR, whole=True)
def test_schedule_counting_agrees_with_asking_one_by_one(text, place, hours, step, whole):
    """Each step of [start, end) has as many occurrences as next_after gives, whatever clocks do in it."""
    zone, start = place
    if whole:
        start = start.replace(second=0, microsecond=0)
    schedule, end = parse(text, zone), start + hours * HOUR
    expected = [0] * -((start - end) // step)
    instant = start - timedelta(microseconds=1)
    while (instant := schedule.next_after(instant)) is not None and instant < end:
        expected[(instant - start) // step] += 1
    assert schedule.count_by(start, end, step) == tuple(expected)
    if whole:
        due = schedule.minutes_due(start, hours * 60)
        assert due.bits.bit_count() + sum(due.others.values()) == sum(expected)


@fixed_seed
@given(text=texts, zone=zones)
def test_schedule_parsing_is_idempotent(text, zone):
    """A schedule's own text and zone give an equal schedule, its expression the same times, its reading one line."""
    schedule = parse(text, zone)
    again = parse.__wrapped__(schedule.text, schedule.time_zone)
    assert again == schedule
    assert hash(again) == hash(schedule)
    assert again.next_after(datetime(2026, 1, 1, tzinfo=UTC)) == schedule.next_after(datetime(2026, 1, 1, tzinfo=UTC))
    assert schedule.description.isprintable()
    assert schedule.description[0].isupper()
    if schedule.cron is not None:
        assert parse(schedule.cron).cron == schedule.cron
        assert parse(schedule.cron).same_times(schedule)


@fixed_seed
@given(expression=expressions(), index=st.integers(0, 4))
def test_schedule_same_times_whatever_the_spelling(expression, index):
    """A field spelt as a list, largest value first, leaves the times the same; not a day's ``*``, which means AND."""
    field = expression[index]
    listed = ",".join(map(str, sorted(field.values, reverse=True)))
    respelt = [listed if number == index else field.text for number, field in enumerate(expression)]
    if not (index in (2, 4) and field.text.startswith("*")):
        assert parse(" ".join(respelt)).same_times(parse(expression.text))


@settings(fixed_seed, max_examples=300)
@given(text=st.one_of(st.text(max_size=40), st.text("0123456789*/-, LW#?@everymondaTZ:.", max_size=40)))
def test_schedule_refuses_whatever_it_does_not_understand(text):
    """Any text at all is a schedule or an InvalidSchedule with a printable reason; nothing else escapes."""
    try:
        schedule = parse(text, "Europe/Berlin")
    except InvalidSchedule as error:
        refused = error
    else:
        assert schedule.text == text
        assert schedule.description
        return
    assert refused.field == "schedule"
    assert refused.reason.replace("…", "").isascii()
    assert refused.reason.isprintable()


@fixed_seed
@given(name=st.text(max_size=80))
def test_schedule_refuses_unknown_zones(name):
    """Any text at all is a zone's name or an InvalidSchedule on ``time_zone``."""
    with pytest.raises(InvalidSchedule) as refused:
        parse("@daily", name + "!")
    assert refused.value.field == "time_zone"


def _scanned(expression, instant):
    """Return the first matching minute after an instant in UTC, by going through days, hours and minutes."""
    day = instant.date()
    while True:
        if expression.on(day):
            for hour in sorted(expression.hour.values):
                for minute in sorted(expression.minute.values):
                    found = datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)
                    if found > instant:
                        return found
        day = date.fromordinal(day.toordinal() + 1)


def _simulated(expression, zone, change):
    """Return when Debian's cron, awake at every minute, would run a job from 36 h before a change to a day after it.

    It keeps a virtual minute that follows the clock, and compares the two: see "wakeup kinds" in its cron.c. Several
    fixed-time runs that it makes up for at one instant are one.
    """
    now, virtual, runs = change - 36 * HOUR, None, []
    while now <= change + DAY:
        clock = now.astimezone(zone).replace(tzinfo=None, fold=0)
        jump = 1 if virtual is None else (clock - virtual) // MINUTE
        matches = expression.at(clock)
        if 1 < jump <= CORRECTED and not expression.wildcard:
            matches = any(expression.at(virtual + minute * MINUTE) for minute in range(1, jump + 1))
        elif -CORRECTED < jump <= 0:
            matches = matches and expression.wildcard
        if matches:
            runs.append(now)
        if jump > 0 or jump <= -CORRECTED:
            virtual = clock
        now += MINUTE
    return runs
