"""Where backups go: a folder, or a store that obstore knows. Everything here blocks, and is called in a thread.

Publishing is the same in both: the checksum is created first, and its creator owns the name; then the backup itself
appears, whole or not at all. So a visible backup always has its checksum, and two backups that are made at once cannot
take one name.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from schedule_grpc.backup.errors import BackupFailed
from schedule_grpc.backup.names import CHECKSUM, FORGOTTEN_AFTER, Name
from schedule_grpc.backup.packing import chunks, synced
from schedule_grpc.backup.settings import BackupSettings
from schedule_grpc.errors import ConfigurationError, InvalidArgument
from schedule_grpc.runtime import private_files
from schedule_grpc.runtime.threads import Stopped
from schedule_grpc.text.secrets import Secrets, shown

LOCAL = "file://"
WORK_PREFIX = ".schedule-backup-"
"""Folders in which backups are made."""
RETRIES = {"max_retries": 3, "retry_timeout": timedelta(seconds=20)}
"""Of one request to a store, which cannot be cancelled: the task's own retries come after it."""

Unwanted = Callable[[], bool]


class Place(Protocol):
    """Where backups are kept."""

    def work_folder(self) -> Path:
        """Return the folder in which backups for this place are made."""

    def publish(self, packed: Path, name: Name, digest: str, *, unwanted: Unwanted) -> Name | None:
        """Let a finished file appear under a name, beside its checksum; None if the name is taken."""

    def present(self) -> frozenset[str]:
        """Return the names of all that is there."""

    def remove(self, name: str) -> None:
        """Remove a file; one that is gone already is no error."""

    def shown(self, name: str) -> str:
        """Return the whole path or URL of a name."""


def place_of(settings: BackupSettings, target: str) -> "Place":
    """Return the place that a task's target names, below the root that is configured.

    Raises:
        InvalidArgument: if it is not allowed.
        ConfigurationError: if the root cannot be used, or needs the extra ``storage``.
    """
    if "://" in target:
        _allowed(settings, target)
        return StorePlace(target, settings)
    parts = _parts(target)
    if "://" in settings.root:
        return StorePlace("/".join((settings.root.rstrip("/"), *parts)), settings)
    return FolderPlace(Path(settings.root), parts)


def _parts(target: str) -> tuple[str, ...]:
    parts = target.split("/") if target not in ("", ".") else []
    for part in parts:
        if part in ("", ".", "..") or part.startswith(".") or "\\" in part or not part.isprintable():
            raise InvalidArgument.of("payload.target", f"{target!r} is no folder inside the configured root")
    return tuple(parts)


def _allowed(settings: BackupSettings, target: str) -> None:
    roots = (*([settings.root] if "://" in settings.root else []), *settings.allow_urls)
    if not any(_inside(target, root) for root in roots):
        raise InvalidArgument.of(
            "payload.target", f"{shown(target)} is at none of the URLs allowed by [backup] allow_urls"
        )


def _inside(target: str, root: str) -> bool:
    try:
        found, allowed = urlsplit(target), urlsplit(root)
    except ValueError:
        return False
    if (found.scheme, found.netloc) != (allowed.scheme, allowed.netloc):
        return False
    if found.query or found.fragment or "%" in found.path or "\\" in found.path:
        return False
    path, base = PurePosixPath(found.path or "/"), PurePosixPath(allowed.path or "/")
    return ".." not in path.parts and path.is_relative_to(base)


