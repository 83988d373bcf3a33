"""PostgreSQL through asyncpg: each operation in a transaction of its own, on one of a few connections."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import Any, TypeVar

import asyncpg
import structlog

from schedule_grpc.database.migration import Migration
from schedule_grpc.database.operation import Factory, Lane, OnCommit, Operation
from schedule_grpc.database.postgres import text
from schedule_grpc.database.postgres.commit import Unanswered, closed, was_committed
from schedule_grpc.database.postgres.errors import FROM_OUTSIDE, Meaning, meaning, unavailable
from schedule_grpc.database.postgres.migrate import migrate, schema_version
from schedule_grpc.database.postgres.transaction import PLANS, SETTINGS, Transaction, drive, run
from schedule_grpc.errors import ConfigurationError, DatabaseRefused, DatabaseUnavailable
from schedule_grpc.runtime.clock import SystemClock, from_micros

log = structlog.get_logger(__name__)

T = TypeVar("T")

CONNECTIONS = 10
CALLERS_READS = 6
"""Connections that callers' reads use at most: the others are left to writes and to the engine's reads."""
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 10.0
"""How long an answer is waited for: longer than the server lets a statement run, so its own words come first."""
TRIES = 5
TRIES_IF_LOST = TRIES + CONNECTIONS
"""Where a connection was lost: all that are kept may be, and each try takes one."""
STATEMENTS_KEPT = 256

_NOW = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"


class Connection(asyncpg.Connection):  # type: ignore[misc]  # its package has no types
    """asyncpg's, without the question that it asks when it is given back: nothing of ours outlives a transaction."""

    def get_reset_query(self) -> str:
        """Return the statements to run when a connection goes back to its pool: none."""
        return ""

    def send_before_next(self, messages: bytes) -> None:
        """Send messages that are answered together with the next statement."""
        self._transport.write(messages)


