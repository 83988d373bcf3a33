"""Creates files that only their owner can read: they hold payloads, results, keys and sessions.

An existing file keeps its mode: if it is open to a group, that is on purpose.
"""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MODE = 0o600


def opener(path: str, flags: int) -> int:
    """Open a file for ``open(..., opener=opener)``; only its owner can read a new one."""
    return os.open(path, flags | os.O_CLOEXEC, MODE)


def create(path: Path) -> None:
    """Make an empty file where there is none, before something else (SQLite) would make it readable for everybody.

    SQLite takes an empty file for a new database, and gives its ``-wal``, ``-shm`` and ``-journal`` the file's mode.

    Raises:
        OSError: if it cannot be made.
    """
    if not path.exists():
        os.close(opener(str(path), os.O_WRONLY | os.O_CREAT))


@contextmanager
def new_file(path: Path) -> Iterator[Callable[[str], None]]:
    """Make a new file for a secret, and yield the function that writes its text to the disk.

    It is made before the secret is, so that none is lost for lack of a place; if the context fails, it is removed.

    Raises:
        FileExistsError: if there is a file, or a link, of that name.
        OSError: if it cannot be made or written.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE)

    def write(text: str) -> None:
        with os.fdopen(descriptor, "w", encoding="utf-8", closefd=False) as file:
            file.write(text)
        os.fsync(descriptor)

    try:
        yield write
    except BaseException:
        with suppress(OSError):
            path.unlink()
        raise
    finally:
        os.close(descriptor)


def readers(path: Path) -> str:
    """Return who besides a file's or folder's owner can read or change it; empty: nobody else, or it is missing.

    A group counts only for a file of this user: another user's file that is read as a member of its group is meant so.
    """
    try:
        found = path.stat()
        above = [each.stat().st_mode for each in path.resolve().parents]
    except OSError:
        return ""
    if found.st_mode & (stat.S_IROTH | stat.S_IWOTH) and all(mode & stat.S_IXOTH for mode in above):
        return "everybody on this machine"
    ours = found.st_uid == os.geteuid()
    passable = stat.S_IXGRP | stat.S_IXOTH
    if ours and found.st_mode & (stat.S_IRGRP | stat.S_IWGRP) and all(mode & passable for mode in above):
        return "its group"
    return ""
