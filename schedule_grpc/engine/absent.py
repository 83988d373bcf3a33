"""The stand-in for an engine in a server that only answers calls."""

import asyncio
from collections.abc import Sequence

from schedule_grpc.engine.write_probe import DATABASE_AWAY, NOT_BEGUN, WriteProbe
from schedule_grpc.errors import Unavailable
from schedule_grpc.runtime.clock import Clock
from schedule_grpc.store import Store


class AbsentEngine:
    """Fires and runs nothing; only checks whether the database answers. Other servers' engines do the work."""

    speaks = False
    """Whether this server sends alerts."""

    servers = 1
    """It knows of no other server: servers without an engine hold no lease."""

    def __init__(self, *, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._stopping = asyncio.Event()
        self._probe = WriteProbe(store=store, clock=clock)
        self._error: str | None = None
        self.begun = False
        """Whether the database has been asked."""

    async def recover(self) -> int:
        """Take over nothing."""
        return 0

    async def run(self) -> None:
        """Ping the database each second until stopped, and try a write now and then."""
        probe = asyncio.create_task(self._probe.run(self._stopping), name="write probe")
        while not self._stopping.is_set():
            try:
                await self._store.ping()
                self._error = None
                self.begun = True
            except Unavailable as error:
                self._error = str(error)
            await self._clock.wait_until(None, self._stopping)
        await probe

    @property
    def caught_up(self) -> bool:
        """Whether the database has been asked: there is nothing to catch up with."""
        return self.begun

    def stop(self) -> None:
        """Stop pinging."""
        self._stopping.set()

    def troubles(self) -> Sequence[str]:
        """Return why this server is not healthy; empty if it is."""
        if self._error is not None:
            return (self._error,)
        return self._probe.troubles() if self.begun else ("the database has not been asked yet",)

    def unready(self) -> Sequence[str]:
        """Return why calls should go to another server, in fixed words; empty if they may come here."""
        if self._error is not None:
            return (DATABASE_AWAY,)
        if not self.begun:
            return (NOT_BEGUN,)
        return (DATABASE_AWAY,) if self._probe.troubles() else ()
