"""Answers that many ask for: one computation for all, and no error is kept."""

import asyncio

import pytest
from support.rigs.rig import START

from schedule_grpc.service.kept import KeptFor
from schedule_grpc.testing import FakeClock


async def test_an_error_is_not_kept_when_the_first_caller_has_left():
    """Those who come after it ask anew."""
    kept: KeptFor[int] = KeptFor(60, FakeClock(START))
    may_fail, attempts = asyncio.Event(), 0

    async def make() -> int:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            await may_fail.wait()
            raise ValueError("the database is away")
        return attempts

    first = asyncio.create_task(kept.get("key", make))
    await asyncio.sleep(0)
    second = asyncio.create_task(kept.get("key", make))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    may_fail.set()
    with pytest.raises(ValueError, match="away"):
        await second
    assert await kept.get("key", make) == 2
    assert await kept.get("key", make) == 2, "an answer is kept"
