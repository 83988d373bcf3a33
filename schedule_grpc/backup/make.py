"""One backup: a moment of a database, written, opened again and counted, published; then old ones are removed."""

import secrets
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from schedule_grpc.backup.errors import BackupFailed
from schedule_grpc.backup.names import CHECKSUM, Name, forgotten, outdated
from schedule_grpc.backup.packing import ENDINGS, checksum, chosen, packing
from schedule_grpc.backup.places import WORK_PREFIX, Place, begin_work, file_errors, place_of
from schedule_grpc.backup.settings import BackupSettings
from schedule_grpc.backup.sources import Snapshot, Source, source_of
from schedule_grpc.backup.verify import Content, examined
from schedule_grpc.errors import InvalidArgument
from schedule_grpc.runtime.threads import Stopped, in_thread

DEFAULT_SOURCE = "DB"
DEFAULT_KEEP = 7

Report = Callable[[float, str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """The source and the target of a backup."""

    source: str = DEFAULT_SOURCE
    target: str = ""
    """A folder inside the root (empty: the root itself), or an allowed URL."""
    keep: int = DEFAULT_KEEP
    """How many backups of this source stay there, at least 1."""
    compression: str | None = None
    """``zstd`` or ``gzip``; None takes zstd where it is installed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Backup:
    """A good backup."""

    file: str
    """Its path, or its URL."""
    content: Content
    compressed_size: int
    sha256: str
    compression: str
    removed: Sequence[str]
    """Names of the older ones that made room for it."""
    not_rotated: str | None
    """Why some that are older than is kept are still there; None if none is."""


async def back_up(order: Order, settings: BackupSettings, *, now: datetime, report: Report) -> Backup:
    """Write a backup, verify it by opening it, publish it, and then remove older ones beyond the number to keep.

    If this fails, or is cancelled, no partial backup stays, and no older one was removed. A published backup stays even
    if older ones cannot be removed: a failure then would only write the next one at once.

    Args:
        order: The source and the target.
        settings: The allowed sources and targets.
        now: The moment in the backup's name.
        report: Is called with the part that is done, from 0 to 1, and the present step; from another thread.

    Raises:
        InvalidArgument: for an order that is not allowed.
        ConfigurationError: if a program or a package is missing, or the source is no database.
        BindingError: if the source cannot be read.
        BackupFailed: if the backup could not be written, or was not good.
    """
    url = settings.sources.get(order.source)
    if url is None:
        names = ", ".join(sorted(settings.sources)) or "none"
        raise InvalidArgument.of("payload.source", f"there is no database {order.source!r} (databases: {names})")
    source = source_of(order.source, url, pg_dump=settings.pg_dump)
    compression = chosen(order.compression)
    name = Name(source=order.source, time=now, kind=source.kind, packed=ENDINGS[compression])
    place = await in_thread(lambda _: place_of(settings, order.target), name="backup")
    work = place.work_folder() / f"{WORK_PREFIX}{secrets.token_hex(8)}"
    job = _Job(source, place, name, compression, work, report)
    try:
        async with source.opened() as snapshot:
            counts = await in_thread(partial(job.write, snapshot), name="backup")
        return await in_thread(partial(job.publish, counts, order.keep), name="backup")
    finally:
        await in_thread(lambda _: shutil.rmtree(work, ignore_errors=True), name="backup")


@dataclass(frozen=True, slots=True)
class _Job:
    """The work of one backup that is done in a thread."""

    source: Source
    place: Place
    name: Name
    compression: str
    work: Path
    report: Report

    @property
    def packed(self) -> Path:
        return self.work / "packed"

    def write(self, snapshot: Snapshot, stop: threading.Event) -> Mapping[str, int]:
        begin_work(self.work, now=self.name.time)
        with file_errors(self.work), packing(self.packed, self.compression, now=self.name.time) as out:
            return snapshot.write(
                out, self.work, unwanted=stop.is_set, report=self._progress_between("writing", 0.0, 0.5)
            )

    def publish(self, counts: Mapping[str, int], keep: int, stop: threading.Event) -> Backup:
        self.report(0.5, "verifying")
        try:
            with file_errors(self.work):
                content = examined(self.packed, self.name.kind, self.compression, self.work, unwanted=stop.is_set)
        except ValueError as error:
            raise BackupFailed(f"what was written {error}") from error
        if content.tables != counts:
            raise BackupFailed(
                f"what was written has other rows than the database: {_difference(content.tables, counts)}"
            )
        with file_errors(self.packed):
            digest = checksum(self.packed, unwanted=stop.is_set)
            compressed_size = self.packed.stat().st_size
        self.report(0.8, "publishing")
        if stop.is_set():
            raise Stopped
        published, name = None, self.name
        while published is None:
            published = self.place.publish(self.packed, name, digest, unwanted=stop.is_set)
            name = name.next()
        removed, not_rotated = self._rotated(published, keep)
        return Backup(
            file=self.place.shown(str(published)),
            content=content,
            compressed_size=compressed_size,
            sha256=digest,
            compression=self.compression,
            removed=removed,
            not_rotated=not_rotated,
        )

    def _rotated(self, published: Name, keep: int) -> tuple[Sequence[str], str | None]:
        """Remove older backups beyond the number to keep; return the removed ones, and the error that kept others."""
        removed: list[str] = []
        failures: list[str] = []
        try:
            present = self.place.present()
        except BackupFailed as error:
            return removed, error.message
        for backup in outdated(present, published, keep=keep):
            if self._removed(backup, failures):
                removed.append(backup)
                # The checksum last: what is left of an interrupted removal is found as forgotten.
                self._removed(f"{backup}{CHECKSUM}", failures)
        for checksum_file in forgotten(present, published.source, now=published.time):
            self._removed(checksum_file, failures)
        return removed, failures[0] if failures else None

    def _removed(self, name: str, failures: list[str]) -> bool:
        try:
            self.place.remove(name)
        except BackupFailed as error:
            failures.append(error.message)
            return False
        return True

    def _progress_between(self, doing: str, begin: float, end: float) -> Callable[[float], None]:
        return lambda part: self.report(begin + part * (end - begin), doing)


def _difference(found: Mapping[str, int], expected: Mapping[str, int]) -> str:
    tables = sorted(table for table in found.keys() | expected.keys() if found.get(table) != expected.get(table))
    return ", ".join(f"{table} {found.get(table)} instead of {expected.get(table)}" for table in tables[:5])
