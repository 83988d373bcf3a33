"""The base class of all kinds of schedules."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from schedule_grpc.domain.schedule.counting import MINUTE, MinutesDue, minutes_by_search, occurrences
from schedule_grpc.domain.schedule.grammar import Fields, read

MAX_COUNTED = 10_000
"""Occurrences that are counted one by one; a larger count means "at least"."""

MAX_CELLS = 100_000
"""Steps in which occurrences are counted, at most."""

_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


class Due(Struct, frozen=True, kw_only=True):
    """The due occurrences in a stretch of time.

    ``newest`` holds as many of the newest occurrences as were asked for, in ascending order; ``oldest`` is the first of
    all. ``count`` is their number, at least `MAX_COUNTED` where ``exact`` is False.
    """

    newest: tuple[datetime, ...] = ()
    oldest: datetime | None = None
    count: int = 0
    exact: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule(ABC):
    """When a task is due; made by `parse`. Two are equal if their texts and their zones are.

    ``text`` is what the user wrote, verbatim; ``time_zone`` the IANA name of the zone it is read in.
    """

    text: str
    time_zone: str = "UTC"

    @property
    @abstractmethod
    def cron(self) -> str | None:
        """The cron expression that fires at the same times, None if there is none."""

    @property
    @abstractmethod
    def description(self) -> str:
        """The schedule in English, without its zone."""

    @property
    def fields(self) -> Fields | None:
        """The meaning of ``cron``, zone aside; equal for equal meanings, and hashable. None if there is no ``cron``."""
        return None if self.cron is None else read(self.cron)

    @property
    def is_once(self) -> bool:
        """Whether it names a single instant."""
        return False

    def same_times(self, other: "Schedule") -> bool:
        """Return whether both mean the same cron expression, compared as sets of values, whatever their zones."""
        return self.fields is not None and self.fields == other.fields

    def next_after(self, instant: datetime) -> datetime | None:
        """Return the first occurrence strictly after an aware instant, in UTC; None if there is none until 9999.

        Raises:
            ValueError: if the instant is naive.
        """
        return self._next(_in_utc(instant))

    def upcoming(self, after: datetime, count: int) -> tuple[datetime, ...]:
        """Return the next ``count`` occurrences after an instant, fewer where the schedule ends.

        Raises:
            ValueError: if the instant is naive.
        """
        return self._list(_in_utc(after), _LAST, count)

    def preview(self, after: datetime, count: int) -> "Preview":
        """Return the next ``count`` occurrences after an instant, and what changes of the clocks do to them.

        Raises:
            ValueError: if the instant is naive.
        """
        start = _in_utc(after)
        times = self.upcoming(start, count)
        return Preview(schedule=self, times=times, notes=self._notes(start, times[-1]) if times else ())

    def due(self, after: datetime, until: datetime, newest: int = 1) -> Due:
        """Return the due occurrences in (after, until]: their number, and the ``newest`` few, at most `MAX_COUNTED`.

        Raises:
            ValueError: if an instant is naive, or more are asked for than are counted.
        """
        if not 0 <= newest <= MAX_COUNTED:
            raise ValueError(f"the newest {newest} cannot be listed, only 0 to {MAX_COUNTED}")
        return self._due(_in_utc(after), _in_utc(until), newest)

    def minutes_due(self, start: datetime, count: int) -> MinutesDue:
        """Return in which of the ``count`` minutes from ``start`` on, a whole minute of UTC, the schedule is due.

        By arithmetic, as far as clocks do not change: it costs about the same for each schedule, however often it is
        due.

        Raises:
            ValueError: if ``start`` is naive, or no whole minute.
        """
        begin = _in_utc(start)
        if begin.second or begin.microsecond:
            raise ValueError(f"{begin} is not a whole minute")
        return self._minutes_due(begin, count)

    def count_by(self, start: datetime, end: datetime, step: timedelta) -> tuple[int, ...]:
        """Return how many occurrences lie in each step of [start, end): the first in [start, start + step), and so on.

        By arithmetic where ``start`` and ``step`` are whole minutes, else one by one.

        Raises:
            ValueError: if an instant is naive, ``step`` is not positive, or there are more than `MAX_CELLS` steps.
        """
        begin, finish = _in_utc(start), _in_utc(end)
        if step <= timedelta() or finish - begin > step * MAX_CELLS:
            raise ValueError(f"{finish - begin} cannot be counted in steps of {step}: at most {MAX_CELLS} are")
        counts = [0] * max(-((begin - finish) // step), 0)
        if begin.second or begin.microsecond or step % MINUTE or (finish - begin) % MINUTE:
            for found in occurrences(self._next, begin, finish):
                counts[(found - begin) // step] += 1
            return tuple(counts)
        width = step // MINUTE
        due = self._minutes_due(begin, (finish - begin) // MINUTE)
        for number in range(len(counts)):
            counts[number] = (due.bits >> number * width & (1 << width) - 1).bit_count()
        for minute, count in due.others.items():
            counts[minute // width] += count
        return tuple(counts)

    def _minutes_due(self, start: datetime, count: int) -> MinutesDue:
        return minutes_by_search(self._next, start, count)

    def _notes(self, _after: datetime, _until: datetime) -> tuple[str, ...]:
        """Return what changes of the clocks do in (after, until], in English; most kinds know no clocks."""
        return ()

    @abstractmethod
    def _next(self, instant: datetime) -> datetime | None:
        """Return the first occurrence strictly after an instant in UTC."""

    def _due(self, after: datetime, until: datetime, newest: int) -> Due:
        found = self._list(after, until, MAX_COUNTED + 1)
        if not found:
            return Due()
        if len(found) > MAX_COUNTED:
            last = self._newest_of_many(after, until, newest) if newest else ()
            return Due(newest=last, oldest=found[0], count=MAX_COUNTED, exact=False)
        return Due(newest=found[max(len(found) - newest, 0) :], oldest=found[0], count=len(found))

    def _list(self, after: datetime, until: datetime, most: int) -> tuple[datetime, ...]:
        """Return the first occurrences in (after, until], ``most`` of them at most."""
        found: list[datetime] = []
        instant = after
        while len(found) < most and (following := self._next(instant)) is not None and following <= until:
            found.append(following)
            instant = following
        return tuple(found)

    def _newest_of_many(self, after: datetime, until: datetime, wanted: int) -> tuple[datetime, ...]:
        """Return the last ``wanted`` occurrences in (after, until], where there are far more.

        Halves the stretch until it holds enough of them and not too many to list.
        """
        most = 2 * wanted + 100
        too_many, too_few = after, until
        while True:
            middle = too_many + (too_few - too_many) / 2
            found = self._list(middle, until, most + 1)
            if len(found) > most:
                too_many = middle
            elif len(found) < wanted:
                too_few = middle
            else:
                return found[-wanted:]


@dataclass(frozen=True, kw_only=True, slots=True)
class Preview:
    """What a schedule will do: its next occurrences, and notes on the nights when clocks change."""

    schedule: Schedule
    times: tuple[datetime, ...]
    notes: tuple[str, ...] = ()


def _in_utc(instant: datetime) -> datetime:
    if instant.tzinfo is UTC:
        return instant
    if instant.utcoffset() is None:
        raise ValueError("a naive time is not an instant")
    try:
        return instant.astimezone(UTC)
    except OverflowError:  # in the first or the last hours that datetime can say
        return _LAST if instant.year > 1 else _FIRST
