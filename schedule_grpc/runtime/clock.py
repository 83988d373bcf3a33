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
"""Turns of the event loop without a newcomer after which none is waited for: a call takes some until it asks."""

MOST_TURNS = 64
"""Turns that newcomers are waited for at most."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class Alarm(Protocol):
    """What `Clock.call_later` makes."""

    def cancel(self) -> None:
        """Do not call."""


class Clock(Protocol):
    """What time it is, and how to wait for another."""

    def now(self) -> datetime:
        """Return the wall time, aware, in UTC."""

    def monotonic(self) -> float:
        """Return seconds from some fixed moment; never goes back."""

    async def wait_until(self, when: datetime | None, event: asyncio.Event) -> None:
        """Return when ``event`` is set, the wall time reaches ``when``, or `MAX_WAIT` has passed; the first of them."""

    def timeout(self, seconds: float) -> AbstractAsyncContextManager[object]:
        """Return a context whose body is cancelled after so many seconds and which then raises TimeoutError."""

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Alarm:
        """Call ``callback`` in the running event loop after so many seconds, unless the alarm is cancelled before."""


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
            await next_turn()  # whoever asks in a loop must not keep the others from running
            return
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            if when is not None and timedelta(0) < when - self.now() < EARLY:
                await asyncio.sleep(EARLY.total_seconds() / 2)  # or the caller would look for what is not due yet

    def timeout(self, seconds: float) -> AbstractAsyncContextManager[object]:
        """Return a context whose body is cancelled after so many seconds and which then raises TimeoutError."""
        return asyncio.timeout(seconds)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Alarm:
        """Call ``callback`` in the running event loop after so many seconds, unless the alarm is cancelled before."""
        return asyncio.get_running_loop().call_later(seconds, callback)


async def pass_by(clock: Clock, seconds: float) -> None:
    """Return once so much monotonic time has passed."""
    until = clock.monotonic() + seconds
    while clock.monotonic() < until:
        await clock.wait_until(None, asyncio.Event())


async def next_turn() -> None:
    """Return at the event loop's next turn: all else that is ready goes first. No time needs to pass."""
    await asyncio.sleep(0)


async def nobody_comes(waiting: Sized, *, enough: int) -> None:
    """Return once enough wait, or none has come for some turns of the event loop: those who come are under way now.

    Where callers come in numbers, whoever serves many at once waits for this first. Otherwise the answers to a few
    make these few ask again soon, and each time a few are served.
    """
    quiet = 0
    for _ in range(MOST_TURNS):
        before = len(waiting)
        await next_turn()
        quiet = quiet + 1 if len(waiting) == before else 0
        if quiet == QUIET_TURNS or len(waiting) >= enough:
            return


def to_micros(instant: datetime) -> int:
    """Return whole microseconds since 1970-01-01T00:00:00Z."""
    return (instant - EPOCH) // MICROSECOND


def from_micros(micros: int) -> datetime:
    """Return the aware UTC instant of so many microseconds since 1970-01-01T00:00:00Z."""
    return EPOCH + micros * MICROSECOND
