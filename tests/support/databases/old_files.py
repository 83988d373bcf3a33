"""Databases as earlier versions of this program made them."""

import sqlite3
from contextlib import closing
from pathlib import Path

import asyncpg

from schedule_grpc.database.postgres.migrate import migrate
from schedule_grpc.store.schema import APPLICATION_ID, MIGRATIONS


def first_version(path: Path) -> None:
    """Make a file as the first version of this program made it."""
    file_of_version(path, 1)


def file_of_version(path: Path, version: int, rows: str = "") -> None:
    """Make a file as a program of that schema version made it, with the rows that a script inserts."""
    scripts = "".join(migration.script for migration in MIGRATIONS[:version])
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            f"PRAGMA application_id = {APPLICATION_ID}; {scripts}; PRAGMA user_version = {version}; {rows}"
        )


async def database_of_version(url: str, version: int, rows: str = "") -> None:
    """Bring an empty PostgreSQL database to that schema version, with the rows that a script inserts."""
    connection = await asyncpg.connect(url)
    await migrate(connection, MIGRATIONS[:version])
    await connection.execute(rows)
    await connection.close()
