"""Migrations: numbered .sql files, applied in order, each in a transaction of its own."""

import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files

_FILE_NAME = re.compile(r"(?P<version>\d{4})_[a-z_]+\.sql")
_ONLY_SQLITE = re.compile(r"^-- Only on SQLite\.$", re.MULTILINE)
_OLDEST = re.compile(r"^-- Programs of version (?P<version>\d+) can work with it\.$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Migration:
    """One step from schema version ``version - 1`` to ``version``."""

    version: int
    script: str

    @property
    def oldest_program(self) -> int:
        """The schema version that a program must know to work with this one; this one unless the script says less.

        Only for servers that share a database: while they are upgraded one by one, old ones meet the new schema.
        """
        oldest = _OLDEST.search(self.script)
        return int(oldest["version"]) if oldest else self.version

    def statements(self) -> Iterator[str]:
        """Return the script's statements, one by one: executescript() would commit between them."""
        pending = ""
        for line in self.script.splitlines(keepends=True):
            pending += line
            if sqlite3.complete_statement(pending):
                yield pending
                pending = ""

    def statements_of_server(self) -> Iterator[str]:
        """Return the statements that are not marked ``-- Only on SQLite.``; PostgreSQL's own are fragments."""
        return (each for each in self.statements() if _ONLY_SQLITE.search(each) is None)


def load_migrations(package: str) -> tuple[Migration, ...]:
    """Return a package's migrations in order.

    Raises:
        ValueError: if their numbers are not 1, 2, 3 ...
    """
    found = []
    for entry in files(package).iterdir():
        name = _FILE_NAME.fullmatch(entry.name)
        if name is not None:
            found.append(Migration(version=int(name["version"]), script=entry.read_text("utf-8")))
    found.sort(key=lambda migration: migration.version)
    if [migration.version for migration in found] != list(range(1, len(found) + 1)):
        raise ValueError(f"the migrations of {package} are not numbered 1, 2, 3 ...")
    return tuple(found)
