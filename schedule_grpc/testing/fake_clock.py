"""A clock that stands still until the test moves it."""

import asyncio
import contextvars
import heapq
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count

from schedule_grpc.runtime.clock import MAX_WAIT, Alarm

TURNS = 20
"""Turns of the event loop after each step: enough for woken coroutines to run until they wait again."""


class _Alarm:
    """A callback in an event loop, under the context of its caller, unless it is cancelled before."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback = callback
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self.cancelled = False

    def ring(self) -> None:
        self._loop.call_soon(self._call, context=self._context)

    def cancel(self) -> None:
        self.cancelled = True

    def _call(self) -> None:
        if not self.cancelled:
            self._callback()


class FakeClock:
    """A Clock that stands still until `advance` moves it; waiting coroutines are woken in the order of their times."""

    def __init__(self, start: datetime) -> None:
        """Begin at an instant, monotonic time at 0.

        Raises:
            ValueError: if the instant is not aware.
        """
        self._now = _utc(start)
        self._monotonic = 0.0
        self._alarms: list[tuple[float, int, _Alarm]] = []
        self._numbers = count()

    def now(self) -> datetime:
        """Return the wall time, aware, in UTC."""
        return self._now

    def monotonic(self) -> float:
        """Return seconds since the clock was made; never goes back."""
        return self._monotonic

    async def wait_until(self, when: datetime | None, event: asyncio.Event) -> None:
        """Return when ``event`` is set, ``when`` is reached, or `MAX_WAIT` has passed by this clock."""
        seconds = MAX_WAIT if when is None else min((when - self._now).total_seconds(), MAX_WAIT)
        if seconds <= 0 or event.is_set():
            await asyncio.sleep(0)  # noqa: TID251 (as SystemClock: a turn for the others)
            return
        try:
            async with self.timeout(seconds):
                await event.wait()
        except TimeoutError:
            return

    def timeout(self, seconds: float) -> AbstractAsyncContextManager[object]:
        """Return a context that cancels its body once this clock has moved ``seconds``, and raises TimeoutError."""
        return self._timeout(seconds)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Alarm:
        """Call ``callback`` once this clock has moved ``seconds``, unless the alarm is cancelled before."""
        alarm = _Alarm(callback)
        if seconds <= 0:
            alarm.ring()
        else:
            heapq.heappush(self._alarms, (self._monotonic + seconds, next(self._numbers), alarm))
        return alarm

    @asynccontextmanager
    async def _timeout(self, seconds: float) -> AsyncIterator[None]:
        async with asyncio.timeout(None) as deadline:  # noqa: TID251 (never fires by itself: this clock decides)
            alarm = self.call_later(seconds, lambda: deadline.reschedule(0))
            try:
                yield
            finally:
                alarm.cancel()

    async def advance(self, by: float | timedelta) -> None:
        """Move wall and monotonic time on by seconds, stopping at each alarm on the way to let the woken run.

        It does not wait for real threads (a sync handler, a database): await their work itself.

        Raises:
            ValueError: if ``by`` is negative; the wall clock alone goes back, by `set_wall`.
        """
        seconds = by.total_seconds() if isinstance(by, timedelta) else by
        if seconds < 0:
            raise ValueError(f"time does not go back: {seconds} s")
        await _let_others_run()  # coroutines that have just started begin to wait at the present time
        target = self._monotonic + seconds
        while self._alarms and self._alarms[0][0] <= target:
            due, _, alarm = heapq.heappop(self._alarms)
            if alarm.cancelled:
                continue
            self._move(due)
            alarm.ring()
            await _let_others_run()
        self._move(target)
        await _let_others_run()

    def set_wall(self, instant: datetime) -> None:
        """Let the wall clock jump, forward or back; monotonic time goes on as if nothing had happened.

        Raises:
            ValueError: if the instant is not aware.
        """
        self._now = _utc(instant)

    def _move(self, monotonic: float) -> None:
        if monotonic > self._monotonic:
            self._now += timedelta(seconds=monotonic - self._monotonic)
            self._monotonic = monotonic


def _utc(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        raise ValueError(f"{instant.isoformat()} is not aware: give it a time zone, such as datetime.UTC")
    return instant.astimezone(UTC)


async def _let_others_run() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)  # noqa: TID251 (gives the others a turn, waits for nothing)
