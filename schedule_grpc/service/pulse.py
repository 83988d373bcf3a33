"""What ended within the last 24 hours, in memory: read once for all viewers, and only while somebody looks.

A histogram of a day is a scan of a day's executions. One viewer that asks for it each second would cost the database
more than the service itself; so each namespace that is watched has one Pulse, which reads only what may have changed.
Executions are counted by the minute in which they were recorded: counting a stretch of time again replaces what was
counted of it before.
"""

import asyncio
import re
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.domain.summary import DAY, MINUTE, MOST_FAILURES, FailureGroup, FailureGroups, Pulse
from schedule_grpc.errors import Unavailable
from schedule_grpc.runtime.clock import EPOCH, Clock, next_turn, to_micros
from schedule_grpc.store import Failure, Store

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schedule_grpc.domain.states import State

WATCHED_FOR = 60.0
"""Seconds after the last look at which a pulse stops."""
OFTEN = 15.0
"""Seconds between two readings of the newest minutes."""
NEWEST = timedelta(seconds=90)
LATE_ENDS, LATE_ENDS_EVERY = timedelta(minutes=60), 60.0
"""How old an execution may be whose end is found within so many seconds; older ones are counted as they were."""
FAILURES_EVERY = 300.0
"""Seconds between two readings of the failures."""
FIRST_SLICE, SHORTEST_SLICE, LONGEST_SLICE = timedelta(minutes=15), MINUTE, timedelta(hours=2)
LONG_READING = 0.005
"""Seconds: a slice that took longer to read makes the next one shorter."""
PAUSE = timedelta(milliseconds=10)
"""Between two slices, for others to read."""
FAILURES_AT_ONCE = 500
SEEDED_WITHIN = 0.3
"""Seconds that the first viewer waits for the beginning of the day to be read."""
_DIGITS = re.compile(r"\d+")
_LONGEST_LINE = 200


class NamespacePulse:
    """The pulse of one namespace."""

    def __init__(self, namespace: str, store: Store, clock: Clock) -> None:
        self._namespace = namespace
        self._store = store
        self._clock = clock
        self._minutes: dict[datetime, Mapping[State, int]] = {}
        self._from: datetime | None = None
        """Minutes from here to `_until` are counted."""
        self._until: datetime | None = None
        self._slice = FIRST_SLICE
        self._watched = self._failures_watched = -WATCHED_FOR
        """Monotonic seconds of the last looks."""
        self._failures_read: float | None = None
        self._failures = FailureGroups(complete_from=clock.now())
        self._task: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()
        """Set when a viewer comes to what nobody looked at before."""
        self._seeded, self._grouped = asyncio.Event(), asyncio.Event()

    async def pulse(self) -> Pulse:
        """Return what is counted; go on counting for a while."""
        self._watch()
        await self._moment(self._seeded)
        start, end = self._span()
        return Pulse(
            start_time=start,
            end_time=end,
            minutes={minute: counts for minute, counts in self._minutes.items() if start <= minute < end},
            complete_from=end if self._from is None else max(self._from, start),
        )

    async def failures(self) -> FailureGroups:
        """Return the failures as they are grouped; go on grouping for a while."""
        self._failures_watched = self._clock.monotonic()
        self._watch()
        if self._failures_are_stale:
            self._wanted.set()
            await self._moment(self._grouped)
        return self._failures

    @property
    def is_watched(self) -> bool:
        """Whether somebody looked lately."""
        return self._clock.monotonic() < self._watched + WATCHED_FOR

    def close(self) -> None:
        """Stop counting."""
        if self._task is not None:
            self._task.cancel()

    def _watch(self) -> None:
        self._watched = self._clock.monotonic()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._keep_counting(), name=f"pulse of {self._namespace}")

    async def _moment(self, event: asyncio.Event) -> None:
        """Wait until the first reading is done, but not for long: what is there is shown with what it lacks."""
        with suppress(TimeoutError):
            async with self._clock.timeout(SEEDED_WITHIN):
                await event.wait()

    async def _keep_counting(self) -> None:
        """Count what may have changed, while somebody looks."""
        back, late = LATE_ENDS, self._clock.monotonic()
        while self.is_watched:
            with suppress(Unavailable):  # the next turn tries again
                await self._read_again(back)
                await self._group_failures()
                await self._seed()
                await self._group_failures()  # a viewer may have come to them meanwhile
            await self._pass_by(OFTEN)
            back = NEWEST
            if self._clock.monotonic() >= late + LATE_ENDS_EVERY:
                back, late = LATE_ENDS, self._clock.monotonic()
            self._forget()

    async def _pass_by(self, seconds: float) -> None:
        """Return once so much time has passed, or a viewer comes to what nobody looked at before."""
        until = self._clock.monotonic() + seconds
        while self._clock.monotonic() < until and not self._wanted.is_set():
            await self._clock.wait_until(None, self._wanted)
        self._wanted.clear()

    async def _read_again(self, back: timedelta) -> None:
        """Count the newest stretch of time, and what has passed since it was last counted."""
        end = self._span()[1]
        since = _minute(self._clock.now() - back)
        if self._until is not None:
            since = min(since, self._until - back)
        since = max(since, self._span()[0])
        if self._from is None:
            since = max(since, end - self._slice)
        await self._count(since, end)
        self._from = since if self._from is None else min(self._from, since)
        self._until = end
        self._seeded.set()

    async def _seed(self) -> None:
        """Count the rest of the day, the newest first, in slices that take a few milliseconds each."""
        while self._from is not None and self._from > self._span()[0]:
            since = max(self._from - self._slice, self._span()[0])
            began = self._clock.monotonic()
            await self._count(since, self._from)
            took = self._clock.monotonic() - began
            self._from = since
            longer = self._slice / 2 if took > LONG_READING else self._slice * 2
            self._slice = _minute_long(min(max(longer, SHORTEST_SLICE), LONGEST_SLICE))
            await self._clock.wait_until(self._clock.now() + PAUSE, asyncio.Event())

    async def _count(self, since: datetime, until: datetime) -> None:
        found = await self._store.ends_by_minute(self._namespace, since=since, until=until)
        self._minutes = {
            minute: counts for minute, counts in self._minutes.items() if not since <= minute < until
        } | dict(found)

    def _forget(self) -> None:
        start, _ = self._span()
        self._minutes = {minute: counts for minute, counts in self._minutes.items() if minute >= start}
        if self._from is not None:
            self._from = max(self._from, start)

    def _span(self) -> tuple[datetime, datetime]:
        end = _minute(self._clock.now()) + MINUTE
        return end - DAY, end

    @property
    def _failures_are_stale(self) -> bool:
        return self._failures_read is None or self._clock.monotonic() >= self._failures_read + FAILURES_EVERY

    async def _group_failures(self) -> None:
        now = self._clock.monotonic()
        if now < self._failures_watched + WATCHED_FOR and self._failures_are_stale:
            self._failures = await self._read_failures()
            self._failures_read = now
            self._grouped.set()

    async def _read_failures(self) -> FailureGroups:
        now = self._clock.now()
        since = now - DAY
        groups: dict[tuple[str, FailureKind | None, str], _Group] = {}
        place: tuple[int, str] | None = to_micros(now + DAY), ""
        count, complete_from = 0, since
        while place is not None:
            if count >= MOST_FAILURES:
                complete_from = EPOCH + timedelta(microseconds=place[0])
                break
            failures, place = await self._store.failures_before(
                self._namespace, since=since, after=place, limit=FAILURES_AT_ONCE
            )
            count += len(failures)
            for failure in failures:
                key = failure.task_name, failure.failure_kind, _alike(failure.error)
                groups.setdefault(key, _Group()).add(failure, now)
            await next_turn()
        found: list[FailureGroup] = []
        for key, group in groups.items():
            found.append(group.shown(*key))
            if len(found) % FAILURES_AT_ONCE == 0:
                await next_turn()
        found.sort(key=lambda group: group.last_time, reverse=True)
        return FailureGroups(groups=tuple(found), complete_from=complete_from)


