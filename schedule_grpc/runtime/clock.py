"""The only file that reads time. Everything else takes a Clock, so that tests decide what time it is.

Wall time (`now`) decides when something is due; it may jump. Monotonic time measures how long something took; it may
not. Nothing mixes the two.
"""

import asyncio
import time
from collections.abc import Callable, Sized
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import Protocol

MAX_WAIT = 1.0
"""Seconds after which a wait for a wall time looks again: the wall clock may jump or the machine may be suspended."""

EARLY = timedelta(milliseconds=2)
"""More than a timer of uvloop's is early by: it counts whole milliseconds."""

QUIET_TURNS = 8
"""Turns of the event loop without a newcomer after which the wait ends: a call takes some turns to arrive."""

MOST_TURNS = 64
"""Turns of the event loop that a wait for newcomers takes at most."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class Alarm(Protocol):
    """A pending call of `Clock.call_later`."""

    def cancel(self) -> None:
        """Do not call."""


class Clock(Protocol):
    """The time, and the ways to wait for it."""

    def now(self) -> datetime:
        """Return the wall time, aware, in UTC."""

    def monotonic(self) -> float:
        """Return seconds from some fixed moment; never goes back."""

    async def wait_until(self, when: datetime | None, event: asyncio.Event) -> None:
        """Return when ``event`` is set, the wall time reaches ``when``, or `MAX_WAIT` has passed; the first of them."""

    def timeout(self, seconds: float) -> AbstractAsyncContextManager[object]:
        """Return a context whose body is cancelled after ``seconds`` and which then raises TimeoutError."""

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Alarm:
        """Call ``callback`` in the running event loop after ``seconds``, unless the alarm is cancelled before."""


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        """Return the wall time, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds from some fixed moment; never goes back."""
        return time.monotonic()

    async def wait_until(self, when: datetime | None, event: asyncio.Event) -> None:
        """Return when ``event`` is set, the wall time reaches ``when``, or `MAX_WAIT` has passed; the first of them."""
        seconds = MAX_WAIT if when is None else min((when - self.now()).total_seconds(), MAX_WAIT)
        if seconds <= 0 or event.is_set():
            await next_turn()  # a caller that waits in a loop must let others run
            return
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            if when is not None and timedelta(0) < when - self.now() < EARLY:
                await asyncio.sleep(EARLY.total_seconds() / 2)  # or the caller would look for what is not due yet

    def timeout(self, seconds: float) -> AbstractAsyncContextManager[object]:
        """Return a context whose body is cancelled after ``seconds`` and which then raises TimeoutError."""
        return asyncio.timeout(seconds)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Alarm:
        """Call ``callback`` in the running event loop after ``seconds``, unless the alarm is cancelled before."""
        return asyncio.get_running_loop().call_later(seconds, callback)


async def pass_by(clock: Clock, seconds: float) -> None:
    """Return once so much monotonic time has passed."""
    until = clock.monotonic() + seconds
    while clock.monotonic() < until:
        await clock.wait_until(None, asyncio.Event())


async def next_turn() -> None:
    """Return at the event loop's next turn, after everything that is ready. No time needs to pass."""
    await asyncio.sleep(0)


async def nobody_comes(waiting: Sized, *, enough: int) -> None:
    """Return once enough wait, or none has come for some turns of the event loop: others may be under way now.

    A server of batches waits for this first. Otherwise the answers to a few callers make these few call again soon, and
    every batch stays small.
    """
    quiet = 0
    for _ in range(MOST_TURNS):
        before = len(waiting)
        await next_turn()
        quiet = quiet + 1 if len(waiting) == before else 0
        if quiet == QUIET_TURNS or len(waiting) >= enough:
            return


def to_micros(instant: datetime) -> int:
    """Return the whole microseconds since 1970-01-01T00:00:00Z."""
    return (instant - EPOCH) // MICROSECOND


def from_micros(micros: int) -> datetime:
    """Return the aware UTC instant of these microseconds since 1970-01-01T00:00:00Z."""
    return EPOCH + micros * MICROSECOND
