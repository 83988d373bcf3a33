"""Notifications between servers that share a PostgreSQL database: LISTEN and NOTIFY, on a dedicated connection.

Notifications are sent after the commit that they report, several per statement: a NOTIFY inside a transaction makes all
commits of the database wait for each other (https://www.postgresql.org/docs/current/sql-notify.html; one lock over the
whole queue). So a server that dies in between never sends its own, and behind a pooler in transaction mode no server
receives any: a connection that does not receive its own messages reports a gap each second. Notifications are hints:
after a gap, listeners read the database again.
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
"""Messages that wait to be sent, at most: the oldest beyond that is dropped, which delays the peers by a second."""
CHECK = timedelta(seconds=5)
"""How often the connection checks that it receives its own messages."""
CHECK_MESSAGE = "check"
DEAF_AFTER = 1.0
"""Seconds within which the check's own message must arrive."""
AGAIN_AFTER = timedelta(seconds=1)
SECONDS = 5.0
"""Timeout of connecting, and of each statement."""


class NotificationConnection:
    """Publishes messages to the other servers and receives theirs; reconnects for as long as it is open."""

    def __init__(self, url: str, *, received: Callable[[str], None], gap: Callable[[], None]) -> None:
        """Connect, and stay connected, in the background.

        Args:
            url: The database's.
            received: Is called with each message, this server's own included.
            gap: Is called when messages may have been missed.
        """
        self._url = url
        self._received = received
        self._gap = gap
        self._unsent: deque[str] = deque(maxlen=KEPT)
        self._changed = asyncio.Event()
        self._closing = False
        self._clock = SystemClock()
        self._check = f"{CHECK_MESSAGE} {secrets.token_hex(8)}"
        self._checked = 0.0
        self._came_back = False
        self._deaf = False
        self._next_gap = 0.0
        self._running = asyncio.create_task(self._run(), name="postgres notifications")

    def publish(self, message: str) -> None:
        """Send a message of at most 8,000 bytes to the other servers, soon."""
        self._unsent.append(message)
        self._changed.set()

    async def close(self) -> None:
        """Send what is unsent, and disconnect."""
        self._closing = True
        self._changed.set()
        with suppress(TimeoutError):
            async with self._clock.timeout(SECONDS):
                await self._running

    async def _run(self) -> None:
        was_lost = False
        while not self._closing:
            try:
                await self._serve_one_connection(was_lost=was_lost)
            except FROM_OUTSIDE as error:
                log.warning("channel.lost", error=str(error) or type(error).__name__)
                was_lost = True
                self._changed.clear()
                await self._clock.wait_until(self._clock.now() + AGAIN_AFTER, asyncio.Event())

    async def _serve_one_connection(self, *, was_lost: bool) -> None:
        connection = await asyncpg.connect(self._url, timeout=SECONDS, command_timeout=SECONDS, statement_cache_size=0)
        try:
            await connection.add_listener(CHANNEL, self._receive)
            if was_lost:
                log.info("channel.restored")
                self._gap()
            await self._send_until_closed(connection)
        finally:
            connection.terminate()

    async def _send_until_closed(self, connection: Any) -> None:
        next_check = self._clock.monotonic()
        while self._unsent or not self._closing:
            self._changed.clear()
            while self._unsent:
                await connection.execute(_notify(self._unsent[0]))
                self._unsent.popleft()
            if self._clock.monotonic() >= next_check:
                self._came_back, self._checked = False, self._clock.monotonic()
                await connection.execute(_notify(self._check))
                next_check = self._checked + CHECK.total_seconds()
            if not self._closing:
                await self._clock.wait_until(None, self._changed)
            self._notice_deafness()

    def _receive(self, _connection: Any, _pid: int, _channel: str, message: str) -> None:
        if not message.startswith(CHECK_MESSAGE):
            self._received(message)
        elif message == self._check:
            self._came_back = True

    def _notice_deafness(self) -> None:
        """Report a gap each second for as long as this connection's own messages do not arrive."""
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


def _notify(message: str) -> str:
    """Return a statement that needs no preparing: behind a pooler its values could meet another client's statement."""
    literal = message.replace("'", "''")  # it holds ids and names, and no backslash
    return f"SELECT pg_notify('{CHANNEL}', '{literal}')"
