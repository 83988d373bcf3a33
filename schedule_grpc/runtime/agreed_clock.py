"""The time on which servers that share a database agree: the database's, carried on by each one's monotonic clock.

So a server whose wall clock is wrong, or jumps, neither fires early nor takes others' leases.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import NoReturn

import structlog

from schedule_grpc.errors import Unavailable
from schedule_grpc.runtime.clock import Alarm, Clock, pass_by

log = structlog.get_logger(__name__)

SAMPLES = 5
TOO_SLOW = 1.0
"""Seconds: an answer that takes this long may be wrong by half of it, and is worse than the time agreed before."""
EVERY = 10.0
"""Seconds between two agreements: clocks drift apart by less than a millisecond in that time."""
STANDS_STILL = timedelta(seconds=5)
"""A correction back by less than this makes the time stand still; by more, it is set back, as a wall clock can be."""


class AgreedClock:
    """A Clock that runs by another clock; it has no time before the first `agree`."""

    def __init__(self, machine: Clock) -> None:
        """Make a clock; ``machine`` measures how time goes on, and its wall time is not used."""
        self._machine = machine
        self._agreed: tuple[datetime, float] | None = None
        self._latest: datetime | None = None

    def now(self) -> datetime:
        """Return the agreed time, aware, in UTC.

        Raises:
            AssertionError: before the first `agree`.
        """
        if self._agreed is None:
            raise AssertionError("the time is not known: agree() first")
        time, at = self._agreed
        now = time + timedelta(seconds=self._machine.monotonic() - at)
        if self._latest is not None and now < self._latest <= now + STANDS_STILL:
            return self._latest
        self._latest = now
        return now

    def monotonic(self) -> float:
        """Return seconds from some fixed moment; never goes back."""
        return self._machine.monotonic()

    async def wait_until(self, when: datetime | None, event: asyncio.Event) -> None:
        """Return when ``event`` is set, the time reaches ``when``, or `MAX_WAIT` has passed; the first of them."""
        await self._machine.wait_until(None if when is None else self._machine.now() + (when - self.now()), event)

    def timeout(self, seconds: float) -> AbstractAsyncContextManager[object]:
        """Return a context whose body is cancelled after ``seconds`` and which then raises TimeoutError."""
        return self._machine.timeout(seconds)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Alarm:
        """Call ``callback`` in the running event loop after ``seconds``, unless the alarm is cancelled before."""
        return self._machine.call_later(seconds, callback)

    async def keep_agreeing(self, ask: Callable[[], Awaitable[datetime | None]]) -> NoReturn:
        """Agree anew, for ever; while the database is away, time goes on as it was agreed before."""
        while True:
            await pass_by(self._machine, EVERY)
            try:
                await self.agree(ask)
            except Unavailable as error:
                log.debug("clock.not_agreed", error=str(error))
            except Exception:  # or the clocks would drift apart for as long as this server runs
                log.exception("clock.failed")

    async def agree(self, ask: Callable[[], Awaitable[datetime | None]]) -> None:
        """Ask for the time a few times, and take the answer that came quickest: it can be wrong by half its way.

        Where all of them are too slow, a time that was agreed before goes on.

        Raises:
            DatabaseUnavailable: as asking does; the time goes on as it was agreed before.
        """
        answers: list[tuple[float, datetime, float]] = []
        for _ in range(SAMPLES):
            before = self._machine.monotonic()
            answer = await ask()
            after = self._machine.monotonic()
            if answer is not None:
                answers.append((after - before, answer, (before + after) / 2))
        if not answers:
            return
        took, time, at = min(answers)
        if took < TOO_SLOW or self._agreed is None:
            self._agreed = time, at
