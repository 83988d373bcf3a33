"""A user's own SQLite file, as handlers use it: statements and transactions, readers apart from the writer."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite

from schedule_grpc.errors import BindingError

T = TypeVar("T")

BUSY_SECONDS = 5.0
"""How long to wait for another writer of the file."""
STEPS_BETWEEN_LOOKS = 100_000
"""After so many steps of SQLite's machine, some milliseconds, a statement looks whether the file is being closed."""


class SqliteTransaction:
    """Statements that happen together or not at all."""

    def __init__(self, name: str, connection: aiosqlite.Connection) -> None:
        self._name = name
        self._connection = connection

    async def fetch(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        """Return a query's rows.

        Raises:
            BindingError: with what the database said.
        """
        return await _told(self._name, _fetch(self._connection, sql, parameters))

    async def execute(self, sql: str, **parameters: Any) -> int:
        """Run a statement; return how many rows it changed.

        Raises:
            BindingError: with what the database said.
        """
        return await _told(self._name, _execute(self._connection, sql, parameters))


class SqliteFile:
    """A SQLite file with named parameters, for handlers."""

    def __init__(
        self, name: str, writer: aiosqlite.Connection, reader: aiosqlite.Connection, *, ending: threading.Event
    ) -> None:
        self._name = name
        self._writer = writer
        self._reader = reader
        self._ending = ending
        self._writing = asyncio.Lock()

    @classmethod
    async def connect(cls, name: str, path: Path, *, schema: str) -> "SqliteFile":
        """Open a file, creating it and the tables of ``schema`` where they are missing.

        Raises:
            BindingError: naming the binding, if the file cannot be used.
        """
        ending = threading.Event()
        connector = partial(_connect, path, ending)
        opened: list[aiosqlite.Connection] = []
        try:
            # First by hand: aiosqlite leaves a thread to itself where a file cannot be opened.
            await asyncio.to_thread(_prepare, connector, schema)
            for _ in range(2):
                opened.append(await aiosqlite.Connection(connector, 64))  # noqa: PERF401 (what is opened must be known)
        except BaseException as error:
            for connection in opened:
                await connection.close()
            if isinstance(error, sqlite3.Error):
                raise BindingError(name, f"{path}: {error}") from error
            raise
        return cls(name, *opened, ending=ending)

    async def fetch(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        """Return a query's rows as of the last commit.

        Raises:
            BindingError: with what the database said.
        """
        return await _told(self._name, _fetch(self._reader, sql, parameters))

    async def execute(self, sql: str, **parameters: Any) -> int:
        """Run one statement in a transaction of its own; return how many rows it changed.

        Raises:
            BindingError: with what the database said.
        """
        async with self._writing:
            return await _told(self._name, _execute(self._writer, sql, parameters))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[SqliteTransaction]:
        """Within this context statements happen together: committed at its end, undone if it is left by an exception.

        Raises:
            BindingError: with what the database said.
        """
        async with self._writing:
            try:
                await _told(self._name, _execute(self._writer, "BEGIN IMMEDIATE", {}))
                yield SqliteTransaction(self._name, self._writer)
                await _told(self._name, _execute(self._writer, "COMMIT", {}))
            except BaseException:
                # A cancelled caller must not leave the transaction open, not even one that was just beginning; the
                # rollback queues behind what still runs, and has nothing to do where nothing was begun.
                await asyncio.shield(asyncio.ensure_future(_undone(self._writer)))
                raise

    async def ping(self) -> None:
        """Return if the file can be read.

        Raises:
            BindingError: if not.
        """
        await self.fetch("SELECT 1")

    async def aclose(self) -> None:
        """Close the file; a statement that still runs for a caller who gave up is interrupted and undone."""
        self._ending.set()
        await self._reader.close()
        await self._writer.close()


def _connect(path: Path, ending: threading.Event) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_SECONDS)
    try:
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.set_progress_handler(ending.is_set, STEPS_BETWEEN_LOOKS)  # true: the statement is interrupted
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connector: Callable[[], sqlite3.Connection], schema: str) -> None:
    with closing(connector()) as connection:
        connection.executescript(schema)


async def _fetch(connection: aiosqlite.Connection, sql: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    return [dict(row) for row in await connection.execute_fetchall(sql, parameters)]


async def _execute(connection: aiosqlite.Connection, sql: str, parameters: dict[str, Any]) -> int:
    async with connection.execute(sql, parameters) as cursor:
        return cursor.rowcount


async def _undone(connection: aiosqlite.Connection) -> None:
    with suppress(sqlite3.Error):
        await _execute(connection, "ROLLBACK", {})


async def _told(name: str, answer: Awaitable[T]) -> T:
    try:
        return await answer
    except sqlite3.Error as error:
        raise BindingError(name, str(error)) from error
