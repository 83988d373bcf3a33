"""Databases of any size, made quickly: one row through the public store, and its copies by SQL."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg

from schedule_grpc.domain.registration import registered
from schedule_grpc.domain.task import Definition
from schedule_grpc.engine.retention import reviewer
from schedule_grpc.events import Hub
from schedule_grpc.store import open_store

TOGETHER = 500
"""Tasks registered in one operation."""
ENDED = "SELECT count(*) FROM task_executions WHERE end_time IS NOT NULL"
LAST_END = "SELECT max(end_time) FROM task_executions"
_COPIES = """
INSERT INTO {table} ({columns})
SELECT {values} FROM {numbers}, (SELECT * FROM {table} WHERE {key} = '{of}') AS template
"""
_NUMBERS = {
    True: "(SELECT generate_series(1, {count}) AS n) AS numbers",
    False: "(WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count}) "
    "SELECT n FROM numbers) AS numbers",
}
_UID = {
    True: "substr(uid, 1, 12) || lpad(to_hex(n), 8, '0') || substr(md5(random()::text), 1, 12)",
    False: "substr(uid, 1, 12) || printf('%08x', n) || lower(hex(randomblob(6)))",
}
"""As the service makes them: see `schedule_grpc.domain.registration.new_uid`."""


class Database:
    """A SQLite file or a PostgreSQL database, beside the servers that use it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.postgres = url.startswith("postgresql")

    @classmethod
    def file(cls, folder: Path, name: str = "bench.db") -> "Database":
        """Return a new file; remove the files of an earlier round."""
        for old in folder.glob(f"{name}*"):
            old.unlink()
        return cls(f"sqlite:///{folder}/{name}")

    @property
    def path(self) -> Path:
        """The path of the file."""
        return Path(self.url.removeprefix("sqlite:///"))

    def register(self, definitions: Sequence[Definition], now: datetime | None = None) -> None:
        """Register tasks through the store, as of a moment; make the database if it does not exist."""

        async def register() -> None:
            store = await open_store(self.url, Hub())
            when = now or datetime.now(UTC)
            for first in range(0, len(definitions), TOGETHER):
                some = definitions[first : first + TOGETHER]
                await store.change_tasks([registered(None, each, enabled=None, now=when) for each in some], now=when)
            await store.close()

        asyncio.run(register())

    def register_many(self, definition: Definition, count: int, now: datetime | None = None) -> None:
        """Register that many tasks of one definition: the first one by its name, the others `NAME-n`."""
        self.register([definition], now)
        if count > 1:
            self.copy(
                "scheduled_tasks", "name", definition.name, count - 1, uid=_UID[self.postgres], name="name || '-' || n"
            )

    def reviewed(self) -> None:
        """Leave the database as a server does after its first review of the tasks, so that the next server skips it."""

        async def note() -> None:
            store = await open_store(self.url, Hub())
            await store.note_reviewed(reviewer(), now=datetime.now(UTC))
            await store.close()

        asyncio.run(note())

    def copy(self, table: str, key: str, of: str, count: int, **changes: str) -> None:
        """Copy a row that many times; the changes are SQL by column, of the row and of its number `n` from 1."""
        columns = self._columns(table)
        chosen = {column: f'"{column}"' for column in columns} | changes
        self.run(
            _COPIES.format(
                table=table,
                columns=", ".join(f'"{column}"' for column in chosen),
                values=", ".join(chosen.values()),
                numbers=_NUMBERS[self.postgres].format(count=count),
                key=key,
                of=of,
            )
        )

    def row(self, sql: str) -> Sequence[Any]:
        """Return the first row of a query."""
        return self.rows(sql)[0]

    def rows(self, sql: str) -> Sequence[Sequence[Any]]:
        """Return the rows of a query."""
        if self.postgres:
            return [tuple(row) for row in self._asked(lambda connection: connection.fetch(sql))]
        with closing(sqlite3.connect(f"{self.path.as_uri()}?mode=ro", uri=True, timeout=30)) as file:
            return file.execute(sql).fetchall()

    def run(self, sql: str) -> None:
        """Run a statement while no server uses the database."""
        if self.postgres:
            self._asked(lambda connection: connection.execute(sql))
            return
        with closing(sqlite3.connect(self.path, isolation_level=None)) as file:
            file.execute("PRAGMA synchronous = OFF")
            file.execute("PRAGMA cache_size = -500000")
            file.execute(sql)
            file.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def without_indexes(self, table: str) -> Iterator[None]:
        """Within this context a file's table has no indexes; to make them anew is quicker than to keep them."""
        sql = f"SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = '{table}' AND sql IS NOT NULL"
        indexes = self.rows(sql)
        for name, _ in indexes:
            self.run(f"DROP INDEX {name}")
        yield
        for _, made in indexes:
            self.run(made)

    def _columns(self, table: str) -> list[str]:
        if self.postgres:
            sql = f"SELECT column_name FROM information_schema.columns WHERE table_name = '{table}'"
        else:
            sql = f"SELECT name FROM pragma_table_info('{table}')"
        return [name for (name,) in self.rows(sql)]

    def _asked(self, ask: Callable[[Any], Any]) -> Any:
        async def asked() -> Any:
            connection = await asyncpg.connect(self.url)
            try:
                return await ask(connection)
            finally:
                await connection.close()

        return asyncio.run(asked())
