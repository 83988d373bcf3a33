"""A user's own PostgreSQL database, as handlers use it: statements and transactions with named parameters."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Any

from schedule_grpc.bindings.instants import POSTGRESQL
from schedule_grpc.database.postgres.named_parameters import UnknownParameter, names_of, numbered
from schedule_grpc.errors import BindingError
from schedule_grpc.runtime.clock import MICROSECOND

if TYPE_CHECKING:
    import asyncpg

CONNECTIONS = 5
IDLE_SECONDS = 300.0
"""An idle connection is closed after so long."""

_CREATING = 0x53434850
"""``SCHP``: the advisory lock under which one server makes the platform's tables while the others wait for it."""
_COUNTED = re.compile(r"(?:INSERT \d+|UPDATE|DELETE|MERGE) (?P<rows>\d+)")
_NO_TABLE = re.compile(r'relation "(?P<table>.+)" does not exist')
_REFUSED_VALUE = re.compile(r"argument \$(?P<number>\d+): .* \((?P<reason>[^()]*)\)", re.DOTALL)

_EPOCH = datetime(2000, 1, 1)  # noqa: DTZ001 (PostgreSQL's; counted in UTC)
_ENDLESS = {datetime.max: 2**63 - 1, datetime.min: -(2**63)}  # noqa: DTZ901


