"""The time on which servers that share a database agree: the database's, carried on by each one's monotonic clock.

So a server whose wall clock is wrong, or jumps, neither fires early nor takes others' leases.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from datetime import datetime, timedelta
from typing import NoReturn

from schedule_grpc.clock import Clock
from schedule_grpc.errors import Unavailable

SAMPLES = 5
EVERY = 10.0
"""Seconds between two agreements: clocks drift apart by less than a millisecond in that time."""
STANDS_STILL = timedelta(seconds=5)
"""A correction back by less than this makes the time stand still; by more, it is set back, as a wall clock can be."""


class AgreedClock:
    """A Clock by another clock, of which nothing is known until the first `agree`."""

    def __init__(self, machine: Clock) -> None:
        """``machine`` measures how time goes on; its wall time is not used."""
        self._machine = machine
        self._agreed: tuple[datetime, float] | None = None
        self._latest: datetime | None = None

    def now(self) -> datetime:
        """Return the agreed time, aware, in UTC.

        Raises:
            AssertionError: before the first `agree`.
        """
        if self._agreed is None:
            raise AssertionError("nobody knows what time it is: agree() first")
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
        """Return a context whose body is cancelled after so many seconds and which then raises TimeoutError."""
        return self._machine.timeout(seconds)

    async def keep_agreeing(self, ask: Callable[[], Awaitable[datetime | None]]) -> NoReturn:
        """Agree anew, for ever; while the database is away, time goes on as it was agreed before."""
        while True:
            until = self._machine.monotonic() + EVERY
            while self._machine.monotonic() < until:
                await self._machine.wait_until(None, asyncio.Event())
            with suppress(Unavailable):
                await self.agree(ask)

    async def agree(self, ask: Callable[[], Awaitable[datetime | None]]) -> None:
        """Ask for the time a few times, and take the answer that came quickest: it can be wrong by half its way.

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
        if answers:
            _, time, at = min(answers)
            self._agreed = time, at
