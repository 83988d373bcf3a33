"""Answers that many viewers ask for: computed once, and given to all who ask within a moment."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from functools import partial
from typing import Generic, TypeVar

from schedule_grpc.runtime.clock import Clock

T = TypeVar("T")

MOST_KEPT = 64
"""Answers that are kept."""


class KeptFor(Generic[T]):
    """Keeps answers for some seconds. Callers that ask for one while it is computed wait for that one."""

    def __init__(self, seconds: float, clock: Clock) -> None:
        self._seconds = seconds
        self._clock = clock
        self._kept: dict[Hashable, tuple[float, asyncio.Future[T]]] = {}

    async def get(self, key: Hashable, make: Callable[[], Awaitable[T]]) -> T:
        """Return the answer of a key: a kept one, or a new one.

        Raises:
            Whatever ``make`` raises; nothing is kept then.
        """
        known = self._kept.get(key)
        if known is not None and self._clock.monotonic() < known[0] + self._seconds:
            return await asyncio.shield(known[1])
        computing: asyncio.Future[T] = asyncio.ensure_future(_awaited(make))
        computing.add_done_callback(partial(self._forget_failed, key))
        self._kept.pop(key, None)
        if len(self._kept) >= MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = self._clock.monotonic(), computing
        return await asyncio.shield(computing)

    def _forget_failed(self, key: Hashable, computed: asyncio.Future[T]) -> None:
        """Keep no error, also where the caller that asked first has left; retrieve it, or the future would log it."""
        failed = computed.cancelled() or computed.exception() is not None
        known = self._kept.get(key)
        if failed and known is not None and known[1] is computed:
            del self._kept[key]


async def _awaited(make: Callable[[], Awaitable[T]]) -> T:
    return await make()
