"""What became of a transaction whose COMMIT was sent and not answered."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import asyncpg

from schedule_grpc.clock import Clock
from schedule_grpc.errors import DatabaseUnavailable

PATIENCE = 10.0
"""Seconds in which the database must come back to be asked: a restart takes less."""
PAUSE = timedelta(milliseconds=200)

# https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT
_STATUS = "SELECT pg_xact_status($1::text::xid8)"
# One that still waits for a statement never got our COMMIT, and its connection is gone: nobody will send one.
_END = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE backend_xid = ($1::text::xid8)::xid AND state LIKE 'idle in transaction%'
"""

Ask = Callable[..., Awaitable[Any]]


class Unanswered(Exception):
    """The connection was lost between COMMIT and its answer."""

    def __init__(self, transaction: str, error: BaseException) -> None:
        super().__init__(transaction)
        self.transaction = transaction
        self.error = error


async def commit(connection: Any, transaction: str) -> None:
    """Commit; ``transaction`` is the id by which the database knows it.

    Raises:
        Unanswered: if it may have been committed or not.
        asyncpg.PostgresError: if the server refused, and so undid it.
    """
    try:
        await connection.execute("COMMIT")
    except BaseException as error:
        if isinstance(error, asyncpg.PostgresError) and not isinstance(error, asyncpg.OperatorInterventionError):
            raise
        connection.terminate()
        raise Unanswered(transaction, error) from error


async def was_committed(transaction: str, ask: Ask, clock: Clock) -> bool:
    """Tell whether a transaction was committed: PostgreSQL remembers, over a crash and a failover too.

    Raises:
        DatabaseUnavailable: if nobody can say. Then it may have happened: a claim is found by its owner's heartbeat, a
            record by its lease token, a run by its request id, a firing by the task's next run.
    """
    until = clock.monotonic() + PATIENCE
    while clock.monotonic() < until:
        try:
            status = await ask(_STATUS, transaction)
            if status == "in progress":
                await ask(_END, transaction)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            status = "nobody answers"
        if status in ("committed", "aborted"):
            return bool(status == "committed")
        if status is None:
            break
        await clock.wait_until(clock.now() + PAUSE, asyncio.Event())
    raise DatabaseUnavailable("The database went away at the moment of COMMIT, and cannot be asked what became of it")
