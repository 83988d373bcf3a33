"""The store's operations on the sessions of browsers."""

from collections.abc import Collection
from datetime import datetime
from functools import partial

from schedule_grpc.domain.access.browser_session import BrowserSession
from schedule_grpc.store.operations import browser_sessions
from schedule_grpc.store.transactions import Transactions

REMOVED_AT_ONCE = 500
"""Rows of one `prune_browser_sessions` at most."""


class BrowserSessionStore(Transactions):
    """Operations on the sessions of browsers."""

    async def begin_browser_session(self, session: BrowserSession) -> tuple[bytes, ...]:
        """Write a new session; return the digests of its key's oldest ones, which end because there are too many."""
        return await self._write(browser_sessions.begin_browser_session, session)

    async def find_browser_session(self, digest: bytes) -> BrowserSession | None:
        """Return the session of a cookie's digest, also an expired one that is not removed yet."""
        return await self._database.read(partial(browser_sessions.find_browser_session, digest))

    async def end_browser_sessions(self, digests: Collection[bytes]) -> None:
        """Remove sessions. Safe to repeat: one that is not there changes nothing."""
        await self._write(browser_sessions.end_browser_sessions, digests)

    async def prune_browser_sessions(self, *, before: datetime) -> int:
        """Remove a few of the sessions that had ended by a moment, and return how many."""
        return await self._write(browser_sessions.prune_browser_sessions, before, REMOVED_AT_ONCE)
