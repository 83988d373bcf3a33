"""Schedules of ours for what others mean: a cron expression for sets of values, an interval for a period.

Cron takes day of month and day of week together (both must match) only where the text of one of the two begins with
``*``. So whether such a pair can be written depends on its values: Sunday alone is ``*/7``, and every list that has
Sunday can begin with it; a list of days can begin with ``*/N`` if it has the 1st and each N-th day after it.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from schedule_grpc.domain.schedule import parse
from schedule_grpc.domain.schedule.interval import ORIGIN
from schedule_grpc.errors import InvalidSchedule
from schedule_grpc.formats.imported.values import NotTheSame

MINUTES, HOURS, DAYS, MONTHS, WEEKDAYS = range(60), range(24), range(1, 32), range(1, 13), range(7)
COLUMNS = (MINUTES, HOURS, DAYS, MONTHS, WEEKDAYS)
MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAY_NAMES = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
"""As cron numbers them."""

_SECOND, _MINUTE = timedelta(seconds=1), timedelta(minutes=1)
_UNITS = (("week", 604_800), ("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))
_HOUR_MINUTES, _DAY_MINUTES, _WEEK_MINUTES = 60, 1_440, 10_080
_LONGEST_STEP = {MINUTES: 59, HOURS: 23, DAYS: 30, MONTHS: 11, WEEKDAYS: 6}
_FEWEST_OF_A_RUN = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Meaning:
    """What an expression of another program means: values of each field, Sunday is 0."""

    minutes: frozenset[int] = frozenset(MINUTES)
    hours: frozenset[int] = frozenset(HOURS)
    days: frozenset[int] = frozenset(DAYS)
    months: frozenset[int] = frozenset(MONTHS)
    weekdays: frozenset[int] = frozenset(WEEKDAYS)
    either_day: bool = False
    """Whether one of day of month and day of week is enough, where both are restricted; else both must match."""

    @property
    def values(self) -> tuple[frozenset[int], ...]:
        """The values of the fields, in cron's order."""
        return (self.minutes, self.hours, self.days, self.months, self.weekdays)

    @property
    def restricts_both_days(self) -> bool:
        """Whether neither day of month nor day of week is free."""
        return len(self.days) < len(DAYS) and len(self.weekdays) < len(WEEKDAYS)


def cron_text(meaning: Meaning, *, written: str = "") -> str:
    """Return a cron expression of this meaning.

    Args:
        meaning: What it must mean.
        written: An expression that is kept if it means the same to us.

    Raises:
        NotTheSame: if there is none.
    """
    if not all(meaning.values):
        raise NotTheSame("a field has no value, so it is never due")
    if meaning.either_day and (len(meaning.days) == len(DAYS) or len(meaning.weekdays) == len(WEEKDAYS)):
        meaning = replace(meaning, days=frozenset(DAYS), weekdays=frozenset(WEEKDAYS), either_day=False)
    texts = [_listed(values, column) for values, column in zip(meaning.values, COLUMNS, strict=True)]
    if meaning.restricts_both_days:
        texts[2], texts[4] = _both_days(meaning)
    rendered = " ".join(texts)
    try:
        fields = parse(rendered).fields
    except InvalidSchedule as error:
        raise NotTheSame(error.reason) from None
    try:
        if written and parse(written).fields == fields:
            return written
    except InvalidSchedule:
        pass
    return rendered


