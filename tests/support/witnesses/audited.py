"""Changes of the audit log behind the service's back, by the database's own means."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import asyncpg

WITHOUT_TRIGGERS = "SET session_replication_role = replica;"


async def changed_rows(place: Path | str, sql: str) -> None:
    """Run SQL as an operator with a shell would."""
    if isinstance(place, Path):
        await asyncio.to_thread(_run, place, sql)
        return
    connection = await asyncpg.connect(place)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


async def tampered(place: Path | str, sql: str) -> None:
    """Run SQL with the triggers of the log switched off."""
    if isinstance(place, Path):
        sql = (
            "DROP TRIGGER IF EXISTS audit_events_are_kept; DROP TRIGGER IF EXISTS audit_events_stay_as_they_are;" + sql
        )
    else:
        sql = WITHOUT_TRIGGERS + sql
    await changed_rows(place, sql)


def _run(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path, timeout=10)) as connection:
        connection.executescript(sql)
