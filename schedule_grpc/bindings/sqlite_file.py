"""A user's own SQLite file, as handlers use it: statements and transactions, readers apart from the writer."""

import asyncio
import re
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import Any

from schedule_grpc.bindings.instants import SQLITE, written
from schedule_grpc.database.sqlite.thread import SqliteThread, connect
from schedule_grpc.errors import BindingError
from schedule_grpc.runtime import private_files

_NO_TABLE = re.compile(r"no such table: (?P<table>.+)", re.DOTALL)
BUSY_SECONDS = 5.0
"""How long to wait for another writer of the file, by default."""


class SqliteTransaction:
    """Statements that happen together or not at all."""

    def __init__(self, name: str, writer: SqliteThread, ending: threading.Event) -> None:
        self._name = name
        self._writer = writer
        self._ending = ending

    async def fetch(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        """Return a query's rows.

        Raises:
            BindingError: with the database's message.
        """
        with _binding_errors(self._name, self._ending):
            return await self._writer.run(partial(_within, self._name, partial(_fetch, sql, _adapted(parameters))))

    async def execute(self, sql: str, **parameters: Any) -> int:
        """Run a statement; return how many rows it changed.

        Raises:
            BindingError: with the database's message.
        """
        with _binding_errors(self._name, self._ending):
            return await self._writer.run(partial(_within, self._name, partial(_execute, sql, _adapted(parameters))))


class SqliteFile:
    """A SQLite file with named parameters, for handlers."""

    def __init__(
        self, name: str, path: Path, writer: SqliteThread, reader: SqliteThread, *, ending: threading.Event, inode: int
    ) -> None:
        self._name = name
        self._path = path
        self._writer = writer
        self._reader = reader
        self._ending = ending
        self._inode = inode
        self._writing = asyncio.Lock()

    @classmethod
    async def connect(
        cls, name: str, path: Path, *, schema: str, indexes: Sequence[str] = (), busy: float = BUSY_SECONDS
    ) -> "SqliteFile":
        """Open a file, creating it and the tables of ``schema`` where they are missing.

        Args:
            name: The binding's.
            path: The file.
            schema: Statements that create missing tables.
            indexes: Statements that create indexes; an existing table that they do not suit goes without.
            busy: Seconds to wait for another writer of the file.

        Raises:
            BindingError: naming the binding, if the file cannot be used.
        """
        ending = threading.Event()
        opened: list[SqliteThread] = []
        try:
            # First by hand: aiosqlite leaves a thread to itself where a file cannot be opened.
            inode = await asyncio.to_thread(_prepare, path, busy, ending, schema, indexes)
            for _ in range(2):
                thread = SqliteThread(path, busy=busy, ending=ending)
                await thread
                opened.append(thread)
        except BaseException as error:
            for thread in opened:
                await thread.close()
            if isinstance(error, sqlite3.Error | OSError):
                reason = error.strerror if isinstance(error, OSError) else error
                raise BindingError(name, f"{path}: {reason}") from error
            raise
        return cls(name, path, *opened, ending=ending, inode=inode)

    async def fetch(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        """Return a query's rows as of the last commit.

        Raises:
            BindingError: with the database's message.
        """
        with _binding_errors(self._name, self._ending):
            return await self._reader.run(partial(_fetch, sql, _adapted(parameters)))

    async def execute(self, sql: str, **parameters: Any) -> int:
        """Run one statement in a transaction of its own; return how many rows it changed.

        Raises:
            BindingError: with the database's message.
        """
        async with self._writing:
            with _binding_errors(self._name, self._ending):
                return await self._writer.run(partial(_execute, sql, _adapted(parameters)))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[SqliteTransaction]:
        """Run the statements of this context in one transaction: committed at its end, rolled back by an exception.

        Raises:
            BindingError: with the database's message.
        """
        async with self._writing:
            try:
                with _binding_errors(self._name, self._ending):
                    await self._writer.run(partial(_execute, "BEGIN IMMEDIATE", {}))
                transaction = SqliteTransaction(self._name, self._writer, self._ending)
                yield transaction
                await transaction.execute("COMMIT")
            except BaseException:
                # A cancelled caller must not leave the transaction open, not even one that was just beginning; the
                # rollback queues behind what still runs, and has nothing to do where nothing was begun.
                await asyncio.shield(asyncio.ensure_future(self._undone()))
                raise

    async def dialect(self) -> str:
        """Return ``sqlite``."""
        return SQLITE

    async def ping(self) -> None:
        """Return if the file can be read, and is still the one that stands in its place.

        Raises:
            BindingError: if not.
        """
        with _binding_errors(self._name, self._ending):
            inode = await self._reader.run(partial(_look, self._path))
        if inode != self._inode:
            raise BindingError(self._name, f"{self._path}: was removed or replaced while it was open")

    async def aclose(self) -> None:
        """Close the file; a statement that still runs is interrupted and undone."""
        self._ending.set()
        await self._reader.close()
        await self._writer.close()

    async def _undone(self) -> None:
        with suppress(sqlite3.Error, ValueError):
            await self._writer.run(partial(_execute, "ROLLBACK", {}))


@contextmanager
def _binding_errors(name: str, ending: threading.Event) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError, OverflowError, ValueError) as error:
        if ending.is_set():  # aiosqlite raises ValueError for what was closed
            raise BindingError(name, "is closed") from None
        if isinstance(error, ValueError):
            raise
        table = _NO_TABLE.fullmatch(str(error))
        raise (
            BindingError(name, str(error)) if table is None else BindingError.no_such_table(name, table["table"])
        ) from error


def _prepare(path: Path, busy: float, ending: threading.Event, schema: str, indexes: Sequence[str]) -> int:
    private_files.create(path)
    with closing(connect(path, busy=busy, unwanted=ending.is_set)) as connection:
        connection.executescript(schema)
        for index in indexes:
            with suppress(sqlite3.OperationalError, sqlite3.IntegrityError):
                connection.execute(index)
    return path.stat().st_ino


def _look(path: Path, connection: sqlite3.Connection) -> int:
    connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    return path.stat().st_ino if path.exists() else 0


def _adapted(parameters: dict[str, Any]) -> dict[str, Any]:
    """Write times as texts, as the platform's tables hold them: sqlite3's own way is deprecated, and another one."""
    return {name: _as_text(value) if isinstance(value, date) else value for name, value in parameters.items()}


def _as_text(value: date) -> str:
    return written(value) if isinstance(value, datetime) else value.isoformat()


def _within(name: str, function: Callable[[sqlite3.Connection], Any], connection: sqlite3.Connection) -> Any:
    """After some errors SQLite has undone the whole transaction: what follows must not happen without it."""
    if not connection.in_transaction:
        raise BindingError(name, "the transaction was undone, by an earlier error in it")
    return function(connection)


def _fetch(sql: str, parameters: dict[str, Any], connection: sqlite3.Connection) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(sql, parameters)]


def _execute(sql: str, parameters: dict[str, Any], connection: sqlite3.Connection) -> int:
    with closing(connection.execute(sql, parameters)) as cursor:
        for _ in cursor:  # the count is right once every row that it returns was made
            pass
        return max(cursor.rowcount, 0)
