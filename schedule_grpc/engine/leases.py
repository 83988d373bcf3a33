"""A server's right to run attempts: one lease, renewed from a thread of its own, whatever the event loop does.

A server that has its database alone needs none: its lease never ends.
"""

import asyncio
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Protocol

import structlog

from schedule_grpc.errors import Unavailable
from schedule_grpc.runtime import event_loop, forks
from schedule_grpc.runtime.clock import Clock, SystemClock
from schedule_grpc.runtime.threads import in_thread, start_daemon
from schedule_grpc.store import LeaseLine, Replica, Store

log = structlog.get_logger(__name__)

LEASE = 10.0
"""Seconds for which a server that does not renew its lease keeps it."""
BEAT = 1.0
"""Seconds between two renewals."""
UNBROKEN = 6.0
"""Seconds between two sightings of other leases at most. A longer pause shows that this server was suspended, or that
the database took no writes: then the others could not renew either, and get the whole time again."""
SAFETY = 2.0
"""Seconds before the end of its lease at which a server that cannot renew it stops its attempts."""
TRY = 5.0
"""Seconds that one renewal may take, connecting included."""
LAST_TRY = 1.0
"""Seconds that a renewal gets when the lease is over already: a suspended server asks before it gives up."""


class Lease(Protocol):
    """The right of this server to run attempts, and the leases of others that it has seen lapse."""

    @property
    def holds(self) -> bool:
        """Whether attempts may begin, and go on."""

    @property
    def term(self) -> int:
        """The number of times that the lease was lost: attempts of an earlier term may be another server's by now."""

    @property
    def first(self) -> bool:
        """Whether this server has been there longest among those that share the database."""

    @property
    def holders(self) -> int:
        """The number of servers that hold leases, this one included."""

    @property
    def lapsed(self) -> Mapping[str, int]:
        """The leases of other servers that are over, as `Store.take_over` takes them."""

    async def take(self) -> None:
        """Take the lease once; nothing to do where `keep` takes it.

        Raises:
            DatabaseUnavailable: if the database does not answer.
        """

    def keep(self, on_held: Callable[[], None]) -> None:
        """Take and renew the lease from now on; ``on_held`` is called, in this event loop, when it begins to hold."""

    async def leave(self) -> None:
        """Stop renewing the lease, and end it."""


class SoleLease:
    """The lease of a server that holds its database alone, by the lock on its file."""

    holds = True
    term = 0
    first = True
    holders = 1
    lapsed: Mapping[str, int] = {}

    async def take(self) -> None:
        """See Lease."""

    def keep(self, on_held: Callable[[], None]) -> None:
        """See Lease."""

    async def leave(self) -> None:
        """See Lease."""


