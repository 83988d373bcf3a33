"""SQLite through aiosqlite: one writer that commits in groups, readers apart from it."""

import asyncio
import os
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite

from schedule_grpc.database.migration import Migration
from schedule_grpc.database.operation import Factory, Lane, OnCommit
from schedule_grpc.database.sqlite.batch import Done, Refused, run_batch
from schedule_grpc.database.sqlite.file_lock import FileLock
from schedule_grpc.database.sqlite.prepare import prepare
from schedule_grpc.database.sqlite.reads import SharedReads
from schedule_grpc.errors import DatabaseUnavailable
from schedule_grpc.runtime.clock import SystemClock

T = TypeVar("T")

WRITER, ENGINE = 0, 1
"""Connections of their own: of all that is written, and of what the engine reads."""
READERS = 2
"""Connections that callers' reads share."""
ROOM = 64 * 1024
"""Bytes: a run by hand writes about half as much."""
BATCH = 512
"""Operations in one commit at most: a longer batch would make its first caller wait for its last."""
PAGES_OF_WAL = 8000
"""32 MB: the commit that goes beyond moves them into the file. At SQLite's own 1,000 every commit of a burst did."""
BUSY_SECONDS = 5.0
"""How long to wait for another process (a backup, a shell) that holds the write lock."""


_DOUBTFUL = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
"""Errors after which a connection may hold pages that never were in the file, and find it damaged for ever."""


class _Connection(aiosqlite.Connection):
    """aiosqlite's connection, with a way to run a whole function on its thread instead of a statement a hop."""

    doubtful = False
    """Whether another one should take its place."""

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        result: T = await self._execute(partial(function, self._conn), *arguments)  # type: ignore[no-untyped-call]
        return result

    def look_at(self, error: Exception) -> None:
        """Notice an error of this connection."""
        code = getattr(error, "sqlite_errorcode", None)
        self.doubtful |= code is not None and code & 0xFF in _DOUBTFUL


@dataclass(slots=True)
class _Job:
    factory: Factory[Any]
    committed: Callable[[Any], None] | None
    result: "asyncio.Future[Any]"