class PostgresTransaction:
    """Statements that happen together or not at all."""

    def __init__(self, name: str, connection: Any) -> None:
        self._name = name
        self._connection = connection

    async def fetch(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        """Return a query's rows.

        Raises:
            BindingError: with the database's message.
        """
        with _binding_errors(self._name, sql):
            text, values = numbered(sql, parameters)
            return [dict(row) for row in await self._connection.fetch(text, *values)]

    async def execute(self, sql: str, **parameters: Any) -> int:
        """Run a statement; return how many rows it changed.

        Raises:
            BindingError: with the database's message.
        """
        with _binding_errors(self._name, sql):
            text, values = numbered(sql, parameters)
            counted = _COUNTED.fullmatch(await self._connection.execute(text, *values))
        return int(counted["rows"]) if counted else 0


class PostgresPool:
    """A PostgreSQL database, for handlers. Connects when it is used, and again after a connection was lost."""

    def __init__(self, name: str, pool: "asyncpg.Pool", *, patience: float) -> None:
        self._name = name
        self._pool = pool
        self._patience = patience
        self._held = 0
        self._releasing: set[asyncio.Task[None]] = set()

    @classmethod
    async def connect(
        cls,
        name: str,
        url: str,
        *,
        patience: float,
        connections: int = CONNECTIONS,
        tables: Mapping[str, str] | None = None,
        indexes: Sequence[str] = (),
    ) -> "PostgresPool":
        """Return a pool, which connects when it is first used, or at once if tables may have to be created.

        Args:
            name: The binding's.
            url: ``postgresql://…``, as libpq reads it; what it leaves out comes from PGHOST, PGPASSFILE and the like.
            patience: Seconds in which a connection must be made, and in which the server must let go of a statement
                whose caller gave up; the caller limits its own waiting.
            connections: Connections at most.
            tables: The statement that creates each required table, by its name; run for a missing table.
            indexes: Statements that create indexes; an existing table that they do not suit goes without.

        Raises:
            BindingError: if the URL cannot be read, or a table cannot be created.
        """
        import asyncpg  # noqa: PLC0415 (an extra)

        settings = {"timezone": "UTC"}
        if "application_name" not in url:
            settings["application_name"] = "schedule-grpc"
        try:
            pool = await asyncpg.create_pool(
                url,
                min_size=0,
                max_size=connections,
                max_inactive_connection_lifetime=IDLE_SECONDS,
                timeout=patience,
                init=_read_texts_as_times,
                # Plans are not kept: they would fail after every change of a table, and behind poolers.
                statement_cache_size=0,
                server_settings=settings,
            )
        except (*_MALFORMED, asyncpg.InterfaceError):
            raise _not_a_url(name) from None
        made = cls(name, pool, patience=patience)
        try:
            await made._create(tables or {}, indexes)
        except BaseException:
            await made.aclose()
            raise
        return made

    async def fetch(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        """Return a query's rows.

        Raises:
            BindingError: with the database's message.
        """
        async with self._connection() as connection:
            return await PostgresTransaction(self._name, connection).fetch(sql, **parameters)

    async def execute(self, sql: str, **parameters: Any) -> int:
        """Run one statement in a transaction of its own; return how many rows it changed.

        Raises:
            BindingError: with the database's message.
        """
        async with self._connection() as connection:
            return await PostgresTransaction(self._name, connection).execute(sql, **parameters)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[PostgresTransaction]:
        """Run the statements of this context in one transaction: committed at its end, rolled back by an exception.

        Raises:
            BindingError: with the database's message.
        """
        async with self._connection() as connection:
            transaction = PostgresTransaction(self._name, connection)
            await transaction.execute("BEGIN")
            yield transaction
            await transaction.execute("COMMIT")  # left by an exception it is undone as the connection is given back

    async def _create(self, tables: Mapping[str, str], indexes: Sequence[str]) -> None:
        """Create missing tables; look first, for a role that may not create tables may have them all."""
        missing = [table for table in tables if not await self._has(table)]
        if not missing:
            return
        async with self.transaction() as transaction:
            await transaction.execute(f"SELECT pg_advisory_xact_lock({_CREATING})")  # several servers start at once
            for table in missing:
                await transaction.execute(tables[table].replace(" BLOB", " BYTEA"))
        for index in indexes:
            with suppress(BindingError):
                await self.execute(index)

    async def _has(self, table: str) -> bool:
        [found] = await self.fetch("SELECT to_regclass(:table) IS NOT NULL AS there", table=table)
        return bool(found["there"])

    async def dialect(self) -> str:
        """Return ``postgresql``."""
        return POSTGRESQL

    async def ping(self) -> None:
        """Return if the database answers.

        Raises:
            BindingError: if not.
        """
        await self.fetch("SELECT 1")

    async def aclose(self) -> None:
        """Close the connections; a statement that still runs fails, and the server undoes it."""
        if self._held or self._releasing:
            self._pool.terminate()
        else:
            await self._pool.close()
        if self._releasing:
            await asyncio.wait(self._releasing)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        with _binding_errors(self._name, ""):
            try:
                connection = await self._pool.acquire()
            except _MALFORMED:  # the driver reads it when it connects
                raise _not_a_url(self._name) from None
        self._held += 1
        try:
            yield connection
        except BaseException:
            # The server may have to be told to stop first, over a network that may be gone: no caller waits for that.
            releasing = asyncio.create_task(self._release(connection), name=f"release {self._name}")
            self._releasing.add(releasing)
            releasing.add_done_callback(self._releasing.discard)
            raise
        else:
            await self._release(connection)
        finally:
            self._held -= 1

    async def _release(self, connection: Any) -> None:
        import asyncpg  # noqa: PLC0415

        try:
            if connection.is_in_transaction():
                await connection.execute("ROLLBACK", timeout=self._patience)
            await self._pool.release(connection, timeout=self._patience)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError):
            # An OSError is a TimeoutError too; InternalClientError is raised on a connection that `aclose` terminated
            # between two steps of giving it back.
            with suppress(asyncpg.InterfaceError):  # the pool has thrown it away already
                connection.terminate()


_MALFORMED = (ValueError, TypeError, OverflowError)
"""What the driver raises for a URL that it cannot read; its words may quote a password that it took for a port."""


def _not_a_url(name: str) -> BindingError:
    form = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
    return BindingError(name, f"its URL is not {form}, or has an option that is none")


@contextmanager
def _binding_errors(name: str, sql: str) -> Iterator[None]:
    import asyncpg  # noqa: PLC0415

    try:
        yield
    except UnknownParameter as error:
        raise BindingError(name, str(error)) from None
    except asyncpg.UndefinedTableError as error:
        table = _NO_TABLE.search(error.args[0])
        raise (
            BindingError(name, error.args[0]) if table is None else BindingError.no_such_table(name, table["table"])
        ) from None
    except asyncpg.DataError as error:
        raise BindingError(name, _refused_value(error.args[0], sql)) from None
    except asyncpg.PostgresError as error:
        raise BindingError(name, error.args[0]) from None  # not its details: they quote the rows
    except asyncpg.InterfaceError as error:
        raise BindingError(name, str(error)) from None
    except OSError as error:
        raise BindingError(name, f"cannot connect: {_network_reason(error)}") from None


def _network_reason(error: OSError) -> str:
    reason = error.strerror or str(error) or type(error).__name__
    # asyncio says only which address it tried; the numbers of getaddrinfo() are negative, and its own.
    meant = os.strerror(error.errno) if error.errno and error.errno > 0 else ""
    return f"{reason}: {meant}" if meant and meant not in reason else reason


def _refused_value(text: str, sql: str) -> str:
    """Name the parameter of a value that the driver could not send, instead of quoting the value."""
    refused = _REFUSED_VALUE.search(text)
    if refused is None:
        return text
    return f"the value of :{names_of(sql)[int(refused['number']) - 1]} is refused: {refused['reason']}"


async def _read_texts_as_times(connection: "asyncpg.Connection") -> None:
    """Let texts be given for timestamps, as they must be for columns of text: a handler need not know which it is."""
    for kind, zone in (("timestamptz", UTC), ("timestamp", None)):

        def decode(counted: tuple[int], zone: Any = zone) -> datetime:
            try:
                moment = _EPOCH + counted[0] * MICROSECOND
            except OverflowError:  # beyond the year 9999, infinity among them
                moment = datetime.max if counted[0] > 0 else datetime.min  # noqa: DTZ901 (as asyncpg shows infinity)
            return moment.replace(tzinfo=zone)

        await connection.set_type_codec(kind, schema="pg_catalog", encoder=_counted, decoder=decode, format="tuple")


def _counted(moment: object) -> tuple[int]:
    if isinstance(moment, str):
        moment = _read(moment)
    if isinstance(moment, date) and not isinstance(moment, datetime):
        moment = datetime.combine(moment, time.min)
    if not isinstance(moment, datetime):
        raise TypeError(f"{type(moment).__name__} is no time")
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    endless = _ENDLESS.get(moment)
    return ((moment - _EPOCH) // MICROSECOND if endless is None else endless,)


def _read(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("the text is no time") from None  # which would be quoted
