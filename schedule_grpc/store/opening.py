"""Opens the store on the database that a URL names."""

from collections.abc import Callable
from pathlib import Path

from schedule_grpc.database import Database, SqliteDatabase
from schedule_grpc.errors import DatabaseRefused
from schedule_grpc.events import Hub
from schedule_grpc.store.schema import APPLICATION_ID, MIGRATIONS
from schedule_grpc.store.sql_store import SqlStore

SQLITE = "sqlite:///"
POSTGRESQL = ("postgresql://", "postgres://")


async def open_store(place: Path | str, hub: Hub, *, on_commit: Callable[[int], None] = lambda _: None) -> SqlStore:
    """Open, and create or migrate where needed, the store in a SQLite file or a PostgreSQL database.

    Args:
        place: The file, or a URL: ``sqlite:///PATH``, ``postgresql://...``.
        hub: Is told of what happens, once it is committed.
        on_commit: Is told how many operations share each commit.

    Raises:
        DatabaseRefused: if the database must not be used as it is, or cannot be.
    """
    if is_shared(place):
        return SqlStore(await _postgres(str(place), on_commit), hub)
    path = place if isinstance(place, Path) else Path(place.removeprefix(SQLITE))
    file = await SqliteDatabase.open(path, migrations=MIGRATIONS, application_id=APPLICATION_ID, on_commit=on_commit)
    return SqlStore(file, hub)


def is_shared(place: Path | str) -> bool:
    """Tell whether a database can have several servers."""
    return isinstance(place, str) and place.startswith(POSTGRESQL)


async def _postgres(url: str, on_commit: Callable[[int], None]) -> Database:
    try:
        from schedule_grpc.database.postgres import PostgresDatabase  # noqa: PLC0415 (an extra)
    except ModuleNotFoundError as error:
        raise DatabaseRefused("PostgreSQL needs the extra `postgres`: pip install 'schedule-grpc[postgres]'") from error
    return await PostgresDatabase.open(url, migrations=MIGRATIONS, on_commit=on_commit)
