"""The store's schema: what marks a file as ours, which versions there are, and which one a file has."""

from pathlib import Path

from schedule_grpc.database import load_migrations, look

APPLICATION_ID = 0x53434844
"""``SCHD``: marks a SQLite file as a schedule service's (https://www.sqlite.org/pragma.html#pragma_application_id)."""

MIGRATIONS = load_migrations("schedule_grpc.store.migrations")
NEWEST = len(MIGRATIONS)
"""The schema version that this program works with."""


def schema_version(path: Path) -> int:
    """Return the schema version of a file that is ours and whole, changing nothing.

    Raises:
        DatabaseRefused: if a server would refuse it, with the reason.
    """
    return look(path, MIGRATIONS, APPLICATION_ID)
