"""Operations on a PostgreSQL connection, in as few round trips as they allow.

A transaction is known by its id where its COMMIT is not answered. The id comes along with the answers of queries that
share a round trip; only where none of these was run, it is asked for by itself.
"""

import struct
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from schedule_grpc.database.operation import Factory, Parameters, Rows, Statement, Together
from schedule_grpc.database.postgres import text
from schedule_grpc.database.postgres.commit import (
    LIFE_ROW,
    MORE_THIS_TRANSACTION,
    NUMBER_ROW,
    THIS_TRANSACTION,
    TransactionId,
    commit,
)
from schedule_grpc.database.set_query import SetQuery

if TYPE_CHECKING:
    from schedule_grpc.database.postgres.database import Connection

T = TypeVar("T")

STATEMENT_SECONDS = 8
LOCK_SECONDS = 5
IDLE_SECONDS = 10
"""A transaction whose process is stopped, or cut off, holds its locks no longer than this."""
SETTINGS = {
    "statement_timeout": f"{STATEMENT_SECONDS}s",
    "lock_timeout": f"{LOCK_SECONDS}s",
    "idle_in_transaction_session_timeout": f"{IDLE_SECONDS}s",
    "synchronous_commit": "on",
}
"""Of each transaction: a connection of our own has them from its start, a pooler's takes them with BEGIN only."""
PLANS = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}
"""Of a connection of our own: each statement is planned once, and searches its index for each row that is handed over.

Left alone, a statement over few rows is planned anew each time, which costs more than to run it. And a plan stays until
its table is analyzed: one that was made while the table was small walks all of it, or of an index, ever after.
"""
_BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"


class Transaction:
    """A transaction on a connection."""

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection
        self._id: TransactionId | None = None

    async def begin(self, *, pooled: bool) -> None:
        """Begin: on a connection of our own with the first statement, in the same round trip."""
        if pooled:
            settings = "; ".join(f"SET LOCAL {name} = '{value}'" for name, value in SETTINGS.items())
            await self._connection.execute(f"{_BEGIN}; {settings}")
        else:
            self._connection.send_before_next(_BEGIN_MESSAGES)

    async def run(self, statement: Statement | Together) -> Rows:
        """Run a statement of an operation."""
        if not isinstance(statement, Together):
            return await run(self._connection, statement)
        sql, columns = text.of_together(statement, MORE_THIS_TRANSACTION)
        rows: Rows = await self._connection.fetch(sql, *columns)
        answers = {row["number"]: row["answer"] for row in rows if row["number"] < 0}
        self._id = TransactionId(number=answers[NUMBER_ROW], life=answers[LIFE_ROW])
        return [row for row in rows if row["number"] >= 0]

    async def commit(self) -> None:
        """Commit. See `postgres_commit.commit`."""
        if self._id is None:
            self._id = TransactionId(**await self._connection.fetchrow(THIS_TRANSACTION))
        if not self._connection.is_in_transaction():
            raise AssertionError("the driver did not let BEGIN go before the first statement")
        await commit(self._connection, self._id)


async def drive(running: Callable[[Statement | Together], Awaitable[Rows]], factory: Factory[T]) -> T:
    """Run an operation, whose statements are run one after the other."""
    operation = factory()
    try:
        statement = next(operation)
        while True:
            statement = operation.send(await running(statement))
    except StopIteration as end:
        value: T = end.value
        return value
    finally:
        operation.close()


async def run(connection: "Connection", statement: Statement | Together) -> Rows:
    """Run a statement in the transaction that is open on a connection, or in one of its own."""
    if isinstance(statement, Together):
        whole, columns = text.of_together(statement)
        together: Rows = await connection.fetch(whole, *columns)
        return together
    sql, parameters = statement
    sets = parameters if isinstance(parameters, Sequence) else [parameters]
    if isinstance(sql, SetQuery):
        return await _run_set(connection, sql, sets)
    if isinstance(parameters, Sequence):
        rows: Rows = await connection.fetchmany(*text.many(sql, sets)) if sets else ()
        return rows
    one, values = text.one(sql, parameters)
    found: Rows = await connection.fetch(one, *values)
    return found


async def _run_set(connection: "Connection", query: SetQuery, sets: Sequence[Parameters]) -> Rows:
    if not sets:
        return () if query.answers else [{"count": 0}]
    whole, columns = text.of_set(query, sets)
    rows: Rows = await connection.fetch(whole, *columns)
    return rows


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


# https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-EXT-QUERY
# Parse, Bind and Execute without a Sync: they are answered with what the driver sends next, which passes over them.
_BEGIN_MESSAGES = (
    _message(b"P", b"\0" + _BEGIN.encode() + b"\0" + struct.pack("!h", 0))
    + _message(b"B", b"\0\0" + struct.pack("!hhh", 0, 0, 0))
    + _message(b"E", b"\0" + struct.pack("!i", 0))
)
