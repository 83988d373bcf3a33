"""When local clocks show what a cron expression means: the search for its next match, zone aside."""

from bisect import bisect_left
from calendar import monthrange
from datetime import MAXYEAR, date, datetime, time, timedelta
from functools import lru_cache

from schedule_grpc.schedule.grammar import Fields

_MINUTE = timedelta(minutes=1)


def next_match(fields: Fields, local: datetime) -> datetime | None:
    """Return the first match strictly after a local time; both naive. None if there is none until 9999."""
    try:
        first = local.replace(second=0, microsecond=0) + _MINUTE
    except OverflowError:
        return None
    if _is_day(fields, first.date()) and (later := _time_from(fields, first.hour, first.minute)) is not None:
        return datetime.combine(first, later)
    day = _day_after(fields, first.date())
    return None if day is None else datetime.combine(day, time(fields.hours[0], fields.minutes[0]))


def _time_from(fields: Fields, hour: int, minute: int) -> time | None:
    """Return the first time of a day that is not before this one; None if there is none."""
    if hour in fields.hours:
        place = bisect_left(fields.minutes, minute)
        if place < len(fields.minutes):
            return time(hour, fields.minutes[place])
    place = bisect_left(fields.hours, hour + 1)
    return time(fields.hours[place], fields.minutes[0]) if place < len(fields.hours) else None


def _is_day(fields: Fields, day: date) -> bool:
    return day.month in fields.months and day.day in _days(fields, day.year, day.month)


def _day_after(fields: Fields, day: date) -> date | None:
    days = _days(fields, day.year, day.month) if day.month in fields.months else ()
    place = bisect_left(days, day.day + 1)
    if place < len(days):
        return day.replace(day=days[place])
    for year in range(day.year, MAXYEAR + 1):
        for month in fields.months:
            if (year, month) <= (day.year, day.month):
                continue
            if days := _days(fields, year, month):
                return date(year, month, days[0])
    return None


def _days(fields: Fields, year: int, month: int) -> tuple[int, ...]:
    """Return the days of a month that match."""
    return _days_of(fields.days, fields.weekdays, fields.either_day, *_shape(year, month))


@lru_cache(maxsize=4096)
def _days_of(
    days: tuple[int, ...],
    weekdays: tuple[int, ...],
    either_day: bool,
    first_weekday: int,
    length: int,
) -> tuple[int, ...]:
    enough = any if either_day else all
    month = range(1, length + 1)
    return tuple(day for day in month if enough((day in days, (first_weekday + day - 1) % 7 in weekdays)))


@lru_cache(maxsize=4096)
def _shape(year: int, month: int) -> tuple[int, int]:
    """Return the weekday of a month's first day (Sunday is 0), and how many days it has."""
    first_weekday, length = monthrange(year, month)
    return (first_weekday + 1) % 7, length
