"""How long tests wait for what is sure to come: a guard against hanging, never a claim about speed.

A claim about speed is an assertion of its own, with the promise that it proves beside it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

from schedule_grpc.client import AsyncClient

T = TypeVar("T")

AT_MOST = 240
"""Seconds; the slowest machine that the tests have met needed a third of it."""


def calling(address: str, **options: Any) -> AsyncClient:
    """Return a client that waits for its answers as long as tests do: the usual deadline is a claim about speed."""
    return AsyncClient(address, **({"deadline": AT_MOST} | options))


async def until(condition: Callable[[], Awaitable[T]], seconds: float = AT_MOST) -> T:
    """Return what an async condition gives once it is true.

    Raises:
        AssertionError: if it is not in time.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                if found := await condition():
                    return found
                await asyncio.sleep(0.02)
    raise AssertionError(f"not within {seconds} s")
