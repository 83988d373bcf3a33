"""True intervals, such as ``every 45 minutes``: by elapsed time, whatever clocks do."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from schedule_grpc.domain.schedule import english
from schedule_grpc.domain.schedule.base import Due, Schedule
from schedule_grpc.domain.schedule.counting import MinutesDue
from schedule_grpc.domain.schedule.grammar import Refused, shown

ORIGIN = datetime(1970, 1, 4, tzinfo=UTC)
"""A Sunday midnight. Intervals count from here, so all replicas agree and a restart moves nothing."""
LONGEST = timedelta(days=3650)

_UNITS = {
    "second": timedelta(seconds=1),
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
}
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_INTERVAL = re.compile(r"every\s+(?:(?P<count>\S+)\s+)?(?P<unit>[a-z]+)", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval(Schedule):
    """Every n-th ``period`` from `ORIGIN`."""

    period: timedelta = field(compare=False)

    @property
    def cron(self) -> str | None:
        """The cron expression that fires at the same instants in UTC.

        There is one for minutes that divide the hour, hours that divide the day, a day, and a week; no other interval
        starts anew with the hour, the day or the week, as cron does.
        """
        minutes, rest = divmod(self.period, _UNITS["minute"])
        if rest:
            return None
        if _HOUR % self.period == timedelta():
            return {1: "* * * * *", 60: "0 * * * *"}.get(minutes, f"*/{minutes} * * * *")
        if _DAY % self.period == timedelta() and self.period < _DAY and minutes % 60 == 0:
            return f"0 */{minutes // 60} * * *"
        return {_UNITS["day"]: "0 0 * * *", _UNITS["week"]: "0 0 * * 0"}.get(self.period)

    @property
    def description(self) -> str:
        """The schedule in English."""
        return english.of_interval(self.period)

    def _next(self, instant: datetime) -> datetime | None:
        try:
            return ORIGIN + ((instant - ORIGIN) // self.period + 1) * self.period
        except OverflowError:  # past the year 9999
            return None

    def _minutes_due(self, start: datetime, count: int) -> MinutesDue:
        """Return the minutes, by division."""
        minute = _UNITS["minute"]
        if self.period >= minute:
            first = -((ORIGIN - start) // self.period) * self.period + ORIGIN - start
            seconds = range(first // _UNITS["second"], count * 60, self.period // _UNITS["second"])
            bits = 0
            for second in seconds:
                bits |= 1 << second // 60
            return MinutesDue(bits=bits, at_beginnings=self.period % minute == timedelta())
        # In whole numbers: with timedeltas the ten thousand minutes of a week take ten times as long.
        step, period = minute // timedelta.resolution, self.period // timedelta.resolution
        before = (ORIGIN - start) // timedelta.resolution
        ends = [-((before - number * step) // period) for number in range(count + 1)]
        return MinutesDue(
            others={number: ends[number + 1] - ends[number] for number in range(count)}, at_beginnings=False
        )

    def _due(self, after: datetime, until: datetime, newest: int) -> Due:
        """Return the due occurrences, by arithmetic: it costs the same for a day and for a decade."""
        first, last = (after - ORIGIN) // self.period + 1, (until - ORIGIN) // self.period
        if last < first:
            return Due()
        numbers = range(max(first, last - newest + 1), last + 1)
        return Due(
            newest=tuple(ORIGIN + number * self.period for number in numbers),
            oldest=ORIGIN + first * self.period,
            count=last - first + 1,
        )


def read_period(text: str) -> timedelta:
    """Return the period of a text such as ``every 5 minutes`` or ``every hour``.

    Raises:
        Refused: if it is not of that form, shorter than a second, or longer than `LONGEST`.
    """
    match = _INTERVAL.fullmatch(text)
    if match is None:
        raise Refused(f"{shown(text)} is not of the form 'every 5 minutes'")
    unit = _UNITS.get(match["unit"].lower().removesuffix("s"))
    if unit is None:
        raise Refused(f"interval: {shown(match['unit'])} is not a unit; write seconds, minutes, hours, days or weeks")
    digits = match["count"] or "1"
    if not digits.isdecimal():
        raise Refused(f"interval: {shown(digits)} is not a whole number")
    digits = digits.lstrip("0")
    if not digits:
        raise Refused("interval: 0 is below the shortest, 1 second")
    if len(digits) > len(str(LONGEST // _UNITS["second"])) or int(digits) * unit > LONGEST:
        raise Refused(f"interval: {shown(text)} is above the longest, {LONGEST.days} days")
    return int(digits) * unit
