"""Files as earlier versions of this program made them."""

import sqlite3
from contextlib import closing
from pathlib import Path

MIGRATIONS = Path(__file__).parent.parent / "schedule_grpc" / "store" / "migrations"
APPLICATION_ID = 0x53434844


def first_version(path: Path) -> None:
    """Make a file as the first version of this program made it."""
    script = (MIGRATIONS / "0001_initial.sql").read_text()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(f"PRAGMA application_id = {APPLICATION_ID}; {script}; PRAGMA user_version = 1")
