"""The machine's clock: what a wait for a wall time is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from schedule_grpc.runtime.clock import EARLY, SystemClock


async def test_a_timer_that_fires_early_is_no_reason_to_look(monkeypatch: pytest.MonkeyPatch):
    """As uvloop's, which counts whole milliseconds: the wait goes on until it is time."""

    @asynccontextmanager
    async def too_early(_seconds: float) -> AsyncIterator[None]:
        yield
        raise TimeoutError

    clock, woken = SystemClock(), asyncio.Event()
    monkeypatch.setattr(asyncio, "timeout", too_early)
    monkeypatch.setattr(woken, "wait", lambda: asyncio.sleep(0))
    when = clock.now() + EARLY / 2
    await clock.wait_until(when, woken)
    assert clock.now() >= when
