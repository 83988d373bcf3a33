"""Ends the sessions of workers that are gone, and attempts that their workers did not stop."""

import asyncio
from collections.abc import Callable, Iterable
from datetime import timedelta

import structlog

from schedule_grpc.dispatch.presence import Overtime, Presence
from schedule_grpc.domain.worker import public_id
from schedule_grpc.errors import Unavailable
from schedule_grpc.runtime.clock import Clock
from schedule_grpc.store import Store

log = structlog.get_logger(__name__)

READ_EVERY = 2.0
"""Seconds between two readings of renewals."""
OVERTIME_EVERY = 10.0
"""Seconds between two readings of attempts in progress."""
FORGET_EVERY = 5.0
"""Seconds between two looks for sessions of workers that call another server."""
REMOVE_EVERY = 3600.0
KEPT_FOR = timedelta(hours=24)
"""How long a session that ended is listed."""


class Upkeep:
    """Rounds of every server, whether or not its workers call it: a worker's server may be the one that is gone."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        ended: Callable[[Iterable[str]], None],
        lapsed: Callable[[int], None],
        forget: Callable[[], None],
    ) -> None:
        """Take the store.

        Args:
            store: The sessions of all servers' workers.
            clock: Tells when a round is due.
            ended: Called with the sessions that a round ended.
            lapsed: Called with their number.
            forget: Called to forget the sessions that call another server.
        """
        self._store = store
        self._clock = clock
        self._ended = ended
        self._lapsed = lapsed
        self._presence = Presence()
        self._overtime = Overtime()
        self._forget = forget
        self._every = {
            self._end_lapsed: READ_EVERY,
            self._end_overtime: OVERTIME_EVERY,
            self._forget_absent: FORGET_EVERY,
            self._remove: REMOVE_EVERY,
        }
        self._due = dict.fromkeys(self._every, 0.0)
        self._any = True
        """Whether any worker lived at the last reading."""

    async def run(self, finished: asyncio.Event) -> None:
        """Go rounds until finished; what fails is tried again a second later."""
        while not finished.is_set():
            for work, due in self._due.items():
                if self._clock.monotonic() < due:
                    continue
                try:
                    await work()
                except Unavailable as error:
                    log.warning("workers.upkeep_delayed", error=str(error))
                except Exception:
                    log.exception("workers.upkeep_failed")
                else:
                    self._due[work] = self._clock.monotonic() + self._every[work]
            await self._clock.wait_until(None, finished)

    async def _end_lapsed(self) -> None:
        living = await self._store.living_workers()
        self._any = bool(living)
        lapsed = self._presence.saw(living, now=self._clock.monotonic())
        if not lapsed:
            return
        ended = await self._store.lapse_workers(lapsed, now=self._clock.now())
        for session in ended:
            log.warning("worker.lapsed", worker=public_id(session))
        self._ended(ended)
        self._lapsed(len(ended))

    async def _end_overtime(self) -> None:
        attempts = await self._store.attempts_of_workers() if self._any else {}
        over = self._overtime.saw(attempts, now=self._clock.monotonic())
        if over and (ended := await self._store.end_overtime(over, now=self._clock.now())):
            log.error("worker.attempts_not_stopped", count=ended)

    async def _forget_absent(self) -> None:
        self._forget()

    async def _remove(self) -> None:
        await self._store.remove_workers(ended_before=self._clock.now() - KEPT_FOR)
