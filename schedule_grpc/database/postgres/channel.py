"""Word between servers that share a PostgreSQL database: LISTEN and NOTIFY, on a connection of their own.

Words are sent after the commit that they tell of, many in one: a NOTIFY inside a transaction makes all commits of the
database wait for each other (https://www.postgresql.org/docs/current/sql-notify.html; one lock over the whole queue).
So a word can be lost with its process, and behind a pooler in transaction mode all of them are: a channel to which its
own words do not come back tells of a gap each second. They are hints; whoever is told of a gap, or of nothing, looks.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import asyncpg
import structlog

from schedule_grpc.database.postgres.errors import FROM_OUTSIDE
from schedule_grpc.runtime.clock import SystemClock

log = structlog.get_logger(__name__)

CHANNEL = "schedule_grpc"
KEPT = 10_000
"""Words that wait to be sent, at most: what is more is dropped, and costs the others a second."""
CHECK = timedelta(seconds=5)
"""How often it is tried whether our own words come back to us."""
CHECK_WORD = "check"
DEAF_AFTER = 1.0
"""Seconds in which they must."""
AGAIN_AFTER = timedelta(seconds=1)
SECONDS = 5.0
"""In which a connection, or an answer, must come."""


class Channel:
    """Says words to the other servers and hears theirs; connects again for as long as it is open."""

    def __init__(self, url: str, *, heard: Callable[[str], None], gap: Callable[[], None]) -> None:
        self._url = url
        self._heard = heard
        self._gap = gap
        self._words: deque[str] = deque(maxlen=KEPT)
        self._changed = asyncio.Event()
        self._closing = False
        self._clock = SystemClock()
        self._check = f"{CHECK_WORD} {secrets.token_hex(8)}"
        self._checked = 0.0
        self._came_back = False
        self._deaf = False
        self._next_gap = 0.0
        self._running = asyncio.create_task(self._run(), name="postgres channel")

    def say(self, word: str) -> None:
        """Tell the other servers, soon; not more than 8,000 bytes."""
        self._words.append(word)
        self._changed.set()

    async def close(self) -> None:
        """Say what is left to say, and leave."""
        self._closing = True
        self._changed.set()
        with suppress(TimeoutError):
            async with self._clock.timeout(SECONDS):
                await self._running

    async def _run(self) -> None:
        known = False
        while not self._closing:
            try:
                await self._connected(known=known)
            except FROM_OUTSIDE as error:
                log.warning("channel.lost", error=str(error) or type(error).__name__)
                known = True
                self._changed.clear()
                await self._clock.wait_until(self._clock.now() + AGAIN_AFTER, asyncio.Event())

    async def _connected(self, *, known: bool) -> None:
        connection = await asyncpg.connect(self._url, timeout=SECONDS, command_timeout=SECONDS, statement_cache_size=0)
        try:
            await connection.add_listener(CHANNEL, self._hear)
            if known:
                log.info("channel.restored")
                self._gap()
            await self._speak(connection)
        finally:
            connection.terminate()

    async def _speak(self, connection: Any) -> None:
        next_check = self._clock.monotonic()
        while self._words or not self._closing:
            self._changed.clear()
            while self._words:
                await connection.execute(_notify(self._words[0]))
                self._words.popleft()
            if self._clock.monotonic() >= next_check:
                self._came_back, self._checked = False, self._clock.monotonic()
                await connection.execute(_notify(self._check))
                next_check = self._checked + CHECK.total_seconds()
            if not self._closing:
                await self._clock.wait_until(None, self._changed)
            self._notice_deafness()

    def _hear(self, _connection: Any, _pid: int, _channel: str, word: str) -> None:
        if not word.startswith(CHECK_WORD):
            self._heard(word)
        elif word == self._check:
            self._came_back = True

    def _notice_deafness(self) -> None:
        """Tell of a gap each second for as long as words do not come back."""
        if self._came_back:
            if self._deaf:
                log.info("channel.restored")
            self._deaf = False
        elif self._clock.monotonic() - self._checked > DEAF_AFTER and not self._deaf:
            log.warning("channel.deaf")
            self._deaf = True
        if self._deaf and self._clock.monotonic() >= self._next_gap:
            self._next_gap = self._clock.monotonic() + DEAF_AFTER
            self._gap()


def _notify(word: str) -> str:
    """Return a statement that needs no preparing: behind a pooler its values could meet another client's statement."""
    literal = word.replace("'", "''")  # it holds ids and names, and no backslash
    return f"SELECT pg_notify('{CHANNEL}', '{literal}')"
