"""Before a SQLite file is used: is it ours, whole, and of a version we know? If not, it is refused, untouched."""

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from schedule_grpc.database.migration import Migration
from schedule_grpc.database.operation import Factory
from schedule_grpc.database.sqlite.batch import Done, run_reads
from schedule_grpc.errors import DatabaseRefused
from schedule_grpc.runtime import failpoints, private_files

T = TypeVar("T")

_MAGIC = b"SQLite format 3\x00"
_APPLICATION_ID_AT = slice(68, 72)
_HEADER_BYTES = 100
"""https://www.sqlite.org/fileformat2.html#the_database_header"""


def prepare(path: Path, migrations: Sequence[Migration], application_id: int) -> None:
    """Create the file, or bring an existing one to the newest schema version.

    A new file appears whole or not at all: it is made beside its place and then renamed.

    Raises:
        DatabaseRefused: if the existing file must not, or cannot, be used; it is as it was before.
    """
    try:
        if path.exists():
            _check_header(path, application_id)
            with closing(_connect(path)) as connection:
                _check_content(path, connection, migrations)
                _migrate(connection, migrations)
        else:
            _create(path, migrations, application_id)
    except (sqlite3.Error, OSError) as error:
        raise DatabaseRefused(f"{path}: {error}") from error


def look(path: Path, migrations: Sequence[Migration], application_id: int) -> int:
    """Return the schema version of a file that could be used, without changing anything, beside its server too.

    Raises:
        DatabaseRefused: if it could not be used, with the reason.
    """
    try:
        _check_header(path, application_id)
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
            _check_content(path, connection, migrations)
            version: int
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            return version
    except (sqlite3.Error, OSError) as error:
        raise DatabaseRefused(f"{path}: {error}") from error


def read_file(path: Path, factory: Factory[T]) -> T:
    """Run an operation that only reads, on one state of a file, beside its server too.

    Raises:
        DatabaseRefused: if the file cannot be read.
    """
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
            (result,) = run_reads(connection, [factory])
    except sqlite3.Error as error:
        raise DatabaseRefused(f"{path}: {error}") from error
    if isinstance(result, Done):
        value: T = result.value
        return value
    if isinstance(result.error, sqlite3.Error):
        raise DatabaseRefused(f"{path}: {result.error}") from result.error
    raise result.error


def _check_header(path: Path, application_id: int) -> None:
    if not path.is_file():
        raise DatabaseRefused(f"{path}: is not a file")
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if not header:
        raise DatabaseRefused(
            f"{path}: is empty (0 bytes). If its tasks are meant to be gone, remove the file and start again"
        )
    if header[: len(_MAGIC)] != _MAGIC or len(header) < _HEADER_BYTES:
        raise DatabaseRefused(f"{path}: is not a SQLite database, or its first page is damaged")
    if int.from_bytes(header[_APPLICATION_ID_AT]) != application_id:
        raise DatabaseRefused(f"{path}: is a SQLite database of another application")


def _check_content(path: Path, connection: sqlite3.Connection, migrations: Sequence[Migration]) -> None:
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        raise DatabaseRefused(f"{path}: is damaged: {error}") from error
    if verdict != "ok":
        raise DatabaseRefused(f"{path}: is damaged: {verdict.splitlines()[-1]}")
    newest = len(migrations)
    if version > newest:
        raise DatabaseRefused(
            f"{path}: has schema version {version}, of a newer schedule-grpc; this one knows versions up to {newest}"
        )


def _create(path: Path, migrations: Sequence[Migration], application_id: int) -> None:
    if not path.parent.is_dir():
        raise DatabaseRefused(f"{path}: the folder {path.parent} does not exist")
    unfinished = path.with_name(path.name + ".creating")
    for leftover in (unfinished, unfinished.with_name(unfinished.name + "-journal")):
        leftover.unlink(missing_ok=True)
    private_files.create(unfinished)
    with closing(_connect(unfinished)) as connection:
        connection.execute(f"PRAGMA application_id = {application_id:d}")
        _migrate(connection, migrations)
    unfinished.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _migrate(connection: sqlite3.Connection, migrations: Sequence[Migration]) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    for migration in migrations[version:]:
        failpoints.reached("migrate", "begun")
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in migration.statements():
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {migration.version:d}")
            failpoints.reached("migrate", "written")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
        failpoints.reached("migrate", "committed")


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=5)
    connection.execute("PRAGMA synchronous = FULL")
    return connection