class PostgresDatabase:
    """A PostgreSQL database that many servers share.

    READ COMMITTED, and locks on the rows of tasks: an operation that changes a task's executions locks the task first,
    all of its tasks in one statement and in one order. Claims need no such lock: they take rows that no other
    transaction holds (SKIP LOCKED), and never wait.
    """

    def __init__(self, url: str, pool: asyncpg.Pool, on_commit: OnCommit, *, prepares: bool) -> None:
        self._url = url
        self._pool = pool
        self._on_commit = on_commit
        self._clock = SystemClock()  # for the network's patience, which is real time whatever a test's clock shows
        self._writing: set[asyncio.Task[Any]] = set()
        self._closing = False
        self._prepares = prepares
        self._callers = asyncio.Semaphore(CALLERS_READS)

    @classmethod
    async def open(
        cls, url: str, *, migrations: Sequence[Migration], on_commit: OnCommit = lambda *_: None
    ) -> "PostgresDatabase":
        """Connect, and bring the schema up to date; ``on_commit`` is called after each commit.

        Raises:
            DatabaseRefused: if there is no such database, it is another application's, or its schema is newer.
            ConfigurationError: if the URL has something that no such URL has.
        """
        with _refusing(url):
            connection = await connect_alone(url)
            try:
                await migrate(connection, migrations)
                pooled = await _is_pooled(connection)
            finally:
                connection.terminate()
            if pooled:
                log.warning("database.pooled", database=text.shown(url))
            pool = await (
                _pool(url, statements=0)
                if pooled
                else _pool(url, statements=STATEMENTS_KEPT, settings=SETTINGS | PLANS)
            )
            return cls(url, pool, on_commit, prepares=not pooled)

    async def write(self, factory: Factory[T], *, committed: Callable[[T], None] | None = None) -> T:
        """Run an operation in a transaction; return its result once it is on disk. See Database.

        A transaction that conflicts with another one is retried, and so is one that fails on a stale connection. If the
        connection is lost at COMMIT, the database is asked afterwards whether the transaction was committed.

        Raises:
            DatabaseUnavailable: if it was not committed, or that cannot be found out.
        """
        if self._closing:
            raise DatabaseUnavailable("the database is closed")
        writing = asyncio.create_task(self._write(factory, committed), name="postgres write")
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)
        writing.add_done_callback(_retrieve)
        return await asyncio.shield(writing)  # a cancelled caller must not leave a transaction open

    async def read(self, factory: Factory[T], *, lane: Lane = Lane.CALLERS) -> T:
        """Run an operation that only reads; each of its statements sees the rows committed when it runs.

        Raises:
            DatabaseUnavailable: if the database does not answer.
        """
        if self._closing:
            raise DatabaseUnavailable("the database is closed")
        return await self._tried(self._read_once if lane is Lane.ENGINE else self._read_of_caller, factory)

    @property
    def pooled(self) -> bool:
        """Whether this server connects through a pooler in transaction mode."""
        return not self._prepares

    async def try_write(self) -> None:
        """Commit an empty transaction: it has an id, so its commit is written. See Database.

        Raises:
            DatabaseUnavailable: if it is not.
        """
        await self.write(_nothing)

    async def time(self) -> datetime:
        """Return the time by the database's clock.

        Raises:
            DatabaseUnavailable: if the database does not answer.
        """

        def asked() -> Operation[datetime]:
            (row,) = yield f"{_NOW} AS now", {}
            return from_micros(row["now"])

        return await self.read(asked, lane=Lane.ENGINE)

    async def close(self) -> None:
        """Let writes under way end, and close the connections."""
        if self._closing:
            return
        self._closing = True
        if self._writing:
            await asyncio.wait(self._writing)
        await _closed(self._pool, self._clock)

    # -- inside

    async def _write(self, factory: Factory[T], committed: Callable[[T], None] | None) -> T:
        began = self._clock.monotonic()
        value = await self._tried(self._write_once, factory)
        self._on_commit(1, self._clock.monotonic() - began)
        if committed is not None:
            committed(value)
        return value

    async def _tried(self, once: Callable[[Factory[T]], Awaitable[T]], factory: Factory[T]) -> T:
        tries = 0
        while True:
            tries += 1
            try:
                return await once(factory)
            except Exception as error:
                meant = meaning(error)
                last = tries >= (TRIES_IF_LOST if meant is Meaning.LOST else TRIES)
                if meant is Meaning.OURS or (last and isinstance(error, asyncpg.UniqueViolationError)):
                    raise
                if meant is Meaning.AWAY or last:
                    raise unavailable(error) from error
                if meant is Meaning.UNPREPARED:
                    await self._stop_preparing()

    async def _write_once(self, factory: Factory[T]) -> T:
        try:
            async with self._connection() as connection:
                transaction = Transaction(connection)
                await transaction.begin(pooled=not self._prepares)
                value = await drive(transaction.run, factory)
                await transaction.commit()
        except Unanswered as lost:
            if not await was_committed(lost.transaction, self._ask, self._clock):
                raise lost.error from lost
        return value

    async def _read_of_caller(self, factory: Factory[T]) -> T:
        async with self._clock.timeout(ANSWER_SECONDS):
            await self._callers.acquire()
        try:
            return await self._read_once(factory)
        finally:
            self._callers.release()

    async def _read_once(self, factory: Factory[T]) -> T:
        async with self._connection() as connection:
            running = partial(run, connection)
            if self._prepares:
                return await drive(running, factory)
            # A pooler may give every statement outside of a transaction another connection.
            await connection.execute("BEGIN")
            value = await drive(running, factory)
            await connection.execute("COMMIT")
            return value

    async def _ask(self, sql: str, *values: Any) -> Any:
        async with self._connection() as connection:
            await connection.execute("BEGIN READ ONLY")
            row = await connection.fetchrow(sql, *values)
            await connection.execute("ROLLBACK")
            return row

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        """Lend a connection; after any error it goes back clean or closed."""
        pool = self._pool
        connection = await pool.acquire(timeout=ANSWER_SECONDS)
        try:
            yield connection
        except BaseException:
            await _undone(connection)
            raise
        finally:
            with suppress(*FROM_OUTSIDE):
                await pool.release(connection, timeout=ANSWER_SECONDS)

    async def _stop_preparing(self) -> None:
        """Keep no statements from now on: a pooler in transaction mode stands between us and the database."""
        if not self._prepares:
            return
        self._prepares = False
        log.warning("database.pooled", database=text.shown(self._url))
        former, self._pool = self._pool, await _pool(self._url, statements=0)
        closing = asyncio.create_task(_closed(former, self._clock), name="close pool")
        self._writing.add(closing)
        closing.add_done_callback(self._writing.discard)


