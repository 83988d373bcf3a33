"""Renews workers' leases: those that are asked for while a write is under way share the next one."""

import asyncio

from schedule_grpc.dispatch.refusals import SessionUnknown
from schedule_grpc.dispatch.session import Session
from schedule_grpc.runtime.clock import Alarm, Clock
from schedule_grpc.store import Store

TOGETHER = 1000
"""Leases renewed in one write at most."""
SOON = 1.0
"""Seconds for which a renewal that has time waits for others: each write has a commit of its own."""


class Renewals:
    """Writes renewals to the store, many at once."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._asked: dict[Session, asyncio.Future[None]] = {}
        self._writing: asyncio.Task[None] | None = None
        self._alarm: Alarm | None = None

    def ask(self, session: Session) -> "asyncio.Future[None]":
        """Renew a session's lease; return the future of that.

        It fails by SessionUnknown if the session has ended, and by Unavailable if the database takes no writes.
        """
        renewal = self._renewal_of(session)
        self._begin()
        return renewal

    def ask_soon(self, session: Session) -> None:
        """Renew a session's lease with others, within `SOON`."""
        self._renewal_of(session)
        if self._alarm is None:
            self._alarm = self._clock.call_later(SOON, self._begin)

    def _renewal_of(self, session: Session) -> "asyncio.Future[None]":
        renewal = self._asked.get(session)
        if renewal is None:
            renewal = self._asked[session] = asyncio.get_running_loop().create_future()
            renewal.add_done_callback(_note_retrieved)
        return renewal

    def _begin(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write(), name="renew workers' leases")

    async def _write(self) -> None:
        while self._asked:
            some = dict(list(self._asked.items())[:TOGETHER])
            for session in some:
                del self._asked[session]
            asked = self._clock.monotonic()
            try:
                draining = {session.id: session.draining for session in some}
                living = await self._store.renew_workers(draining, now=self._clock.now())
            except Exception as error:  # noqa: BLE001 (each caller that waits is told)
                for renewal in some.values():
                    _end(renewal, error)
                continue
            for session, renewal in some.items():
                if session.id in living:
                    session.confirmed = asked
                    _end(renewal)
                else:
                    session.has_ended = True
                    if session.waiting is not None:
                        session.waiting.set()
                    _end(renewal, SessionUnknown())


def _end(renewal: "asyncio.Future[None]", error: Exception | None = None) -> None:
    if renewal.done():
        return
    if error is None:
        renewal.set_result(None)
    else:
        renewal.set_exception(error)


def _note_retrieved(renewal: "asyncio.Future[None]") -> None:
    """Retrieve the exception of a renewal that no Pull waits for: the next Pull asks again."""
    if not renewal.cancelled():
        renewal.exception()
