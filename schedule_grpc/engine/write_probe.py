"""Tries writes: without due tasks, a server would learn from its first caller that none succeeds."""

import asyncio
from collections.abc import Sequence

import structlog

from schedule_grpc.errors import Unavailable
from schedule_grpc.runtime.clock import Clock
from schedule_grpc.store import Store

log = structlog.get_logger(__name__)

EVERY = 5.0
"""Seconds between two tries. Each is a commit of one page."""
TOO_LONG = 10.0
"""Seconds after which a try that has not ended counts as failed: the disk hangs."""
NOT_BEGUN = "the server has not begun to work yet"
DATABASE_AWAY = "the database does not answer, or takes no writes"
"""Reasons why a server is not ready: fixed words, for everybody may ask."""


class WriteProbe:
    """Writes a small row now and then, and at once after a refused write, until one succeeds."""

    def __init__(self, *, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._next = clock.monotonic() + EVERY
        self._refused = store.refused_writes
        self._began: float | None = None
        self._trouble: str | None = None

    async def run(self, finished: asyncio.Event) -> None:
        """Check each second until finished."""
        while not finished.is_set():
            await self.look()
            await self._clock.wait_until(None, finished)

    async def look(self) -> None:
        """Try a write, if it is time for one."""
        refused = self._store.refused_writes
        now = self._clock.monotonic()
        if self._trouble is None and refused == self._refused and now < self._next:
            return
        self._began = now
        try:
            await self._store.try_write()
            self._trouble = None
        except Unavailable as error:
            self._trouble = str(error)
        except Exception as error:
            log.exception("write_probe.failed")
            self._trouble = f"{type(error).__name__} while trying a write"
        finally:
            self._began = None
        self._refused = self._store.refused_writes
        self._next = self._clock.monotonic() + EVERY

    def troubles(self) -> Sequence[str]:
        """Return why writes fail; empty if the last one succeeded."""
        if self._began is not None and self._clock.monotonic() - self._began > TOO_LONG:
            return (f"a write has not ended in {TOO_LONG:.0f} s",)
        return () if self._trouble is None else (self._trouble,)
