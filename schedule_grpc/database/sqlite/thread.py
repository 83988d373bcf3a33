"""A SQLite connection on a thread of its own, which gives work up once its caller is cancelled."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite

T = TypeVar("T")

STEPS_BETWEEN_LOOKS = 100_000
"""Steps of SQLite's virtual machine, some milliseconds, after which a statement checks whether it is still wanted."""


class _Work:
    """One function on the thread; given up once its caller was cancelled."""

    def __init__(self) -> None:
        self.given_up = False


class SqliteThread(aiosqlite.Connection):
    """aiosqlite's connection, with a way to run a whole function on its thread."""

    def __init__(self, path: Path, *, busy: float, ending: threading.Event) -> None:
        """Take a file; awaiting this object opens it.

        Args:
            path: The file.
            busy: Seconds to wait for another writer of the file.
            ending: Once set, whatever statement runs is interrupted.
        """
        super().__init__(lambda: connect(path, busy=busy, unwanted=self._unwanted), 64)
        self._ending = ending
        self._doing: _Work | None = None

    async def run(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Return what a function of the connection returns; if its caller is cancelled its statement is interrupted."""
        work = _Work()
        try:
            result: T = await self._execute(self._do, work, function)  # type: ignore[no-untyped-call]
        except asyncio.CancelledError:
            work.given_up = True
            raise
        return result

    def _do(self, work: _Work, function: Callable[[sqlite3.Connection], T]) -> T | None:
        if work.given_up:
            return None
        self._doing = work
        try:
            return function(self._conn)
        finally:
            self._doing = None

    def _unwanted(self) -> bool:
        doing = self._doing
        return self._ending.is_set() or (doing is not None and doing.given_up)


def connect(path: Path, *, busy: float, unwanted: Callable[[], Any]) -> sqlite3.Connection:
    """Open a file; a statement is interrupted once ``unwanted`` is true.

    Raises:
        sqlite3.Error: if it cannot be used.
    """
    connection = sqlite3.connect(path, isolation_level=None, timeout=busy)
    try:
        connection.row_factory = sqlite3.Row
        _write_ahead(connection)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.set_progress_handler(unwanted, STEPS_BETWEEN_LOOKS)
    except BaseException:
        connection.close()
        raise
    return connection


def _write_ahead(connection: sqlite3.Connection) -> None:
    try:
        connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.OperationalError as error:
        # SQLite does not wait here: another process is opening the new file at the same moment, and does it for both.
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
