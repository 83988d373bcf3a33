"""Cron expressions in a time zone. The only file that knows croniter."""

from dataclasses import dataclass, field
from datetime import MAXYEAR, datetime
from functools import lru_cache
from threading import Lock
from zoneinfo import ZoneInfo

from schedule_grpc.schedule import english
from schedule_grpc.schedule.base import Schedule
from schedule_grpc.schedule.grammar import EVERY_DAY, EVERY_WEEKDAY, Fields
from schedule_grpc.schedule.notes import clock_changes
from schedule_grpc.schedule.zone import EARLIEST, next_instant

NAMED = {
    "@hourly": ("0 * * * *", "Every hour, on the hour"),
    "@daily": ("0 0 * * *", "Every day at midnight"),
    "@midnight": ("0 0 * * *", "Every day at midnight"),
    "@weekly": ("0 0 * * 0", "Every Sunday at midnight"),
    "@monthly": ("0 0 1 * *", "On the first day of every month at midnight"),
    "@yearly": ("0 0 1 1 *", "On January 1st at midnight"),
    "@annually": ("0 0 1 1 *", "On January 1st at midnight"),
}
"""The names of cron's own (crontab(5)): what each stands for, and how it reads."""

_SEARCHED_YEARS = 50
"""How far croniter looks; no expression that can fire rests longer than 40 years (29 February on a certain weekday)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cron(Schedule):
    """A cron expression, or a name such as @daily.

    ``expression`` is the text with its blanks evened out, or what the name stands for.
    """

    expression: str = field(compare=False)
    meaning: Fields = field(compare=False, repr=False)
    zone: ZoneInfo = field(compare=False, repr=False)

    @property
    def cron(self) -> str:
        """The five-field expression."""
        return self.expression

    @property
    def description(self) -> str:
        """The schedule in English, without its zone."""
        _, reading = NAMED.get(self.text.strip().lower(), (self.expression, ""))
        return reading or english.of_cron(self.meaning)

    @property
    def fields(self) -> Fields:
        """The meaning of the expression, zone aside; equal for equal meanings, and hashable."""
        return self.meaning

    def _notes(self, after: datetime, until: datetime) -> tuple[str, ...]:
        wildcard = self.meaning.wildcard
        return clock_changes(_search(self.meaning).next_local, self.zone, after, until, wildcard=wildcard)

    def _next(self, instant: datetime) -> datetime | None:
        # Occurrences lie on whole seconds, so all instants within one share their answer.
        second = instant.replace(microsecond=0)
        return _next_after(self, max(second, EARLIEST))


@lru_cache(maxsize=32_768)
def _next_after(schedule: Cron, instant: datetime) -> datetime | None:
    """Return the next occurrence; ten thousand tasks on one schedule cost one computation."""
    meaning = schedule.meaning
    try:
        return next_instant(_search(meaning).next_local, schedule.zone, instant, wildcard=meaning.wildcard)
    except OverflowError:
        if _far_from_the_end(instant.year):
            raise
        return None


class _Search:
    """One croniter object, kept: making one costs more than asking it."""

    def __init__(self, meaning: Fields) -> None:
        # It takes 70 ms to import, and clients that only carry schedules do not need it.
        from croniter import croniter  # noqa: PLC0415

        self._croniter = croniter(
            " ".join(
                # Plain lists, so that nothing is left for it to read in another way.
                "*" if len(values) == size else ",".join(map(str, values))
                for values, size in (
                    (meaning.minutes, 60),
                    (meaning.hours, 24),
                    (meaning.days, len(EVERY_DAY)),
                    (meaning.months, 12),
                    (meaning.weekdays, len(EVERY_WEEKDAY)),
                )
            ),
            EARLIEST.replace(tzinfo=None),
            day_or=meaning.either_day,
            max_years_between_matches=_SEARCHED_YEARS,
        )
        self._in_use = Lock()  # it keeps its position in itself

    def next_local(self, local: datetime) -> datetime | None:
        """Return the first match strictly after a local time; both naive. None if there is none until 9999."""
        # It reckons in floats, which in late years are too coarse for microseconds; matches lie on whole minutes.
        minute = local.replace(second=0, microsecond=0)
        try:
            with self._in_use:
                found: datetime = self._croniter.get_next(datetime, start_time=minute)
        except (ValueError, OverflowError):
            if _far_from_the_end(local.year):
                raise
            return None
        return found


@lru_cache(maxsize=4096)
def _search(meaning: Fields) -> _Search:
    return _Search(meaning)


def _far_from_the_end(year: int) -> bool:
    """Tell whether an error cannot come from the end of the calendar, the year 9999."""
    return year < MAXYEAR - _SEARCHED_YEARS
