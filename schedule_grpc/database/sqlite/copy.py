"""A consistent copy of a SQLite file that others go on writing, and a look at such a copy."""

import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from schedule_grpc.errors import BindingError
from schedule_grpc.runtime import private_files
from schedule_grpc.runtime.threads import Stopped

BUSY_SECONDS = 5.0
PAGES_A_STEP = 1024
"""Pages copied between two looks whether the copy is still wanted."""
STEPS_BETWEEN_LOOKS = 100_000
"""Steps of SQLite's virtual machine, some milliseconds, after which a statement checks whether it is unwanted."""

Unwanted = Callable[[], bool]
Report = Callable[[float], None]


def copy(name: str, source: Path, target: Path, *, unwanted: Unwanted, report: Report) -> dict[str, int]:
    """Copy a file as it is at one moment; return the rows of each of its tables at that moment.

    One read transaction is held throughout, so writers that commit meanwhile do not make the copy begin again, as they
    would between the steps of a copy without one. In WAL mode, in which every binding and the service's own file are,
    no writer waits for it; the WAL grows until it ends.

    Args:
        name: The binding's, for errors.
        source: The file; it is not created.
        target: Where the copy goes; must not exist.
        unwanted: Is called often; once true the copying ends.
        report: Is called with the part that is done, from 0 to 1.

    Raises:
        BindingError: naming the binding, if the file is missing, damaged or no database, or the copy cannot be written.
        Stopped: because it was unwanted.
    """
    if not source.is_file():
        raise BindingError(name, f"{source}: there is no such file")

    def stepped(_status: int, remaining: int, total: int) -> None:
        if unwanted():
            raise Stopped
        report(1 - remaining / total if total else 1.0)

    try:
        private_files.create(target)
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True, timeout=BUSY_SECONDS)) as reader,
            closing(sqlite3.connect(target)) as writer,
        ):
            reader.isolation_level = None
            with suppress(sqlite3.OperationalError):  # a file of others, who may forbid it: then they wait for us
                reader.execute("PRAGMA journal_mode = WAL")
            writer.execute("PRAGMA journal_mode = OFF")  # a half-written copy is thrown away
            writer.execute("PRAGMA synchronous = OFF")
            reader.set_progress_handler(unwanted, STEPS_BETWEEN_LOOKS)
            reader.execute("BEGIN")
            counts = _counts(reader)  # the first read fixes the moment
            reader.backup(writer, pages=PAGES_A_STEP, progress=stepped)
            reader.execute("COMMIT")
    except (sqlite3.Error, OSError) as error:
        if unwanted():
            raise Stopped from None
        raise BindingError(name, f"copying {source} to {target.parent}: {error}") from error
    return counts


def examine(path: Path, *, unwanted: Unwanted) -> dict[str, int]:
    """Return the rows of each table of a copy that is whole; nothing is written beside it.

    Raises:
        ValueError: naming what is wrong with it.
        Stopped: because it was unwanted.
    """
    if not path.stat().st_size:
        raise ValueError("is empty")  # which SQLite takes for a database without tables
    try:
        # Immutable: no other process has it, and a file in WAL mode would want files of its own beside it.
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            connection.set_progress_handler(unwanted, STEPS_BETWEEN_LOOKS)
            verdicts = [row[0] for row in connection.execute("PRAGMA integrity_check(3)")]
            if verdicts != ["ok"]:
                raise ValueError(f"is damaged: {'; '.join(line.strip() for line in verdicts)}")
            return _counts(connection)
    except sqlite3.Error as error:
        if unwanted():
            raise Stopped from None
        raise ValueError(f"cannot be read: {error}") from error


def _counts(connection: sqlite3.Connection) -> dict[str, int]:
    # Virtual tables have no root page; what they hold lies in tables of their own, which are counted.
    listed = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND rootpage > 0"
        " AND name NOT GLOB 'sqlite_*' ORDER BY name"
    ).fetchall()
    return {name: _count(connection, name) for (name,) in listed}


def _count(connection: sqlite3.Connection, table: str) -> int:
    quoted = table.replace('"', '""')
    count: int
    (count,) = connection.execute(f'SELECT count(*) FROM main."{quoted}"').fetchone()  # noqa: S608 (quoted)
    return count
