"""Opens the store on the database that a URL names."""

import socket
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from schedule_grpc.database import OnCommit, SqliteDatabase
from schedule_grpc.database.postgres import text as postgres_text
from schedule_grpc.domain.execution import Execution
from schedule_grpc.errors import DatabaseRefused
from schedule_grpc.events import Hub
from schedule_grpc.runtime.paths import POSTGRESQL, SQLITE
from schedule_grpc.store.lease_line import LeaseLine
from schedule_grpc.store.operations.executions import find_executions
from schedule_grpc.store.relay import Relay
from schedule_grpc.store.schema import APPLICATION_ID, MIGRATIONS, schema_version
from schedule_grpc.store.store import Store

if TYPE_CHECKING:
    from schedule_grpc.database.postgres.notifications import NotificationConnection


async def open_store(
    place: Path | str,
    hub: Hub,
    *,
    on_commit: OnCommit = lambda *_: None,
    on_error: Callable[[str], None] = lambda _: None,
    replica: str = "",
) -> Store:
    """Open, and create or migrate where needed, the store in a SQLite file or a PostgreSQL database.

    Args:
        place: The file, or a URL: ``sqlite:///PATH``, ``postgresql://...``.
        hub: Publishes the events of each operation, once it is committed.
        on_commit: Is called after each commit.
        on_error: Is called with ``read`` or ``write`` for each operation that the database refuses.
        replica: Names the chain of the audit log that this server writes in a database that others use, too; by
            default the machine's name.

    Raises:
        DatabaseRefused: if the database must not be used as it is, or cannot be.
    """
    if is_shared(place):
        return await _open_shared(str(place), hub, on_commit, on_error, replica or socket.gethostname())
    path = Path(str(place).removeprefix(SQLITE))
    file = await SqliteDatabase.open(path, migrations=MIGRATIONS, application_id=APPLICATION_ID, on_commit=on_commit)
    return Store(file, hub, on_error=on_error)


async def found_version(url: str) -> int | None:
    """Return the schema version of a database that is ours and whole, changing nothing; None if there is none yet.

    Raises:
        DatabaseRefused: if a server would refuse it, with the reason.
    """
    if is_shared(url):
        version: int | None = await postgres().look(url, MIGRATIONS)
        return version
    path = Path(url.removeprefix(SQLITE))
    return schema_version(path) if path.exists() else None  # noqa: ASYNC240


def shown(url: str) -> str:
    """Return a database's URL without its password and options."""
    return postgres_text.shown(url) if is_shared(url) else url


def is_shared(place: Path | str) -> bool:
    """Return whether a database can have several servers."""
    return isinstance(place, str) and place.startswith(POSTGRESQL)


async def _open_shared(url: str, hub: Hub, on_commit: OnCommit, on_error: Callable[[str], None], replica: str) -> Store:
    database = await postgres().PostgresDatabase.open(url, migrations=MIGRATIONS, on_commit=on_commit)

    async def find(ids: Sequence[str]) -> Sequence[Execution]:
        found: Sequence[Execution] = await database.read(partial(find_executions, ids))
        return found

    def connect(relay: Relay) -> "NotificationConnection":
        from schedule_grpc.database.postgres.notifications import NotificationConnection  # noqa: PLC0415

        return NotificationConnection(url, received=relay.receive, gap=relay.gap)

    def lease_line() -> LeaseLine:
        from schedule_grpc.database.postgres.line import Line  # noqa: PLC0415

        return LeaseLine(Line(url, pooled=lambda: database.pooled))

    relay = Relay(hub, find=find, connect=connect)
    return Store(database, hub, replica=replica, peers=relay, lease_line=lease_line, on_error=on_error)


def postgres() -> ModuleType:
    """Return the module that knows PostgreSQL.

    Raises:
        DatabaseRefused: if its driver, an extra, is not installed.
    """
    try:
        return import_module("schedule_grpc.database.postgres.database")
    except ModuleNotFoundError as error:
        raise DatabaseRefused("PostgreSQL needs the extra `postgres`: pip install 'schedule-grpc[postgres]'") from error
