"""What became of a transaction whose COMMIT was sent and not answered."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import asyncpg

from schedule_grpc.database.postgres.errors import FROM_OUTSIDE
from schedule_grpc.errors import DatabaseUnavailable
from schedule_grpc.runtime.clock import Clock

PATIENCE = 10.0
"""Seconds in which the database must come back to be asked: a restart takes less."""
PAUSE = timedelta(milliseconds=200)

# Statistics do not survive a crash, so their age tells one life of a server from the next, and from its standby's.
LIFE = "SELECT stats_reset::text FROM pg_stat_bgwriter"
_NUMBER = "pg_current_xact_id()::text"
THIS_TRANSACTION = f"SELECT {_NUMBER} AS number, ({LIFE}) AS life"
NUMBER_ROW, LIFE_ROW = -1, -2
MORE_THIS_TRANSACTION = f"SELECT {NUMBER_ROW} AS number, {_NUMBER} AS answer UNION ALL SELECT {LIFE_ROW}, ({LIFE})"
"""The same, as two rows more that queries answer with which share a round trip."""
# https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT
# A standby does not know yet what its primary committed last.
_STATUS = f"""
SELECT
    ({LIFE}) AS life,
    CASE WHEN pg_is_in_recovery() THEN 'in recovery' ELSE pg_xact_status($1::text::xid8) END AS status
"""
# One that still waits for a statement never got our COMMIT, and its connection is gone: none will come.
_END = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE backend_xid = ($1::text::xid8)::xid AND state LIKE 'idle in transaction%'
"""
_DOUBTFUL = (asyncpg.OperatorInterventionError, asyncpg.PostgresConnectionError)
"""asyncpg's errors for a lost connection or an interrupted wait; any other error at COMMIT undid the transaction."""

Ask = Callable[..., Awaitable[Any]]
"""Runs a statement in a transaction of its own; gives its first row."""


@dataclass(frozen=True, slots=True)
class TransactionId:
    """The identity of a transaction.

    The number alone is not enough: after a crash, the number of a transaction without data on disk is given out again.
    """

    number: str
    life: str | None
    """The server's life between two crashes, as `LIFE` reads it."""


class Unanswered(Exception):
    """The connection was lost between COMMIT and its answer."""

    def __init__(self, transaction: TransactionId, error: BaseException) -> None:
        super().__init__(transaction)
        self.transaction = transaction
        self.error = error


async def commit(connection: Any, transaction: TransactionId) -> None:
    """Commit.

    Raises:
        Unanswered: if it may have been committed or not.
        asyncpg.PostgresError: if the server refused, and so undid it.
    """
    try:
        await connection.execute("COMMIT")
    except BaseException as error:
        if isinstance(error, asyncpg.PostgresError) and not isinstance(error, _DOUBTFUL):
            raise
        closed(connection)
        raise Unanswered(transaction, error) from error


def closed(connection: Any) -> None:
    """Close a pool's connection without asking the server; one that was lost its pool has let go of already."""
    with suppress(asyncpg.InterfaceError):
        connection.terminate()


async def was_committed(transaction: TransactionId, ask: Ask, clock: Clock) -> bool:
    """Return whether a transaction was committed: PostgreSQL remembers, over a crash and a failover too.

    Raises:
        DatabaseUnavailable: if that is not known. The transaction may have been committed: a claim is found by its
            owner's upkeep, a record by its lease token, a run by its request id, a firing by the task's next run.
    """
    until = clock.monotonic() + PATIENCE
    while clock.monotonic() < until:
        try:
            found = await ask(_STATUS, transaction.number)
            if found["status"] == "in progress" and found["life"] == transaction.life:
                await ask(_END, transaction.number)
        except asyncpg.InvalidParameterValueError:
            return False  # a number that is still to come: a crash took what was known of it
        except FROM_OUTSIDE:
            found = {"status": "nobody answers", "life": transaction.life}
        if found["status"] is None:
            break
        if found["status"] in ("committed", "aborted", "in progress"):
            if found["life"] != transaction.life:
                return _by_another_life(found["status"])
            if found["status"] != "in progress":
                return bool(found["status"] == "committed")
        await clock.wait_until(clock.now() + PAUSE, asyncio.Event())
    raise DatabaseUnavailable("The database went away at the moment of COMMIT, and cannot be asked what became of it")


def _by_another_life(status: str) -> bool:
    """Judge after a crash: a number that is known as committed may have been given to another transaction since."""
    if status == "committed":
        raise DatabaseUnavailable("The database crashed at the moment of COMMIT, and cannot say what became of it")
    return False