class Pulses:
    """The pulses of all namespaces that are watched."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._pulses: dict[str, NamespacePulse] = {}

    def of(self, namespace: str) -> NamespacePulse:
        """Return the pulse of a namespace; those that nobody watches any more are forgotten when a new one comes."""
        found = self._pulses.get(namespace)
        if found is None:
            self._pulses = {name: pulse for name, pulse in self._pulses.items() if pulse.is_watched}
            found = self._pulses[namespace] = NamespacePulse(namespace, self._store, self._clock)
        return found

    def close(self) -> None:
        """Stop counting."""
        for pulse in self._pulses.values():
            pulse.close()


@dataclass(slots=True)
class _Group:
    """Failures that look alike, while they are counted."""

    failures: int = 0
    first: datetime | None = None
    last: Failure | None = None
    hours: list[int] = field(default_factory=lambda: [0] * 24)

    def add(self, failure: Failure, now: datetime) -> None:
        self.failures += 1
        self.first = failure.end_time if self.first is None else min(self.first, failure.end_time)
        if self.last is None or failure.end_time > self.last.end_time:
            self.last = failure
        ago = (now - failure.end_time) // timedelta(hours=1)
        if 0 <= ago < len(self.hours):
            self.hours[-1 - ago] += 1

    def shown(self, task_name: str, kind: FailureKind | None, error: str) -> FailureGroup:
        if self.last is None or self.first is None:
            raise AssertionError("a group has at least one failure")
        return FailureGroup(
            task_name=task_name,
            failure_kind=kind,
            error=error,
            count=self.failures,
            first_time=self.first,
            last_time=self.last.end_time,
            last_id=self.last.id,
            hours=tuple(self.hours),
        )


def _alike(error: str) -> str:
    """Return what failures that look alike have in common: the first line, whatever its numbers."""
    first, _, _ = error.strip().partition("\n")
    return _DIGITS.sub("#", first)[:_LONGEST_LINE]


def _minute(instant: datetime) -> datetime:
    return instant.replace(second=0, microsecond=0)


def _minute_long(span: timedelta) -> timedelta:
    return max(span // MINUTE * MINUTE, MINUTE)
