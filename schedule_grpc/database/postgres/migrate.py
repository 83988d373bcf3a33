"""Before a PostgreSQL database is used: is it ours, of a version we can work with? Then it is brought up to date."""

from collections.abc import Sequence
from typing import Any

import asyncpg

from schedule_grpc.database.migration import Migration
from schedule_grpc.database.postgres.text import expanded
from schedule_grpc.errors import DatabaseRefused
from schedule_grpc.runtime import failpoints

LOCK = 0x53434844
"""``SCHD``: the advisory lock under which one replica migrates while the others wait for it."""
# Each statement must see what was committed while the one before waited for the lock, whatever the database's default.
_BEGIN = (
    "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; "
    "SET LOCAL statement_timeout = '10min'; SET LOCAL lock_timeout = '2min'"
)
_TABLE = """
CREATE TABLE IF NOT EXISTS schedule_schema (
    version BIGINT PRIMARY KEY, oldest_program BIGINT NOT NULL, applied_time TIMESTAMPTZ NOT NULL DEFAULT now())
"""
_NEWEST = "SELECT version, oldest_program FROM schedule_schema ORDER BY version DESC LIMIT 1"
_OTHERS = "SELECT to_regclass('scheduled_tasks') IS NOT NULL AND to_regclass('schedule_schema') IS NULL"
MINUTES_10 = 600
TRIES = 5
"""Of a step that meets what runs beside it: servers of the version before hold locks on rows of the same tables."""


async def migrate(connection: Any, migrations: Sequence[Migration]) -> None:
    """Bring the schema to the newest version, a transaction for each step.

    A newer schema is used as it is if it admits programs as old as this one: see "How do I upgrade?" in
    docs/operations.md.

    Raises:
        DatabaseRefused: if the tables are another application's, or too new for this program. Nothing was changed.
    """
    version = await schema_version(connection, len(migrations)) or 0
    while version < len(migrations):
        version = await _gone_further(connection, version, migrations)
    await schema_version(connection, len(migrations))  # a newer program may have gone further meanwhile


async def schema_version(connection: Any, known: int) -> int | None:
    """Return the version of a schema that a program which knows versions up to ``known`` can work with; None if none.

    Raises:
        DatabaseRefused: as `migrate`.
    """
    async with connection.transaction(readonly=True):  # behind a pooler, one connection for all of it
        if await connection.fetchval(_OTHERS):
            raise DatabaseRefused(
                "has a table scheduled_tasks that this program did not make: give it a database of its own"
            )
        if await connection.fetchval("SELECT to_regclass('schedule_schema') IS NULL"):
            return None
        newest = await connection.fetchrow(_NEWEST)
    if newest is None:
        return None
    if newest["oldest_program"] > known:
        raise DatabaseRefused(
            f"has schema version {newest['version']}, of a newer schedule-grpc; this one knows versions up to {known}"
        )
    version: int = newest["version"]
    return version


async def _gone_further(connection: Any, version: int, migrations: Sequence[Migration]) -> int:
    """Return what a step reaches; where it was a deadlock's victim it is undone, and begun again."""
    for _ in range(TRIES - 1):
        try:
            return await _step(connection, version, migrations)
        except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError):
            await connection.execute("ROLLBACK")
    return await _step(connection, version, migrations)


async def _step(connection: Any, version: int, migrations: Sequence[Migration]) -> int:
    """Go one version further, unless another server did; return the version then.

    If this fails, the caller closes the connection, which rolls it back.
    """
    failpoints.reached("migrate", "begun")
    await connection.execute(_BEGIN)
    await connection.execute(f"SELECT pg_advisory_xact_lock({LOCK})", timeout=MINUTES_10)
    await connection.execute(_TABLE)
    newest = await connection.fetchrow(_NEWEST)
    reached: int = newest["version"] if newest else 0
    if reached == version:
        migration = migrations[version]
        for statement in migration.statements_of_server():
            await connection.execute(expanded(statement), timeout=MINUTES_10)
        await connection.execute(
            "INSERT INTO schedule_schema (version, oldest_program) VALUES ($1, $2)",
            migration.version,
            migration.oldest_program,
        )
        reached = migration.version
    failpoints.reached("migrate", "written")
    await connection.execute("COMMIT")
    failpoints.reached("migrate", "committed")
    return reached
