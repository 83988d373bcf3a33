"""The session of a worker: its id, its lease, and whether the server can be reached."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import structlog

from schedule_grpc.runtime.clock import Alarm, Clock

log = structlog.get_logger(__name__)

MARGIN = 5.0
"""Seconds before the end of the lease at which all handlers are stopped: clocks run at slightly different speeds, and
handlers take a moment to stop."""
STALE_AFTER = 30.0
"""Seconds without an answered Pull after which a worker is not healthy, unless its lease is longer."""


class Session:
    """A session and its lease, by the worker's monotonic clock. There is none at first, and after it was lost."""

    def __init__(self, clock: Clock, *, on_lapse: Callable[[], None]) -> None:
        """Begin without a session; ``on_lapse`` is called `MARGIN` before the end of a lease."""
        self.id = ""
        self.lease = timedelta(0)
        """The lease that was granted."""
        self.number = 0
        """Counts the sessions that were given up: an answer that was asked for before is not this session's."""
        self.on_begun: Callable[[], None] = lambda: None
        """Called when a session begins."""
        self.on_given_up: Callable[[], None] = lambda: None
        """Called when it is given up."""
        self._clock = clock
        self._on_lapse = on_lapse
        self._ends = float("-inf")
        self._begun = asyncio.Event()
        self._alarm: Alarm | None = None
        self._heard_time: float | None = None
        self._is_cut_off = False

    @property
    def covers(self) -> bool:
        """Whether the lease holds for longer than `MARGIN`."""
        return self._clock.monotonic() < self._ends - MARGIN

    def begin(self, session_id: str, sent_time: float, lease: timedelta) -> None:
        """Note a session that was registered by a call sent at a time."""
        self.id = session_id
        self.lease = lease
        self.renew(sent_time, lease)
        self._begun.set()
        self.on_begun()

    def renew(self, sent_time: float, lease: timedelta) -> None:
        """Note that the server renewed the lease, at a call sent at a time."""
        self._ends = sent_time + lease.total_seconds()
        self._heard_time = self._clock.monotonic()
        if self._alarm is None:
            self._watch()

    def lose(self, session_id: str) -> None:
        """Give up the session of an id, which the server does not know; nothing if that is not the present one."""
        if session_id == self.id:
            log.warning("worker.session_unknown")
            self.give_up()

    def give_up(self) -> None:
        """Forget the session: the server does not know it, or its lease is as good as over."""
        self.id = ""
        self.number += 1
        self._begun.clear()
        self.on_given_up()

    async def ready(self) -> str:
        """Return the id of the session once there is one."""
        while not self.id:
            await self._begun.wait()
        return self.id

    def troubles(self) -> tuple[str, ...]:
        """Return why the worker is not healthy; nothing if it is."""
        if self._heard_time is None:
            return ("the worker has not registered yet",)
        silent = self._clock.monotonic() - self._heard_time
        if silent <= max(STALE_AFTER, self.lease.total_seconds()):
            return ()
        return (f"no Pull has been answered for {round(silent)} s",)

    def failed(self, rpc: str, reason: str) -> None:
        """Note a call that failed and will be made again; only the first of several in a row is logged as a warning."""
        if self._is_cut_off:
            log.debug("worker.call_failed", rpc=rpc, reason=reason)
            return
        self._is_cut_off = True
        log.warning("worker.disconnected", rpc=rpc, reason=reason)

    def answered(self) -> None:
        """Note a call that was answered."""
        if self._is_cut_off:
            self._is_cut_off = False
            log.info("worker.connected_again")

    def lapse(self) -> None:
        """Act as at the end of the lease now: it is over, and the alarm has not rung yet."""
        self.close()
        self._on_lapse()

    def close(self) -> None:
        """Watch the lease no more."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _watch(self) -> None:
        """Ring `MARGIN` before the end of the lease; one that was renewed meanwhile is watched on."""
        left = self._ends - MARGIN - self._clock.monotonic()
        if left > 0:
            self._alarm = self._clock.call_later(left, self._watch)
        else:
            self._alarm = None
            self._on_lapse()
