"""Reads what the checker judges, with the bare drivers."""

import asyncio
import sqlite3
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg

Row: TypeAlias = Mapping[str, Any]

UnreadableError = sqlite3.DatabaseError
TASKS = "SELECT * FROM scheduled_tasks"
EXECUTIONS = "SELECT * FROM task_executions"


def read(place: Path | str) -> tuple[list[Row], list[Row], str]:
    """Return all tasks, all executions, and what the engine says of its file (``ok``)."""
    if isinstance(place, Path):
        with closing(sqlite3.connect(f"file:{place}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            connection.execute("BEGIN")
            (integrity,) = connection.execute("PRAGMA integrity_check").fetchone()
            return connection.execute(TASKS).fetchall(), connection.execute(EXECUTIONS).fetchall(), integrity
    # A thread of its own: whoever asks may stand in a running loop.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, _read_postgres(place)).result()


def rows(place: Path | str, sql: str) -> list[Row]:
    """Return what a query finds."""
    if isinstance(place, Path):
        with closing(sqlite3.connect(f"file:{place}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            return connection.execute(sql).fetchall()
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, _query_postgres(place, sql)).result()


async def _query_postgres(url: str, sql: str) -> list[Row]:
    connection = await asyncpg.connect(url)
    try:
        found: list[Row] = await connection.fetch(sql)
        return found
    finally:
        await connection.close()


async def _read_postgres(url: str) -> tuple[list[Row], list[Row], str]:
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            return await connection.fetch(TASKS), await connection.fetch(EXECUTIONS), "ok"
    finally:
        await connection.close()
