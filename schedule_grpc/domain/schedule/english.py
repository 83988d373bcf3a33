"""Schedules in English. cron-descriptor reads cron expressions; all else gets our own words.

cron-descriptor takes expressions by their spelling and is wrong about some (``0 0 */2 * 1`` it reads as OR, ``*/45`` as
every 45 minutes, ``0-7`` as Sunday through Sunday), so it is given the values an expression means, spelt plainly.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache

from schedule_grpc.domain.schedule.grammar import EVERY_DAY, EVERY_WEEKDAY, Fields

NEVER = "Only when run by hand"
UNREADABLE = "Cannot be read by this program"
_UNITS = (
    ("week", timedelta(weeks=1), ", on Sunday at 00:00 UTC"),
    ("day", timedelta(days=1), ", at 00:00 UTC"),
    ("hour", timedelta(hours=1), ""),
    ("minute", timedelta(minutes=1), ""),
    ("second", timedelta(seconds=1), ""),
)
_MIDNIGHT = "At 00:00"
"""How cron-descriptor begins a reading of days alone."""
_FEW = 3
"""Number of values from which values at equal distances are spelt as a range or a step."""


@lru_cache(maxsize=4096)
def of_cron(fields: Fields) -> str:
    """Return the reading of a cron expression: the time of day, then the days."""
    days = _days(fields)
    months = _read(months=_spelt(fields.months, range(1, 13))).removeprefix(_MIDNIGHT)
    # Where one of two kinds of days is enough, the months that bound both come first.
    return _time(fields) + (months + days if fields.either_day else days + months)


def of_interval(period: timedelta) -> str:
    """Return the reading of an interval, in its largest whole unit."""
    for name, unit, when in _UNITS:
        count, rest = divmod(period, unit)
        if count and not rest:
            return f"Every {name}{when}" if count == 1 else f"Every {count} {name}s{when}"
    raise AssertionError(f"an interval of {period} is not whole seconds")


def of_instant(instant: datetime) -> str:
    """Return the reading of a single instant."""
    return f"Once, at {instant.isoformat(sep=' ').removesuffix('+00:00')} UTC"


@lru_cache(maxsize=4096)
def _read(*, minutes: str = "0", hours: str = "0", days: str = "*", months: str = "*", weekdays: str = "*") -> str:
    # Kept: it takes a millisecond, and expressions are many, their times of day, days and months few.
    # It takes 50 ms to import, and only programs that show schedules need it.
    from cron_descriptor import Options, get_description  # noqa: PLC0415

    options = Options()
    options.use_24hour_time_format = True
    return str(get_description(f"{minutes} {hours} {days} {months} {weekdays}", options))


def _time(fields: Fields) -> str:
    """Return the reading of minutes and hours.

    Of many minutes in some hours cron-descriptor says "every minute, at 09:00 and 10:00", or "every minute, every 2
    hours": it reads the two as if each stood alone.
    """
    minutes = _spelt(fields.minutes, range(60))
    if len(fields.minutes) == 1:
        hours = _spelt(fields.hours, range(24))
        if hours == _listed(fields.hours):
            return _at([f"{hour:02}:{fields.minutes[0]:02}" for hour in fields.hours])
        return _read(minutes=minutes, hours=hours)
    if minutes == _listed(fields.minutes):
        return _past_the_hour(fields.minutes) + _hours(fields.hours)
    return _read(minutes=minutes, hours="*") + _hours(fields.hours)


def _at(times: Sequence[str]) -> str:
    """Return the reading of times of day, as cron-descriptor has it: they are many, and it takes a millisecond each."""
    *some, last = times
    return f"At {', '.join(some)} and {last}" if some else f"At {last}"


def _past_the_hour(minutes: Sequence[int]) -> str:
    """Return the reading of a list of minutes, likewise."""
    *some, last = map(str, minutes)
    return f"At {', '.join(some)}{',' if len(some) > 1 else ''} and {last} minutes past the hour"


def _hours(hours: tuple[int, ...]) -> str:
    """Return in which hours of the day a time within the hour is meant."""
    first, last = hours[0], hours[-1]
    if len(hours) == 24:  # noqa: PLR2004 (all of them)
        return ""
    if len(hours) == last - first + 1:
        return f", between {first:02}:00 and {last:02}:59"
    *some, one = (f"{hour:02}:00" for hour in hours)
    return f", within the hours that begin at {', '.join(some)}{',' if len(some) > 1 else ''} and {one}"


def _days(fields: Fields) -> str:
    days = _spelt(fields.days, EVERY_DAY)
    weekdays = _spelt_weekdays(fields.weekdays, either=fields.either_day)
    reading = _read(days=days, weekdays=weekdays).removeprefix(_MIDNIGHT)
    # It reads every pair of restricted days as OR, whatever the fields begin with.
    return reading if fields.either_day else reading.replace(", or on ", ", only on ")


def _spelt(values: tuple[int, ...], whole: range) -> str:
    """Return the values of a field as ``*``, a step, a range, or a list."""
    if len(values) == len(whole):
        return "*"
    step = values[1] - values[0] if len(values) >= _FEW else 0
    if not step or values != tuple(range(values[0], values[-1] + 1, step)):
        return _listed(values)
    if step > 1 and whole is not EVERY_DAY and values[0] == whole[0] and len(values) * step == len(whole):
        return f"*/{step}"
    return f"{values[0]}-{values[-1]}" if step == 1 else f"{values[0]}-{values[-1]}/{step}"


def _spelt_weekdays(weekdays: tuple[int, ...], *, either: bool) -> str:
    """Return the days of the week; a list where a range would be read without its "or on", and instead of steps."""
    if len(weekdays) == len(EVERY_WEEKDAY):
        return "*"
    if 0 in weekdays and 6 in weekdays:  # noqa: PLR2004 (Saturday)
        weekdays = (*weekdays[1:], 7)  # so that the weekend is one range
    if not either and len(weekdays) >= _FEW and weekdays[-1] - weekdays[0] == len(weekdays) - 1:
        return f"{weekdays[0]}-{weekdays[-1]}"
    return _listed(weekdays)


def _listed(values: tuple[int, ...]) -> str:
    return ",".join(map(str, values))
