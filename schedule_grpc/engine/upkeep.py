"""Keeps executions and their attempts in step: cancel requests, lost claims, lapsed leases."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import structlog

from schedule_grpc.engine.leases import Lease
from schedule_grpc.engine.runner import Runner, Why
from schedule_grpc.errors import Unavailable
from schedule_grpc.events import AlertsChanged, Hub
from schedule_grpc.runtime.clock import Clock
from schedule_grpc.store import Store

log = structlog.get_logger(__name__)

ROUND = timedelta(seconds=10)
AGAIN_AFTER = timedelta(seconds=1)
"""The pause after a round that failed."""


class Upkeep:
    """Stops cancelled attempts, settles executions that no server runs, and takes over from servers that are gone."""

    def __init__(self, *, store: Store, clock: Clock, runner: Runner, hub: Hub, lease: Lease, owner: str) -> None:
        self._store = store
        self._clock = clock
        self._runner = runner
        self._hub = hub
        self._lease = lease
        self._owner = owner
        self._uninformed = False
        self._was_first = lease.first

    async def run(self, finished: asyncio.Event) -> None:
        """Go rounds until finished. A round that fails is tried again each second."""
        watching = asyncio.create_task(self._watch(finished), name="watch the lease")
        next_round: datetime | None = None
        while not finished.is_set():
            now = self._clock.now()
            # A wall clock that was set back must not end the rounds: never wait longer than one.
            if next_round is None or not now < next_round <= now + ROUND:
                next_round = now + (ROUND if await self._tried(self.go_round) else AGAIN_AFTER)
            else:
                if self._uninformed:
                    await self._tried(self._stop_cancelled)
                if self._lease.lapsed:
                    await self._tried(self._take_over)
            await self._clock.wait_until(None, finished)
        await watching

    def look_soon(self) -> None:
        """Read cancel requests within a second: a notification of one may have been lost."""
        self._uninformed = True

    async def go_round(self) -> None:
        """Stop cancelled attempts, settle executions that no server runs, and note overdue tasks."""
        await self._stop_cancelled()
        await self._recover_own()
        if self._store.is_shared:
            await self._take_over()
        await self._store.note_overdue(now=self._clock.now())

    async def rescue_all(self) -> int:
        """Take every RUNNING execution: only for a server that holds its database alone, before it starts any."""
        rescued = await self._store.rescue(now=self._clock.now())
        if rescued:
            log.warning("leases.rescued", count=rescued, at="start")
        return rescued

    async def _tried(self, work: Callable[[], Awaitable[None]]) -> bool:
        """Do a part of a round; return whether it succeeded."""
        try:
            await work()
        except Unavailable as error:
            log.warning("upkeep.delayed", error=str(error))
            return False
        except Exception:
            log.exception("upkeep.failed")
            return False
        return True

    async def _stop_cancelled(self) -> None:
        self._uninformed = False
        held = {attempt.claim.lease_token: execution_id for execution_id, attempt in self._runner.held().items()}
        if not held:
            return
        for token in await self._store.cancel_requests(self._owner):
            if token in held:
                self._runner.stop(held[token], Why.CANCELLED)

    async def _recover_own(self) -> None:
        async with self._runner.claiming:  # a commit may take long: its claims are not lost
            recovered = await self._store.recover_own(
                self._owner,
                held=frozenset(attempt.claim.lease_token for attempt in self._runner.held().values()),
                begun=self._runner.begun(),
                now=self._clock.now(),
            )
        if recovered:
            log.warning("claims.recovered", count=recovered)

    async def _take_over(self) -> None:
        rescued = await self._store.take_over(self._lease.lapsed, now=self._clock.now())
        if rescued:
            log.warning("leases.rescued", count=rescued)

    async def _watch(self, finished: asyncio.Event) -> None:
        """Stop attempts beyond the lease, even while a round waits for a database that does not answer."""
        while not finished.is_set():
            self._runner.stop_beyond_lease()
            if self._lease.first and not self._was_first:
                self._hub.publish([AlertsChanged()])  # unsent alerts of the former first server are this one's to send
            self._was_first = self._lease.first
            await self._clock.wait_until(None, finished)
