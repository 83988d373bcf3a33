"""Leases: kept for what really runs here, taken from owners that are gone."""

import asyncio
from datetime import datetime, timedelta

import structlog

from schedule_grpc.clock import Clock
from schedule_grpc.engine.runner import LEASE, Runner, Why
from schedule_grpc.errors import Unavailable
from schedule_grpc.store import Store

log = structlog.get_logger(__name__)

HEARTBEAT = timedelta(seconds=10)
AGAIN_AFTER = timedelta(seconds=1)
"""When to try again after a beat that failed."""
SAFETY = timedelta(seconds=5)
"""An owner stops this long before its lease ends, others take over this long after: clocks never quite agree."""


class Upkeep:
    """Extends this replica's leases, and rescues executions whose owner let theirs lapse."""

    def __init__(self, *, store: Store, clock: Clock, runner: Runner, owner: str) -> None:
        self._store = store
        self._clock = clock
        self._runner = runner
        self._owner = owner

    async def run(self, finished: asyncio.Event) -> None:
        """Beat until finished. A beat that fails is tried again each second."""
        next_beat: datetime | None = None
        while not finished.is_set():
            now = self._clock.now()
            # A wall clock that was set back must not silence the heart: never wait longer than one beat.
            if next_beat is None or not now < next_beat <= now + HEARTBEAT:
                next_beat = now + AGAIN_AFTER
                try:
                    await self.beat()
                    next_beat = now + HEARTBEAT
                except Unavailable as error:
                    log.warning("leases.not_extended", error=str(error))
                    self._let_go_of_lapsed()
                except Exception:
                    log.exception("upkeep.failed")
            await self._clock.wait_until(next_beat, finished)

    async def beat(self) -> None:
        """Extend what runs here, stop what is not ours any more, rescue what is nobody's."""
        await self._extend()
        async with self._runner.claiming:  # a commit may take long: what it claims is not lost
            now = self._clock.now()
            rescued = await self._store.rescue(
                owner=self._owner, held=frozenset(self._runner.held()), now=now, lapsed=now - SAFETY
            )
        if rescued:
            log.warning("leases.rescued", count=rescued)
        await self._store.note_overdue(now=now)

    async def rescue_all(self) -> int:
        """Take every RUNNING execution: only for a server that holds its database alone, before it starts any."""
        now = self._clock.now()
        rescued = await self._store.rescue(owner=None, held=frozenset(), now=now, lapsed=now)
        if rescued:
            log.warning("leases.rescued", count=rescued, at="start")
        return rescued

    async def _extend(self) -> None:
        tokens = {execution_id: running.claim.lease_token for execution_id, running in self._runner.held().items()}
        if not tokens:
            return
        lease_ends = self._clock.monotonic() + LEASE.total_seconds()
        extended = await self._store.extend_leases(tokens, until=self._clock.now() + LEASE)
        for execution_id, running in tuple(self._runner.held().items()):
            if execution_id in extended.kept:
                running.lease_ends = lease_ends
                if execution_id in extended.cancelled:
                    self._runner.stop(execution_id, Why.CANCELLED)
            elif execution_id in tokens:
                # Ended meanwhile, which needs nothing, or taken by another, which must stop this attempt.
                self._runner.stop(execution_id, Why.LEASE_LOST)

    def _let_go_of_lapsed(self) -> None:
        last_moment = self._clock.monotonic() + SAFETY.total_seconds()
        for execution_id, running in tuple(self._runner.held().items()):
            if running.lease_ends <= last_moment:
                log.error("lease.lapsed", execution=execution_id)
                self._runner.stop(execution_id, Why.LEASE_LOST)
