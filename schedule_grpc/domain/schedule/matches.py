"""When local clocks show what a cron expression means: the search for its next match, zone aside.

croniter knows the calendar: which days an expression means, over months, leap years and weekdays. Within a day its
hours and minutes are looked up here: most tasks have one of a few kinds of days, and every one its own time of day.
The only file that knows croniter.
"""

from bisect import bisect_left
from datetime import MAXYEAR, date, datetime, time, timedelta
from functools import lru_cache
from threading import Lock

from schedule_grpc.domain.schedule.grammar import EVERY_DAY, EVERY_WEEKDAY, MONTHS, Fields

LONGEST_REST = 50
"""Years that are searched; no expression that can fire rests longer than 40 (29 February on a certain weekday)."""
_MINUTE, _DAY = timedelta(minutes=1), timedelta(days=1)
_LAST_DAY = date.max


def next_match(fields: Fields, local: datetime) -> datetime | None:
    """Return the first match strictly after a local time; both naive. None if there is none until 9999."""
    try:
        minute = local.replace(second=0, microsecond=0) if local.second or local.microsecond else local
        first = minute + _MINUTE
    except OverflowError:
        return None
    today = first.date()
    if _next_day(fields, today - _DAY) == today and (later := _time_from(fields, first.hour, first.minute)) is not None:
        return datetime.combine(today, later)
    day = _next_day(fields, today)
    return None if day is None else datetime.combine(day, time(fields.hours[0], fields.minutes[0]))


def _time_from(fields: Fields, hour: int, minute: int) -> time | None:
    """Return the first time of a day that is not before this one; None if there is none."""
    if hour in fields.hours:
        place = bisect_left(fields.minutes, minute)
        if place < len(fields.minutes):
            return time(hour, fields.minutes[place])
    place = bisect_left(fields.hours, hour + 1)
    return time(fields.hours[place], fields.minutes[0]) if place < len(fields.hours) else None


def _next_day(fields: Fields, after: date) -> date | None:
    """Return the first day after another one that an expression means."""
    if after == _LAST_DAY:
        return None
    if fields.means_every_day:
        return after + _DAY
    return _found_day(fields.days, fields.months, fields.weekdays, fields.either_day, after)


@lru_cache(maxsize=16_384)
def _found_day(
    days: tuple[int, ...], months: tuple[int, ...], weekdays: tuple[int, ...], either_day: bool, after: date
) -> date | None:
    return _calendar(days, months, weekdays, either_day).next_day(after)


class _Calendar:
    """One croniter object for days of one kind, kept: making one costs more than asking it."""

    def __init__(
        self, days: tuple[int, ...], months: tuple[int, ...], weekdays: tuple[int, ...], either_day: bool
    ) -> None:
        # It takes 70 ms to import, and clients that only carry schedules do not need it.
        from croniter import croniter  # noqa: PLC0415

        self._croniter = croniter(
            " ".join(
                # Plain lists, so that nothing is left for it to read in another way.
                "*" if len(values) == size else ",".join(map(str, values))
                for values, size in (
                    ((0,), 60),
                    ((0,), 24),
                    (days, len(EVERY_DAY)),
                    (months, MONTHS),
                    (weekdays, len(EVERY_WEEKDAY)),
                )
            ),
            datetime(1970, 1, 1),  # noqa: DTZ001 (days have no zone)
            day_or=either_day,
            max_years_between_matches=LONGEST_REST,
        )
        self._in_use = Lock()  # it keeps its position in itself

    def next_day(self, after: date) -> date | None:
        """Return the first day after another one; None if there is none until 9999."""
        try:
            with self._in_use:
                found: datetime = self._croniter.get_next(datetime, start_time=datetime.combine(after, time()))
        except (ValueError, OverflowError):
            if after.year < MAXYEAR - LONGEST_REST:
                raise  # it cannot come from the end of the calendar
            return None
        return found.date()


@lru_cache(maxsize=4096)
def _calendar(days: tuple[int, ...], months: tuple[int, ...], weekdays: tuple[int, ...], either_day: bool) -> _Calendar:
    return _Calendar(days, months, weekdays, either_day)