async def look(url: str, migrations: Sequence[Migration]) -> int | None:
    """Return the schema version of a database that could be used, changing nothing; None if it has no schema yet.

    Raises:
        DatabaseRefused: if it could not be used, with the reason.
        ConfigurationError: if the URL has something that no such URL has.
    """
    with _refusing(url):
        connection = await connect_alone(url)
        try:
            return await schema_version(connection, len(migrations))
        finally:
            connection.terminate()


async def read_alone(url: str, factory: Factory[T]) -> T:
    """Run an operation that only reads, on one state of the database, over a connection of its own.

    Raises:
        DatabaseRefused: if the database cannot be read.
        ConfigurationError: if the URL has something that no such URL has.
    """
    with _refusing(url):
        connection = await connect_alone(url)
        try:
            await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            return await drive(partial(run, connection), factory)
        finally:
            connection.terminate()


def _nothing() -> Operation[None]:
    """Do nothing."""
    yield from ()


async def connect_alone(url: str, *, statements: int = 0) -> Connection:
    """Return a connection of its own, which keeps no statements unless it is known that no pooler stands between."""
    connection: Connection = await asyncpg.connect(
        url,
        timeout=CONNECT_SECONDS,
        command_timeout=ANSWER_SECONDS,
        statement_cache_size=statements,
        server_settings=_named(url),
    )
    return connection


async def _is_pooled(connection: Connection) -> bool:
    """Return whether a pooler answers: the backend process is then another one than it reported at connecting.

    Behind a pooler two servers' prepared statements may have one name, so this must be known before any is prepared.
    """
    async with connection.transaction(readonly=True):
        process = await connection.fetchval("SELECT pg_backend_pid()")
    return bool(process != connection.get_server_pid())


def _named(url: str) -> dict[str, str]:
    return {} if "application_name" in url else {"application_name": "schedule-grpc"}


async def _pool(url: str, *, statements: int, settings: Mapping[str, str] = MappingProxyType({})) -> asyncpg.Pool:
    return await asyncpg.create_pool(
        url,
        min_size=0,
        max_size=CONNECTIONS,
        connection_class=Connection,
        timeout=CONNECT_SECONDS,
        command_timeout=ANSWER_SECONDS,
        statement_cache_size=statements,
        max_cached_statement_lifetime=0,
        max_inactive_connection_lifetime=60,
        server_settings={**_named(url), **settings},
    )


async def _undone(connection: Connection) -> None:
    """Roll a connection's transaction back; a connection that does not answer at once is closed, which does the same.

    An error of the rollback is dropped: the caller gets the error that led to it.
    """
    try:
        await connection.execute("ROLLBACK", timeout=1)
    except BaseException as error:
        closed(connection)
        if not isinstance(error, FROM_OUTSIDE):
            raise


async def _closed(pool: asyncpg.Pool, clock: SystemClock) -> None:
    """Close a pool; connections that do not answer are closed from our side alone."""
    try:
        async with clock.timeout(CONNECT_SECONDS):
            await pool.close()
    except FROM_OUTSIDE:
        pool.terminate()


def _retrieve(task: "asyncio.Task[Any]") -> None:
    """Take note of the error of a write whose caller has left."""
    if not task.cancelled():
        task.exception()


@contextmanager
def _refusing(url: str) -> Iterator[None]:
    """Within this context, whatever keeps a database from being used is a refusal that names it."""
    try:
        yield
    except DatabaseRefused as error:
        raise DatabaseRefused(f"{text.shown(url)}: {error}") from None
    except (ValueError, TypeError, OverflowError):
        # The driver's words may quote a part of the password that it took for a port.
        form = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
        raise ConfigurationError(f"database: {text.shown(url)} is not {form}, or has an option that is none") from None
    except FROM_OUTSIDE as error:
        reason = error.args[0] if isinstance(error, asyncpg.PostgresError) and error.args else str(error)
        raise DatabaseRefused(f"{text.shown(url)}: {reason or type(error).__name__}") from error
