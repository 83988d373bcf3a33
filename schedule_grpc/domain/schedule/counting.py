"""Counting occurrences by arithmetic: a day of a cron expression is the product of its hours and its minutes.

To iterate over a day of ``* * * * *`` takes 150 ms, and a page that shows what ten thousand tasks will do has no time
for that. A stretch of time without a change of the clocks needs no search: the minutes in which an expression is due
are the bits of a number, which is made by one multiplication for each local day. Only around a change of the clocks
occurrences are searched one by one, by the rule that fires them.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from schedule_grpc.domain.schedule.grammar import Fields
from schedule_grpc.domain.schedule.zone import steady_around

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
_MINUTES_OF_HOUR, _MINUTES_OF_DAY = 60, 1440

NextAfter = Callable[[datetime], datetime | None]
"""The first occurrence strictly after an instant; None if there is none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MinutesDue:
    """In which minutes of a stretch of time a schedule is due."""

    bits: int = 0
    """Bit n is set if it is due once in minute n."""
    others: Mapping[int, int] = field(default_factory=dict)
    """Occurrences beside these, by minute."""
    at_beginnings: bool = True
    """Whether those of the bits lie right at the beginnings of the minutes."""


def minutes_by_search(next_after: NextAfter, start: datetime, count: int) -> MinutesDue:
    """Return the minutes of any schedule, found by going from one occurrence to the next."""
    others: dict[int, int] = {}
    for instant in occurrences(next_after, start, start + count * MINUTE):
        number = (instant - start) // MINUTE
        others[number] = others.get(number, 0) + 1
    return MinutesDue(others=others)


def minutes_of_cron(fields: Fields, zone: ZoneInfo, next_after: NextAfter, start: datetime, count: int) -> MinutesDue:
    """Return the minutes in which an expression is due in a zone, from an instant that is a whole minute of UTC."""
    bits, others = 0, dict[int, int]()
    end = start + count * MINUTE
    instant = start
    while instant < end:
        since, until, offset = steady_around(zone, instant)
        if offset is None or since >= instant or offset % MINUTE:
            until = min(_whole_minute(until), end)
            for found in occurrences(next_after, instant, until):
                number = (found - start) // MINUTE
                others[number] = others.get(number, 0) + 1
        else:
            until = min(until, end)
            minutes = -((instant - until) // MINUTE)
            first = (instant - start) // MINUTE
            bits |= minutes_shown(fields, instant.replace(tzinfo=None) + offset, minutes) << first
            until = instant + minutes * MINUTE
        instant = until
    return MinutesDue(bits=bits, others=others)


def minutes_shown(fields: Fields, local: datetime, count: int) -> int:
    """Return the minutes whose beginnings an expression means, from a local time on, as bits."""
    skipped, days = _days(local, count)
    whole = _day(fields.hours, fields.minutes)
    bits = 0
    for number, day in enumerate(days):
        if is_day_of(fields, day):
            bits |= whole << number * _MINUTES_OF_DAY
    return bits >> skipped & (1 << count) - 1


@lru_cache(maxsize=1024)
def _days(local: datetime, count: int) -> tuple[int, tuple[date, ...]]:
    """Return how many minutes of its day have passed at a local time, and the days of so many minutes from then on."""
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    skipped = (local - midnight) // MINUTE
    numbers = range(-(-(skipped + count) // _MINUTES_OF_DAY))
    return skipped, tuple((midnight + number * DAY).date() for number in numbers)


def is_day_of(fields: Fields, day: date) -> bool:
    """Return whether an expression means a day."""
    if fields.means_every_day:
        return True
    if day.month not in fields.months:
        return False
    of_month, of_week = day.day in fields.days, day.isoweekday() % 7 in fields.weekdays
    return of_month or of_week if fields.either_day else of_month and of_week


def occurrences(next_after: NextAfter, start: datetime, end: datetime) -> Iterator[datetime]:
    """Give the occurrences in [start, end), in their order."""
    found = next_after(start - timedelta.resolution)
    while found is not None and found < end:
        yield found
        found = next_after(found)


def set_bits(bits: int) -> Iterator[int]:
    """Give the numbers of the bits that are set, in their order."""
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest


@lru_cache(maxsize=4096)
def _day(hours: tuple[int, ...], minutes: tuple[int, ...]) -> int:
    """Return the minutes of a day as bits: the minutes of an hour, once for each hour."""
    return sum(1 << hour * _MINUTES_OF_HOUR for hour in hours) * sum(1 << minute for minute in minutes)


def _whole_minute(instant: datetime) -> datetime:
    """Return the first whole minute that is not before an instant."""
    whole = instant.replace(second=0, microsecond=0)
    return whole if whole == instant else whole + MINUTE