class SharedLease:
    """The lease of one of several servers: a row that only its owner renews, and that another one ends once it is over.

    No wall clock plays a part. The owner counts from the sending of its last renewal that was confirmed, the others
    from the reading of the last one that they saw, each by its own monotonic clock.
    """

    def __init__(
        self,
        *,
        store: Store,
        owner: str,
        handlers: Callable[[], frozenset[str]],
        now: Callable[[], datetime],
        machine: Clock | None = None,
    ) -> None:
        """Make a lease that is not taken yet.

        Args:
            store: The store that has its row.
            owner: The id of the server that holds it.
            handlers: Returns the names of the handlers that the server offers now; called in the lease's thread.
            now: The time on which the servers agree; only for people who read the row.
            machine: Measures how long the lease holds; None takes the machine's own clock.
        """
        self.holds = False
        self.term = 0
        self.first = False
        self.holders = 1
        self.lapsed: Mapping[str, int] = {}
        self._store = store
        self._owner = owner
        self._start_time = now()
        self._handlers = handlers
        self._now = now
        self._clock = machine or SystemClock()
        self._presence = Presence()
        self._beat = 0
        self._confirmed: float | None = None
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    async def take(self) -> None:
        """See Lease."""
        if self._confirmed is not None or self._thread is not None:
            return
        asked = self._clock.monotonic()
        # Twice, so that its count is past 0: a lease that was ended, and taken anew, is known by its 0.
        await self._store.renew_lease(self._replica, now=self._now())
        self._renewed(await self._store.renew_lease(self._replica, now=self._now()), asked)

    def keep(self, on_held: Callable[[], None]) -> None:
        """See Lease."""
        begins_to_hold = partial(asyncio.get_running_loop().call_soon_threadsafe, on_held)
        self._thread = start_daemon(partial(self._keep, begins_to_hold), name="lease")

    @property
    def _replica(self) -> Replica:
        return Replica(id=self._owner, start_time=self._start_time, handlers=self._handlers())

    async def leave(self) -> None:
        """See Lease."""
        self._over.set()
        await in_thread(lambda _: self._join(), name="lease's end", abandon=True)
        with suppress(Unavailable):
            await self._store.leave(self._owner)

    def _join(self) -> None:
        if self._thread is not None:
            self._thread.join(TRY)

    # -- the thread's

    def _keep(self, begins_to_hold: Callable[[], object]) -> None:
        # A loop of its own, which runs nothing else, and whose connection no forked child keeps open.
        loop, own = event_loop.new_loop()
        with forks.keeping_loop(loop, own), asyncio.Runner(loop_factory=lambda: loop) as runner:
            line = self._store.lease_line()
            while True:
                held = self.holds
                try:
                    runner.run(self._renew(line))
                except Exception:
                    log.exception("lease.failed")
                    self._unconfirmed()
                if self.holds and not held:
                    begins_to_hold()
                if self._over.wait(BEAT):
                    break
            runner.run(line.close())

    async def _renew(self, line: LeaseLine) -> None:
        """Renew the lease; where the database takes no write, ask whether it still stands."""
        asked = self._clock.monotonic()
        try:
            self._renewed(await line.renew(self._replica, now=self._now(), seconds=self._patience(asked)), asked)
        except Unavailable as error:
            log.warning("lease.not_renewed", error=str(error))
        else:
            if self._beat == 0:
                await self._renew(line)
            return
        asked = self._clock.monotonic()
        try:
            self._stands(await line.look(seconds=self._patience(asked)), asked)
        except Unavailable:
            self._unconfirmed()

    def _patience(self, now: float) -> float:
        """Return the seconds to wait for an answer; there is no hurry once the attempts have stopped."""
        if not self.holds:
            return TRY
        return max(min(LEASE - SAFETY - self._silent(now), TRY), LAST_TRY)

    def _silent(self, now: float) -> float:
        """Return the seconds since the lease was last confirmed."""
        return 0.0 if self._confirmed is None else now - self._confirmed

    def _renewed(self, holders: tuple[Replica, ...], asked: float) -> None:
        answered = self._clock.monotonic()
        others = {holder.id: holder.beat for holder in holders if holder.id != self._owner}
        self._presence.saw(others, asked=asked, answered=answered)
        self.lapsed = self._presence.lapsed(asked)
        living = [holder.id for holder in holders if holder.id not in self.lapsed]
        self.first = living[:1] == [self._owner]
        self.holders = max(len(living), 1)
        self._stands(holders, asked)

    def _stands(self, holders: tuple[Replica, ...], asked: float) -> None:
        """Note an answer: a lease that is gone, or whose count began anew, was ended by another server."""
        beat = next((holder.beat for holder in holders if holder.id == self._owner), 0)
        if beat < self._beat:
            log.error("lease.lost", seconds=round(self._silent(asked), 1))
            self.term += 1
        self._beat = beat
        self._confirmed = asked
        self.holds = beat > 0

    def _unconfirmed(self) -> None:
        silent = self._silent(self._clock.monotonic())
        if silent >= LEASE - SAFETY and self.holds:
            log.error("lease.lapsed", seconds=round(silent, 1))
            self.holds = False


@dataclass(frozen=True, slots=True)
class _Sighting:
    beat: int
    since: float


@dataclass(slots=True)
class Presence:
    """The leases of other servers, as this one saw them renewed, by its own monotonic clock."""

    _seen: dict[str, _Sighting] = field(default_factory=dict)
    _latest: float | None = None

    def saw(self, beats: Mapping[str, int], *, asked: float, answered: float) -> None:
        """Note the renewal counts of the others' leases, asked and answered at monotonic seconds.

        To be called only after a renewal of one's own: that shows that the database took writes.
        """
        unbroken = self._latest is not None and asked - self._latest <= UNBROKEN
        self._latest = answered
        self._seen = {
            replica: former
            if unbroken and (former := self._seen.get(replica)) is not None and former.beat == beat
            else _Sighting(beat, answered)
            for replica, beat in beats.items()
        }

    def lapsed(self, now: float) -> Mapping[str, int]:
        """Return the leases that were not renewed for `LEASE` seconds: server id → its count."""
        return {replica: sighting.beat for replica, sighting in self._seen.items() if now - sighting.since >= LEASE}