class FolderPlace:
    """A folder inside the root."""

    def __init__(self, root: Path, parts: tuple[str, ...]) -> None:
        """Make the folder where it is missing.

        Raises:
            InvalidArgument: if a link on the way leaves the root.
            BackupFailed: if it cannot be made.
        """
        folder = root.joinpath(*parts)
        with file_errors(folder):
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            inside = root.resolve()
            # Looked at before anything is made, or the folder would be made where the link leads.
            if not folder.resolve().is_relative_to(inside):
                raise InvalidArgument.of(
                    "payload.target", f"{'/'.join(parts)} is a link that leaves the configured root"
                )
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder.resolve()

    def work_folder(self) -> Path:
        """Return the folder itself: a rename is atomic within one file system only."""
        return self._folder

    def publish(self, packed: Path, name: Name, digest: str, *, unwanted: Unwanted) -> Name | None:  # noqa: ARG002
        """Rename the file into its place, and return once that is on the disk.

        Raises:
            BackupFailed: if it cannot be.
        """
        final = self._folder / str(name)
        with file_errors(final):
            if os.path.lexists(final):
                return None
            beside = final.with_name(final.name + CHECKSUM)
            try:
                with open(beside, "xb", opener=private_files.opener) as file:
                    file.write(checksum_line(name, digest))
                    synced(file)
            except FileExistsError:
                return None
            try:
                packed.rename(final)
                self._sync_folder()
            except BaseException:
                for path in (final, beside):
                    path.unlink(missing_ok=True)
                raise
        return name

    def present(self) -> frozenset[str]:
        """Return the names of the files in the folder; links are none."""
        with file_errors(self._folder), os.scandir(self._folder) as entries:
            return frozenset(entry.name for entry in entries if entry.is_file(follow_symlinks=False))

    def remove(self, name: str) -> None:
        """Remove a file; one that is gone already is no error."""
        with file_errors(self._folder / name):
            (self._folder / name).unlink(missing_ok=True)

    def shown(self, name: str) -> str:
        """Return the whole path of a name."""
        return str(self._folder / name)

    def _sync_folder(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class StorePlace:
    """A bucket, or a part of one, through obstore."""

    def __init__(self, url: str, settings: BackupSettings) -> None:
        """Take a URL; nothing is asked of it yet.

        Raises:
            ConfigurationError: if obstore is missing, or understands it not.
        """
        try:
            import obstore  # noqa: PLC0415 (an extra)
            from obstore.exceptions import BaseError  # noqa: PLC0415
            from obstore.store import from_url  # noqa: PLC0415
        except ImportError:
            raise ConfigurationError("backups to a URL need an extra: pip install 'schedule-grpc[storage]'") from None
        self._secrets = Secrets()
        self._secrets.add_options({"url": url, **settings.store_options})
        self._given, self._url = url, shown(url).rstrip("/")
        if url.startswith("memory:") or "?" in url or "#" in url:
            raise ConfigurationError(f"backup to {self._url}: name a store that keeps it; options are in store_options")
        self._obstore: Any = obstore
        self._errors = (BaseError, OSError)
        try:
            self._store: Any = from_url(url, **({"retry_config": RETRIES} | dict(settings.store_options)))
        except (BaseError, ValueError, TypeError) as error:
            raise ConfigurationError(f"backup to {self._url}: {self._reason(error)}") from None

    def work_folder(self) -> Path:
        """Return the folder for temporary files."""
        return Path(tempfile.gettempdir())

    def publish(self, packed: Path, name: Name, digest: str, *, unwanted: Unwanted) -> Name | None:
        """Upload the file, and read it again to see that it arrived.

        Raises:
            BackupFailed: if it did not.
            Stopped: because it was unwanted.
        """
        with self._store_errors():
            try:
                line = checksum_line(name, digest)
                self._obstore.put(self._store, f"{name}{CHECKSUM}", line, mode="create")
                self._make_private(f"{name}{CHECKSUM}")
            except self._obstore.exceptions.AlreadyExistsError:
                return None
            try:
                with packed.open("rb") as file:
                    # From an iterator: one that raises leaves nothing behind.
                    self._obstore.put(self._store, str(name), chunks(file, unwanted=unwanted))
                self._make_private(str(name))
                self._read_again(name, digest, unwanted)
            except BaseException:
                with suppress(*self._errors):
                    self.remove(str(name))
                    self.remove(f"{name}{CHECKSUM}")
                raise
        return name

    def present(self) -> frozenset[str]:
        """Return the names of the objects at the URL, not of those further below."""
        with self._store_errors():
            found = self._obstore.list_with_delimiter(self._store)
            return frozenset(each["path"].rpartition("/")[2] for each in found["objects"])

    def remove(self, name: str) -> None:
        """Remove an object; one that is gone already is no error."""
        with self._store_errors(), suppress(FileNotFoundError):
            self._obstore.delete(self._store, name)

    def shown(self, name: str) -> str:
        """Return the whole URL of a name."""
        return f"{self._url}/{name}"

    def _make_private(self, name: str) -> None:
        """Make a file on this machine private: obstore creates it with the umask's rights."""
        if self._url.startswith(LOCAL):
            Path(unquote(urlsplit(self._url).path), name).chmod(private_files.MODE)

    def _read_again(self, name: Name, digest: str, unwanted: Unwanted) -> None:
        found = hashlib.sha256()
        for chunk in self._obstore.get(self._store, str(name)).stream():
            if unwanted():
                raise Stopped
            found.update(chunk)
        if found.hexdigest() != digest:
            raise BackupFailed(f"{self.shown(str(name))}: what was read again is not what was written")

    @contextmanager
    def _store_errors(self) -> Iterator[None]:
        try:
            yield
        except self._errors as error:
            raise BackupFailed(f"{self._url}: {self._reason(error)}") from None  # whose text has its secrets

    def _reason(self, error: BaseException) -> str:
        reason = str(error).partition("\n")[0].replace(self._given, self._url)
        return self._secrets.hide(reason)


def checksum_line(name: Name, digest: str) -> bytes:
    """Return the content of a checksum file, as sha256sum writes it."""
    return f"{digest}  {name}\n".encode("ascii")


def begin_work(work: Path, *, now: datetime) -> None:
    """Make a folder to make a backup in; what killed processes left beside it more than a day ago is removed.

    Raises:
        BackupFailed: if it cannot be made.
    """
    with file_errors(work):
        for entry in work.parent.glob(f"{WORK_PREFIX}*"):
            if _age(entry, now) > FORGOTTEN_AFTER.total_seconds():
                shutil.rmtree(entry, ignore_errors=True)
        work.mkdir(mode=0o700)


def _age(folder: Path, now: datetime) -> float:
    """Return the seconds since anything in a folder was written."""
    try:
        newest = max(each.lstat().st_mtime for each in (folder, *folder.iterdir()))
    except OSError:  # another server removes it
        return 0.0
    return now.timestamp() - newest


@contextmanager
def file_errors(path: Path) -> Iterator[None]:
    """Within this context what the disk refuses is a failure of the backup that names the path."""
    try:
        yield
    except OSError as error:
        raise BackupFailed(f"{path}: {error.strerror or error}") from error