def interval_text(period: timedelta, *, began: datetime | None = None, program: str) -> tuple[str, str]:
    """Return a schedule that is due each period, and a note if it is due at other moments than with the program.

    Args:
        period: Of whole seconds.
        began: A moment from which the program counts; None if that is its own start, or the last run.
        program: Its name, for the note.

    Raises:
        NotTheSame: if the period is not of whole seconds, or too short or too long.
    """
    seconds, rest = divmod(period, _SECOND)
    if rest or seconds < 1:
        raise NotTheSame(f"an interval of {period.total_seconds():g} s is not of whole seconds")
    every = _every(seconds)
    try:
        parse(every)
    except InvalidSchedule as error:
        raise NotTheSame(error.reason) from None
    from_origin = "here intervals count from Sunday 1970-01-04 00:00 UTC"
    if began is None:
        return every, f"{from_origin}, {program} counts from its own start or last run: it is due at other moments"
    offset = (began - ORIGIN) % period
    if not offset:
        return every, ""
    if (text := _daily(period, offset)) is None:
        return every, f"{from_origin}, {program} counts from {_shown(began)}: it is due at other moments"
    late = offset % _MINUTE
    return text, f"cron has no seconds: it is due {late.total_seconds():g} s earlier here" if late else ""


def _shown(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _daily(period: timedelta, offset: timedelta) -> str | None:
    """Return the expression in UTC for a period that divides an hour, a day or a week; None for any other."""
    count, rest = divmod(period, _MINUTE)
    if rest:
        return None
    minute = offset // _MINUTE
    if _HOUR_MINUTES % count == 0:
        return cron_text(Meaning(minutes=frozenset(range(minute, _HOUR_MINUTES, count))))
    hours = frozenset(range(minute // _HOUR_MINUTES % 24, 24, max(count // _HOUR_MINUTES, 1)))
    at = frozenset({minute % _HOUR_MINUTES})
    if _DAY_MINUTES % count == 0 and count % _HOUR_MINUTES == 0:
        return cron_text(Meaning(minutes=at, hours=hours))
    if count == _WEEK_MINUTES:
        hour = minute // _HOUR_MINUTES % 24
        return cron_text(Meaning(minutes=at, hours=frozenset({hour}), weekdays=frozenset({minute // _DAY_MINUTES % 7})))
    return None


def _every(seconds: int) -> str:
    unit, length = next((unit, length) for unit, length in _UNITS if seconds % length == 0)
    count = seconds // length
    return f"every {count} {unit}{'s' if count > 1 else ''}"


def _both_days(meaning: Meaning) -> tuple[str, str]:
    """Return the texts of day of month and day of week, where both are restricted."""
    days, weekdays = meaning.days, meaning.weekdays
    if meaning.either_day:
        return _listed(days, DAYS, star=False), _listed(weekdays, WEEKDAYS, star=False)
    if 0 in weekdays:
        others = weekdays - {0}
        return _listed(days, DAYS, star=False), ",".join(["*/7", *([_listed(others, WEEKDAYS)] if others else [])])
    for step in range(2, _LONGEST_STEP[DAYS] + 1):
        first = set(range(1, 32, step))
        if first <= days:
            others = days - first
            text = ",".join([f"*/{step}", *([_listed(others, DAYS, star=False)] if others else [])])
            return text, _listed(weekdays, WEEKDAYS, star=False)
    raise NotTheSame(
        "day of month and day of week must both match there; cron runs where either does: "
        "run it on all of these days of the week, and let the handler look at the date"
    )


def _listed(values: Collection[int], column: range, *, star: bool = True) -> str:
    """Return a field's text for its values; it begins with ``*`` only if that is allowed."""
    if len(values) == len(column):
        return "*" if star else f"{column[0]}-{column[-1]}"
    ascending = sorted(values)
    if star:
        for step in range(2, _LONGEST_STEP[column] + 1):
            if ascending == list(column[::step]) and len(ascending) > 1:
                return f"*/{step}"
    return ",".join(_runs(ascending))


def _runs(ascending: list[int]) -> Iterable[str]:
    """Yield numbers, ranges, and ranges with a step."""
    at = 0
    while at < len(ascending):
        end = at + 1
        step = ascending[end] - ascending[at] if end < len(ascending) else 0
        while end + 1 < len(ascending) and ascending[end + 1] - ascending[end] == step:
            end += 1
        if step and end - at + 1 >= _FEWEST_OF_A_RUN:
            yield f"{ascending[at]}-{ascending[end]}{f'/{step}' if step > 1 else ''}"
            at = end + 1
        else:
            yield str(ascending[at])
            at += 1
