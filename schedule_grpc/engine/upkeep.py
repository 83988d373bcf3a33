"""Leases: kept for what really runs here, taken from owners that are gone."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta

import structlog

from schedule_grpc.clock import EPOCH, Clock
from schedule_grpc.engine.runner import LEASE, SAFETY, Runner, Why
from schedule_grpc.errors import Unavailable
from schedule_grpc.events import AlertsChanged, Hub
from schedule_grpc.store import Replica, Store

log = structlog.get_logger(__name__)

HEARTBEAT = timedelta(seconds=10)
AGAIN_AFTER = timedelta(seconds=1)
"""When to try again after a beat that failed."""


class Upkeep:
    """Extends this replica's leases, and rescues executions whose owner let theirs lapse."""

    def __init__(self, *, store: Store, clock: Clock, runner: Runner, hub: Hub, replica: Replica) -> None:
        self._store = store
        self._clock = clock
        self._runner = runner
        self._hub = hub
        self._replica = replica
        self._owner = replica.id
        self._seen = (replica.start_time, clock.monotonic())
        self._judges_from = clock.monotonic()
        self._uninformed = False
        self.first = not store.shared
        """Whether, of the servers that share the database, this one has been there longest."""

    async def run(self, finished: asyncio.Event) -> None:
        """Beat until finished. A beat that fails is tried again each second."""
        watching = asyncio.create_task(self._watch(finished), name="watch leases")
        next_beat: datetime | None = None
        while not finished.is_set():
            now = self._clock.now()
            # A wall clock that was set back must not silence the heart: never wait longer than one beat.
            if next_beat is None or not now < next_beat <= now + HEARTBEAT:
                next_beat = now + (HEARTBEAT if await self._tried(self.beat) else AGAIN_AFTER)
            elif self._uninformed:
                await self._tried(self._extend)
            await self._clock.wait_until(next_beat, finished)
        await watching
        await self._leave()

    def look_soon(self) -> None:
        """Somebody may want the end of what runs here, and word of it is lost: read it within a second."""
        self._uninformed = True

    async def beat(self) -> None:
        """Extend what runs here, stop what is not ours any more, rescue what is nobody's."""
        await self._extend()
        async with self._runner.claiming:  # a commit may take long: what it claims is not lost
            now = self._clock.now()
            lapsed = now - SAFETY if self._judges_leases(now) else EPOCH
            rescued = await self._store.rescue(
                owner=self._owner, held=frozenset(self._runner.held()), now=now, lapsed=lapsed
            )
        if rescued:
            log.warning("leases.rescued", count=rescued)
        await self._store.note_overdue(now=now)
        if self._store.shared:
            await self._attend(now)

    async def rescue_all(self) -> int:
        """Take every RUNNING execution: only for a server that holds its database alone, before it starts any."""
        now = self._clock.now()
        rescued = await self._store.rescue(owner=None, held=frozenset(), now=now, lapsed=now)
        if rescued:
            log.warning("leases.rescued", count=rescued, at="start")
        return rescued

    async def _tried(self, work: Callable[[], Awaitable[None]]) -> bool:
        """Do a part of this work; return whether it could be done."""
        self._uninformed = False
        try:
            await work()
        except Unavailable as error:
            log.warning("leases.not_extended", error=str(error))
            return False
        except Exception:
            log.exception("upkeep.failed")
            return False
        return True

    async def _extend(self) -> None:
        tokens = {execution_id: running.claim.lease_token for execution_id, running in self._runner.held().items()}
        if not tokens:
            return
        lease_ends = self._clock.monotonic() + LEASE.total_seconds()
        extended = await self._store.extend_leases(tokens, until=self._clock.now() + LEASE)
        for execution_id, running in tuple(self._runner.held().items()):
            if tokens.get(execution_id) != running.claim.lease_token:
                continue  # it began meanwhile: a later attempt, even of the same execution, has a lease of its own
            if execution_id in extended.kept:
                running.lease_ends = lease_ends
                if execution_id in extended.cancelled:
                    self._runner.stop(execution_id, Why.CANCELLED)
            else:
                # Ended meanwhile, which needs nothing, or taken by another, which must stop this attempt.
                self._runner.stop(execution_id, Why.LEASE_LOST)

    async def _watch(self, finished: asyncio.Event) -> None:
        """Let go of what is not safely ours any more, even while a beat waits for a database that does not answer."""
        while not finished.is_set():
            self._let_go_of_lapsed()
            await self._clock.wait_until(None, finished)

    def _judges_leases(self, now: datetime) -> bool:
        """Tell whether others' leases can be judged by the clock.

        Moved forward (a machine that slept, a database that failed over), it makes all of them look over, though their
        owners live: they get the time for a heartbeat first.
        """
        monotonic = self._clock.monotonic()
        moved = (now - self._seen[0]).total_seconds() - (monotonic - self._seen[1])
        self._seen = (now, monotonic)
        if moved > SAFETY.total_seconds():
            log.warning("clock.moved", seconds=round(moved, 1))
            self._judges_from = monotonic + (LEASE + SAFETY).total_seconds()
        return monotonic >= self._judges_from

    async def _attend(self, now: datetime) -> None:
        present = await self._store.attend(self._replica, now=now)
        first = present[0].id == self._owner
        if first and not self.first:
            self._hub.publish([AlertsChanged()])  # what the one before left untold is ours to tell
        self.first = first

    async def _leave(self) -> None:
        if self._store.shared:
            with suppress(Unavailable):
                await self._store.leave(self._owner)

    def _let_go_of_lapsed(self) -> None:
        last_moment = self._clock.monotonic() + SAFETY.total_seconds()
        for execution_id, running in tuple(self._runner.held().items()):
            if running.lease_ends <= last_moment and not running.stop.done():
                log.error("lease.lapsed", execution=execution_id)
                self._runner.stop(execution_id, Why.LEASE_LOST)
