"""What tasks will do within the next hours: how many occurrences in each minute, and which come first.

Occurrences are counted at their scheduled times: jitter spreads the starts, and is not counted.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING

from schedule_grpc.domain.policy import Window
from schedule_grpc.domain.schedule import Cron, MinutesDue, Schedule, changes_between, effect_of, set_bits
from schedule_grpc.errors import InvalidArgument

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
STEP = 5 * MINUTE
LONGEST = 168
"""Hours."""
MOST_TASKS = 100_000
"""Tasks whose occurrences are counted, at most."""
MOST_LISTED = 200
"""Occurrences that are listed one by one, at most, and those at the same time as the last of them."""
MOST_NAMES = 20
"""Names beside a time or a note, at most."""
KEPT_MINUTES = 2
"""Minutes whose occurrences are listed beside these: as long as an answer is kept, they become the past."""
MOST_SEARCHED = 60 * (KEPT_MINUTES + 1) + MOST_LISTED
"""Occurrences of one schedule that are looked for one by one, at most: the shortest interval is a second."""
ALWAYS = Window()


@dataclass(frozen=True, kw_only=True, slots=True)
class UpcomingRuns:
    """The tasks that are due at one time."""

    time: datetime
    count: int
    names: tuple[str, ...]
    """The first of them by name, at most `MOST_NAMES`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClockNote:
    """What a change of the clocks does to tasks."""

    time: datetime
    """The instant of the change."""
    time_zone: str
    text: str
    """In English."""
    count: int
    """The tasks that it concerns."""
    names: tuple[str, ...]
    """The first of them by name, at most `MOST_NAMES`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Upcoming:
    """The occurrences of enabled tasks in [start_time, end_time)."""

    start_time: datetime
    """A whole minute."""
    end_time: datetime
    step: timedelta = STEP
    counts: tuple[int, ...] = ()
    """The number of occurrences in each step."""
    total: int = 0
    task_count: int = 0
    """The tasks with at least one of them."""
    busiest_time: datetime | None = None
    """The minute with the most occurrences, the first of these; None if there is none at all."""
    busiest_count: int = 0
    next: tuple[UpcomingRuns, ...] = ()
    """The first occurrences, by time."""
    unlisted: int = 0
    """The occurrences after those that are listed."""
    notes: tuple[ClockNote, ...] = ()

    def as_of(self, now: datetime) -> "Upcoming":
        """Return the same with the list of the next occurrences from after an instant on."""
        listed, runs, left = 0, [], self.unlisted
        for each in self.next:
            if each.time <= now:
                continue
            if listed < MOST_LISTED:
                listed += each.count
                runs.append(each)
            else:
                left += each.count
        return replace(self, next=tuple(runs), unlisted=left)


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskGroup:
    """Tasks that are due at the same times."""

    schedule: Schedule
    window: Window = ALWAYS
    names: Sequence[str]
    """In order."""


@dataclass(slots=True)
class MinuteSums:
    """Sums of many sets of minutes, a digit of all of them in one number.

    Number n of `_digits` has bit m set if the sum of minute m has the binary digit n. To add a set to all minutes is an
    addition with carry, a few operations on numbers of as many bits as there are minutes.
    """

    minutes: int
    _digits: list[int] = field(default_factory=list)
    _others: dict[int, int] = field(default_factory=dict)

    def add(self, due: MinutesDue, times: int) -> None:
        """Add the occurrences of as many tasks."""
        place = 0
        weight = times if due.bits else 0
        while weight:
            if weight & 1:
                self._add_from(place, due.bits)
            weight >>= 1
            place += 1
        for minute, count in due.others.items():
            self._others[minute] = self._others.get(minute, 0) + count * times

    def sums(self) -> list[int]:
        """Return the sum of each minute."""
        found = [0] * self.minutes
        for place, digits in enumerate(self._digits):
            value = 1 << place
            for minute in set_bits_of_dense(digits, self.minutes):
                found[minute] += value
        for minute, count in self._others.items():
            found[minute] += count
        return found

    def _add_from(self, place: int, carried: int) -> None:
        while carried:
            if place >= len(self._digits):
                self._digits += [0] * (place + 1 - len(self._digits))
            self._digits[place], carried = self._digits[place] ^ carried, self._digits[place] & carried
            place += 1


def set_bits_of_dense(bits: int, count: int) -> Iterator[int]:
    """Give the numbers of the bits that are set: sooner than `set_bits` where many are."""
    text = f"{bits:0{count}b}"
    last = len(text) - 1
    place = text.rfind("1")
    while place >= 0:
        yield last - place
        place = text.rfind("1", 0, place)


def checked_hours(hours: int) -> int:
    """Return a number of hours that may be asked for.

    Raises:
        InvalidArgument: if it is none.
    """
    if not 1 <= hours <= LONGEST:
        raise InvalidArgument.of("hours", f"must be between 1 and {LONGEST}")
    return hours


def upcoming(groups: Sequence[TaskGroup], start: datetime, hours: int) -> Upcoming:
    """Return what groups of tasks will do in as many hours from a whole minute on."""
    minutes = hours * 60
    end = start + hours * HOUR
    total = MinuteSums(minutes)
    due: list[tuple[TaskGroup, MinutesDue]] = []
    for group in groups:
        found = _within(group.window, group.schedule, start, minutes)
        if found.bits or found.others:
            due.append((group, found))
            total.add(found, len(group.names))
    sums = total.sums()
    busiest = max(range(minutes), key=sums.__getitem__)  # the first of them
    width = STEP // MINUTE
    first = _first(due, sums, start)
    return Upcoming(
        start_time=start,
        end_time=end,
        counts=tuple(sum(sums[first : first + width]) for first in range(0, minutes, width)),
        total=sum(sums),
        task_count=sum(len(group.names) for group, _ in due),
        busiest_time=start + busiest * MINUTE if sums[busiest] else None,
        busiest_count=sums[busiest],
        next=first,
        unlisted=sum(sums) - sum(each.count for each in first),
        notes=tuple(_notes(groups, start, end)),
    )


def _within(window: Window, schedule: Schedule, start: datetime, minutes: int) -> MinutesDue:
    """Return when a schedule is due, within the window of its tasks.

    A minute in which the window begins or ends is searched: what is due in it may lie on either side.
    """
    found = schedule.minutes_due(start, minutes)
    if window == ALWAYS:
        return found
    since = start if window.start_time is None else max(window.start_time, start)
    until = start + minutes * MINUTE if window.end_time is None else min(window.end_time, start + minutes * MINUTE)
    if since >= until:
        return MinutesDue()
    first, last = -((start - since) // MINUTE), (until - start) // MINUTE
    whole = (1 << max(last, first)) - (1 << first)
    others = {minute: count for minute, count in found.others.items() if whole >> minute & 1}
    for minute in {(since - start) // MINUTE, last}:
        if minute < minutes and not whole >> minute & 1:
            begin = start + minute * MINUTE
            count = sum(schedule.count_by(max(begin, since), min(begin + MINUTE, until), MINUTE))
            if count:
                others[minute] = count
    return replace(found, bits=found.bits & whole, others=others)


def _first(
    due: Sequence[tuple[TaskGroup, MinutesDue]], sums: Sequence[int], start: datetime
) -> tuple[UpcomingRuns, ...]:
    """Return the first occurrences, with the names of the tasks: those of the next minutes, and `MOST_LISTED` more."""
    count, last = 0, KEPT_MINUTES
    while last < len(sums) and count < MOST_LISTED:
        count += sums[last]
        last += 1
    mask, end = (1 << last) - 1, start + last * MINUTE
    counts: dict[datetime, int] = {}
    names: dict[datetime, list[str]] = {}
    for group, found in due:
        for time in _times(group, found, mask, start, end):
            counts[time] = counts.get(time, 0) + len(group.names)
            names.setdefault(time, []).extend(islice(group.names, MOST_NAMES))
    return tuple(
        UpcomingRuns(time=time, count=counts[time], names=tuple(sorted(names[time])[:MOST_NAMES]))
        for time in sorted(counts)
    )


def _times(group: TaskGroup, due: MinutesDue, mask: int, start: datetime, end: datetime) -> Iterator[datetime]:
    """Give the occurrences of a group before an instant."""
    searched = {minute for minute in due.others if mask >> minute & 1}
    if due.at_beginnings:
        for minute in set_bits(due.bits & mask):
            yield start + minute * MINUTE
    else:
        searched.update(set_bits(due.bits & mask))
    if searched:
        for time in group.schedule.upcoming(start + min(searched) * MINUTE - timedelta.resolution, MOST_SEARCHED):
            if time >= end:
                return
            if (time - start) // MINUTE in searched and group.window.holds(time):
                yield time


def _notes(groups: Sequence[TaskGroup], start: datetime, end: datetime) -> Iterator[ClockNote]:
    """Give what changes of the clocks do to the groups, by zone and kind of change."""
    by_zone: dict[ZoneInfo, list[tuple[Cron, TaskGroup]]] = {}
    for group in groups:
        if isinstance(group.schedule, Cron):
            by_zone.setdefault(group.schedule.zone, []).append((group.schedule, group))
    for zone, of_zone in sorted(by_zone.items(), key=lambda each: each[0].key):
        for change in changes_between(zone, start, end):
            concerned: dict[str, list[str]] = {}
            for cron, group in of_zone:
                if text := effect_of(change, cron.meaning):
                    concerned.setdefault(text, []).extend(group.names)
            for text, names in sorted(concerned.items()):
                yield ClockNote(
                    time=change.instant,
                    time_zone=zone.key,
                    text=text,
                    count=len(names),
                    names=tuple(sorted(names)[:MOST_NAMES]),
                )