class SqliteDatabase:
    """One SQLite file, locked against other servers."""

    def __init__(
        self,
        path: Path,
        lock: FileLock,
        connections: Sequence[_Connection],
        on_commit: OnCommit,
    ) -> None:
        self._path = path
        files = [f"{path}{part}" for part in ("", "-wal", "-shm")]
        self._identities = {each: _identity(each) for each in files}
        self._on_commit = on_commit
        self._clock = SystemClock()  # for how long the disk takes, whatever time a test's clock shows
        self._lock = lock
        self._connections = list(connections)
        self._reopening = asyncio.Lock()
        self._reads = {
            Lane.ENGINE: SharedReads([partial(self._connection, ENGINE)]),
            Lane.CALLERS: SharedReads([partial(self._connection, 2 + number) for number in range(READERS)]),
        }
        self._jobs: deque[_Job] = deque()
        self._arrived = asyncio.Event()
        self._closing = False
        self._writing = asyncio.create_task(self._write_batches(), name="sqlite writer")

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        migrations: Sequence[Migration],
        application_id: int,
        on_commit: OnCommit = lambda *_: None,
    ) -> "SqliteDatabase":
        """Lock, check, create or migrate, and open the file; ``on_commit`` is called after each commit.

        Raises:
            DatabaseRefused: if it is held by another server, empty, damaged, foreign, or newer than this program.
        """
        path = path.resolve()  # noqa: ASYNC240 (once, before anything else runs)
        lock = FileLock.acquire(path)
        opened: list[_Connection] = []
        try:
            lock.cover(path)
            new = not path.exists()
            await asyncio.to_thread(prepare, path, migrations, application_id)
            if new:
                lock.cover(path)
            for number in range(2 + READERS):
                opened.append(await _opened(path, number))  # noqa: PERF401 (where one fails, the others are closed)
        except BaseException:
            for connection in opened:
                await connection.close()
            lock.release()
            raise
        return cls(path, lock, opened, on_commit)

    async def write(self, factory: Factory[T], *, committed: Callable[[T], None] | None = None) -> T:
        """Run an operation in a transaction; return its result once it is on disk.

        ``committed`` is called with the result of what happened, even where its caller has left.

        Raises:
            DatabaseUnavailable: if it could not be written; nothing of it was kept.
        """
        if self._closing:
            raise DatabaseUnavailable("the database is closed")
        job = _Job(factory, committed, asyncio.get_running_loop().create_future())
        self._jobs.append(job)
        self._arrived.set()
        result: T = await job.result
        return result

    async def read(self, factory: Factory[T], *, lane: Lane = Lane.CALLERS) -> T:
        """Run an operation that only reads, on one consistent state of the database.

        Raises:
            DatabaseUnavailable: if the file cannot be read.
        """
        if self._closing:
            raise DatabaseUnavailable("the database is closed")
        try:
            return await self._reads[lane].read(factory)
        except sqlite3.Error as error:
            raise _unavailable(error) from error

    async def try_write(self) -> None:
        """Write a page as it is, and see whether there is room for what a call writes. See Database.

        Raises:
            DatabaseUnavailable: if not.
        """
        if self._closing:
            raise DatabaseUnavailable("the database is closed")
        try:
            writer = await self._connection(WRITER)
            try:
                await writer.run(self._require_the_same_files)
                await writer.run(_write_first_page)
                await writer.run(lambda _: self._lock.require_room(ROOM))
            except sqlite3.Error as error:
                writer.look_at(error)
                raise
        except (OSError, sqlite3.Error) as error:
            raise _unavailable(error) from error

    async def time(self) -> datetime | None:
        """Return None: a file has no clock."""
        return None

    async def close(self) -> None:
        """Finish the writes under way, close the connections, and let the next server have the file."""
        if self._closing:
            return
        self._closing = True
        self._arrived.set()
        await self._writing
        for reads in self._reads.values():
            await reads.finish()
        for connection in reversed(self._connections):
            await connection.close()
        self._lock.release()

    async def _write_batches(self) -> None:
        while not (self._closing and not self._jobs):
            await self._arrived.wait()
            self._arrived.clear()
            while self._jobs:
                batch = [self._jobs.popleft() for _ in range(min(len(self._jobs), BATCH))]
                await self._write_batch([job for job in batch if not job.result.cancelled()])

    async def _write_batch(self, batch: list[_Job]) -> None:
        try:
            writer = await self._connection(WRITER)
            began = self._clock.monotonic()
            results = await writer.run(self._run, [job.factory for job in batch])
            self._on_commit(len(batch), self._clock.monotonic() - began)
            for result in results:
                if isinstance(result, Refused):
                    writer.look_at(result.error)
        except Exception as error:  # noqa: BLE001 (each waiting caller must get its error, whatever it is)
            results = [Refused(error) for _ in batch]
        for job, result in zip(batch, results, strict=True):
            if isinstance(result, Done) and job.committed is not None:
                job.committed(result.value)
            if job.result.cancelled():
                continue
            if isinstance(result, Done):
                job.result.set_result(result.value)
            else:
                job.result.set_exception(_callers_error(result.error))

    async def _connection(self, number: int) -> _Connection:
        """Return a connection; in place of one that an I/O error has left in doubt, a new one.

        Raises:
            sqlite3.Error: if the file cannot be opened.
        """
        former = self._connections[number]
        if not former.doubtful:
            return former
        async with self._reopening:
            if self._connections[number] is former:
                await asyncio.to_thread(_look, self._path)  # aiosqlite leaves a thread to itself where a file is none
                self._connections[number] = await _opened(self._path, number)
                await former.close()
        return self._connections[number]

    # -- on the writer's thread

    def _run(self, connection: sqlite3.Connection, factories: Sequence[Factory[Any]]) -> Sequence[Done | Refused]:
        self._require_the_same_files(connection)
        return run_batch(connection, factories)

    def _require_the_same_files(self, connection: sqlite3.Connection) -> None:
        """Refuse to write into files that have lost their names, to a deletion or to other files.

        The newest commits in a lost -wal are still in reach: they are moved into the file.
        """
        for path, identity in self._identities.items():
            if _identity(path) != identity:
                _checkpoint(connection)
                raise DatabaseUnavailable(
                    f"{path}: was removed or replaced while it was open: put it back, or restart the server"
                )


async def _opened(path: Path, number: int) -> _Connection:
    connection = _Connection(partial(_connect, path, read_only=number != WRITER), 64)
    await connection
    return connection


def _look(path: Path) -> None:
    with closing(_connect(path, read_only=True)) as connection:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()


def _write_first_page(connection: sqlite3.Connection) -> None:
    """Write the page that holds the schema's version, as it is: of a row that stays the same SQLite writes nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        connection.execute(f"PRAGMA user_version = {version:d}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _checkpoint(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 (a Path costs more than the call, and each commit asks of three)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_SECONDS, cached_statements=512)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA wal_autocheckpoint = {PAGES_OF_WAL:d}")
    connection.execute("PRAGMA cache_size = -16384")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute(f"PRAGMA query_only = {read_only:d}")
    return connection


def _callers_error(error: Exception) -> Exception:
    """Return the error for the caller: a disk's state is the database's fault, a broken constraint is ours."""
    if isinstance(error, sqlite3.Error) and not isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError):
        return _unavailable(error)
    return error


def _unavailable(error: sqlite3.Error | OSError) -> DatabaseUnavailable:
    unavailable = DatabaseUnavailable(f"The database cannot be used: {error}")
    unavailable.__cause__ = error
    return unavailable
