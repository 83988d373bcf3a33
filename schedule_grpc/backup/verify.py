"""Verifies a backup by opening it."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from schedule_grpc.backup.dump import read_dump
from schedule_grpc.backup.errors import BackupFailed
from schedule_grpc.backup.names import CHECKSUM
from schedule_grpc.backup.packing import ENDINGS, checksum, chunks, unpacking
from schedule_grpc.database.sqlite.copy import examine
from schedule_grpc.runtime import private_files

KINDS = {"db": "SQLite", "sql": "PostgreSQL"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """The content of a backup."""

    size: int
    """In bytes, decompressed."""
    tables: Mapping[str, int]
    """Rows by table."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verified:
    """A backup that is good."""

    file: Path
    database: str
    """``SQLite`` or ``PostgreSQL``."""
    content: Content
    compressed_size: int
    sha256: str


def verify_backup(file: Path, *, unwanted: Callable[[], bool] = lambda: False) -> Verified:
    """Check a backup on a disk: its checksum, its compression, the database in it, and count its rows.

    A SQLite file is opened as a temporary copy; a dump is read to its end. Nothing beside the backup is changed.

    Raises:
        BackupFailed: if it is not good, or cannot be read, with the reason.
        ConfigurationError: if the package for its compression is not installed.
    """
    kind, packed = _endings(file)
    try:
        sha256 = checksum(file, unwanted=unwanted)
        _compare(sha256, file.with_name(file.name + CHECKSUM))
        with tempfile.TemporaryDirectory() as work:
            content = examined(file, kind, packed, Path(work), unwanted=unwanted)
        size = file.stat().st_size
    except (ValueError, OSError) as error:
        raise BackupFailed(f"{file}: {error}") from error
    return Verified(file=file, database=KINDS[kind], content=content, compressed_size=size, sha256=sha256)


def examined(path: Path, kind: str, compression: str, work: Path, *, unwanted: Callable[[], bool]) -> Content:
    """Decompress a backup, open the database in it, and return its content.

    Args:
        path: The backup.
        kind: ``db`` or ``sql``.
        compression: ``zstd`` or ``gzip``.
        work: A folder for a temporary copy.
        unwanted: Is called often; once true the reading ends.

    Raises:
        ValueError: naming what is wrong with it.
        OSError: if it cannot be read, or its copy not be written.
        Stopped: because it was unwanted.
    """
    if kind == "sql":
        with unpacking(path, compression) as file:
            size = _Size()
            tables = read_dump(map(size.passed, file), unwanted=unwanted)
        return Content(size=size.bytes, tables=tables)
    copied = work / "verify.db"
    with unpacking(path, compression) as file, open(copied, "xb", opener=private_files.opener) as copy:
        copy.writelines(chunks(file, unwanted=unwanted))
    content = Content(size=copied.stat().st_size, tables=examine(copied, unwanted=unwanted))
    copied.unlink()
    return content


def _compare(sha256: str, beside: Path) -> None:
    expected, *_ = [*beside.read_text("ascii", "replace").split(), "nothing"]
    if expected.lower() != sha256:
        raise ValueError(f"its checksum is {sha256}, but {beside.name} says {expected}")


class _Size:
    """Counts the bytes of the lines that pass."""

    def __init__(self) -> None:
        self.bytes = 0

    def passed(self, line: bytes) -> bytes:
        self.bytes += len(line)
        return line


def _endings(file: Path) -> tuple[str, str]:
    by_ending = {ending: compression for compression, ending in ENDINGS.items()}
    kind, packed = (suffix.removeprefix(".") for suffix in ["", "", *file.suffixes][-2:])
    if kind not in KINDS or packed not in by_ending:
        raise BackupFailed(f"{file}: its name does not end as a backup's: .db.zst, .db.gz, .sql.zst or .sql.gz")
    return kind, by_ending[packed]
