"""Sessions of browsers: whoever logs in with a key need not keep that key where scripts could read it.

A browser keeps the random text of its session in a cookie; the database keeps the digest of that text, and the digest
of the key. So a stolen cookie is good for a session and not for a key, and a session is as good as its key: it may do
no more, and is over once the key is revoked, replaced or expired, which each request asks the keys in memory. Every
server of a database knows its sessions, also after a restart; one that ended at another server is refused within a
second.
"""

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Collection, Iterable
from typing import Protocol

from schedule_grpc.access.key_ring import KNOWN_FOR
from schedule_grpc.access.session_cookie import SessionCookie
from schedule_grpc.domain.access.browser_session import LASTS, BrowserSession
from schedule_grpc.errors import Unavailable
from schedule_grpc.runtime.clock import Clock

FRESH_FOR = 1.0
"""Seconds after which a session is read again where other servers can end it: as long as a revoked key may be known."""
MOST_IN_MEMORY = 10_000
"""Sessions that a server keeps in memory; the others are read when they are asked for."""
MOST_READ = 2
"""Unknown sessions that are read at once: whoever sends random cookies takes no more of the database."""
MOST_WAITING = 200
"""Unknown sessions that are read or wait for it; requests with more of them are told to come again."""
BYTES = 32


class SessionSource(Protocol):
    """Where sessions are kept."""

    @property
    def is_shared(self) -> bool:
        """Whether other servers can begin and end sessions."""

    async def begin_browser_session(self, session: BrowserSession) -> tuple[bytes, ...]:
        """Write a new session; return the digests of those that it ends, because its key has too many."""

    async def find_browser_session(self, digest: bytes) -> BrowserSession | None:
        """Return the session of a cookie's digest."""

    async def end_browser_sessions(self, digests: Collection[bytes]) -> None:
        """Remove sessions."""


class Sessions:
    """The sessions of browsers, as they were within the last second."""

    def __init__(self, source: SessionSource, clock: Clock, path_prefix: str = "") -> None:
        """Take where sessions are kept, the clock, and the path below which the server is published."""
        self._cookie = SessionCookie(path_prefix)
        self._source = source
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[BrowserSession, float]] = OrderedDict()
        """Sessions by their digests, each with when it was asked for."""
        self._reading = asyncio.Semaphore(MOST_READ)
        self._waiting = 0
        self._ends = 0
        """How often sessions ended here: what was asked for before that may be over."""

    async def begin(self, key_digest: bytes, *, secure: bool) -> str:
        """Begin a session of a key's owner; return the value of the header ``set-cookie``.

        Raises:
            DatabaseUnavailable: if the session cannot be written.
        """
        text = secrets.token_urlsafe(BYTES)
        now, asked_at = self._clock.now(), self._clock.monotonic()
        digest = self._cookie.digest(text, secure=secure)
        session = BrowserSession(digest=digest, key_digest=key_digest, create_time=now, expire_time=now + LASTS)
        self._forget(await self._source.begin_browser_session(session))
        self._keep(session, asked_at)
        return self._cookie.written(text, secure=secure, seconds=round(LASTS.total_seconds()))

    async def session_in(self, cookies: Iterable[str]) -> BrowserSession | None:
        """Return the session that the values of the header ``cookie`` name, if it is not over.

        Raises:
            Unavailable: if the database does not answer, and the session was not known here within `KNOWN_FOR`; or if
                too many requests name unknown sessions.
        """
        for digest in self._cookie.digests(cookies):
            session = await self._session_of(digest)
            if session is not None and session.expire_time > self._clock.now():
                return session
        return None

    def has_met(self, cookies: Iterable[str]) -> bool:
        """Return whether `session_in` has just found a session in these cookies; the database is not asked."""
        return any(digest in self._known for digest in self._cookie.digests(cookies))

    async def end(self, cookies: Iterable[str], *, secure: bool) -> str:
        """End the sessions that cookies name; return the ``set-cookie`` that makes the browser forget.

        Strangers may call this, too: only what is there is written to the database.

        Raises:
            Unavailable: as `session_in`; or if the database does not take the write: the session may go on.
        """
        digests = [digest for digest in self._cookie.digests(cookies) if await self._session_of(digest) is not None]
        if digests:
            await self._source.end_browser_sessions(digests)
            self._forget(digests)
        return self._cookie.written("", secure=secure, seconds=0)

    async def _session_of(self, digest: bytes) -> BrowserSession | None:
        known = self._known.get(digest)
        if known is None:
            return await self._met(digest)
        session, asked_at = known
        if not self._source.is_shared or self._clock.monotonic() - asked_at <= FRESH_FOR:
            return session
        try:
            return await self._read(digest)
        except Unavailable:
            if self._clock.monotonic() - asked_at > KNOWN_FOR:
                raise
            return session

    async def _met(self, digest: bytes) -> BrowserSession | None:
        if self._waiting >= MOST_WAITING:
            raise Unavailable("Too many requests name sessions that are unknown here; ask again")
        self._waiting += 1
        try:
            async with self._reading:
                return await self._read(digest)
        finally:
            self._waiting -= 1

    async def _read(self, digest: bytes) -> BrowserSession | None:
        asked_at, ends = self._clock.monotonic(), self._ends
        session = await self._source.find_browser_session(digest)
        if session is None or session.expire_time <= self._clock.now():
            self._known.pop(digest, None)
        elif ends == self._ends:
            self._keep(session, asked_at)
        return session

    def _keep(self, session: BrowserSession, asked_at: float) -> None:
        self._known[session.digest] = session, asked_at
        self._known.move_to_end(session.digest)
        while len(self._known) > MOST_IN_MEMORY:
            self._known.popitem(last=False)

    def _forget(self, digests: Iterable[bytes]) -> None:
        self._ends += 1
        for digest in digests:
            self._known.pop(digest, None)
