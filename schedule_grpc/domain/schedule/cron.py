"""Cron expressions in a time zone."""

from dataclasses import dataclass, field
from datetime import MAXYEAR, datetime
from functools import lru_cache, partial
from zoneinfo import ZoneInfo

from schedule_grpc.domain.schedule import english
from schedule_grpc.domain.schedule.base import Schedule
from schedule_grpc.domain.schedule.counting import MinutesDue, minutes_of_cron
from schedule_grpc.domain.schedule.grammar import Fields
from schedule_grpc.domain.schedule.matches import LONGEST_REST, next_match
from schedule_grpc.domain.schedule.notes import clock_changes
from schedule_grpc.domain.schedule.zone import EARLIEST, next_instant

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
        return clock_changes(partial(next_match, self.meaning), self.zone, after, until, wildcard=wildcard)

    def _minutes_due(self, start: datetime, count: int) -> MinutesDue:
        return minutes_of_cron(self.meaning, self.zone, self._next, start, count)

    def _next(self, instant: datetime) -> datetime | None:
        # Occurrences lie on whole seconds, so all instants within one share their answer.
        second = instant.replace(microsecond=0) if instant.microsecond else instant
        return _next_after(self, max(second, EARLIEST))


@lru_cache(maxsize=32_768)
def _next_after(schedule: Cron, instant: datetime) -> datetime | None:
    """Return the next occurrence; ten thousand tasks on one schedule cost one computation."""
    meaning = schedule.meaning
    try:
        return next_instant(partial(next_match, meaning), schedule.zone, instant, wildcard=meaning.wildcard)
    except OverflowError:
        if instant.year < MAXYEAR - LONGEST_REST:
            raise  # it cannot come from the end of the calendar
        return None
