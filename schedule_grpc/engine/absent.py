"""What a server has instead of an engine where it only answers calls."""

import asyncio
from collections.abc import Sequence

from schedule_grpc.clock import Clock
from schedule_grpc.errors import Unavailable
from schedule_grpc.store import Store


class AbsentEngine:
    """Fires and runs nothing; only looks whether the database answers. Other servers' engines do the work."""

    speaks = False
    """Whether this server tells alerts."""

    def __init__(self, *, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._stopping = asyncio.Event()
        self._error: str | None = None

    async def recover(self) -> int:
        """Take over nothing."""
        return 0

    async def run(self) -> None:
        """Ask the database each second until stopped."""
        while not self._stopping.is_set():
            try:
                await self._store.ping()
                self._error = None
            except Unavailable as error:
                self._error = str(error)
            await self._clock.wait_until(None, self._stopping)

    def stop(self) -> None:
        """Ask no more."""
        self._stopping.set()

    def troubles(self) -> Sequence[str]:
        """Return why this server is not healthy; empty if it is."""
        return () if self._error is None else (self._error,)
