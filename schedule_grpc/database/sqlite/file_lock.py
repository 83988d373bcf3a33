"""One server per file: advisory locks on it and beside it, which the kernel drops when their holder dies, however.

They are `flock`'s, which belong to an open file and not to a process: a forked child has them too. So children do not
get the descriptors, and a lock is undone before its descriptor is closed, for a child that had it all the same.
"""

import fcntl
import os
import sys
from pathlib import Path

from schedule_grpc.errors import DatabaseRefused
from schedule_grpc.runtime import forks, private_files


class FileLock:
    """Held from `acquire` to `release`, or to the end of the process.

    It is a file beside the database, which may not exist yet, with its holder's process id; and, once `cover` was
    called, the database itself, for the file beside it may be removed, and the database may be reached by another name.
    """

    def __init__(self, beside: int) -> None:
        self._descriptors: list[int] = []
        self._hold(beside)

    @classmethod
    def acquire(cls, database: Path) -> "FileLock":
        """Lock a database file (which need not exist yet).

        Raises:
            DatabaseRefused: if another server holds it, or its folder cannot be written.
        """
        path = database.with_name(database.name + ".lock")
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, private_files.MODE)
        except OSError as error:
            raise DatabaseRefused(f"{database}: cannot create {path.name} beside it: {error.strerror}") from error
        lock = cls(descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
            lock.release()
            raise _held(database, holder) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
        return lock

    def cover(self, database: Path) -> None:
        """Lock the database file itself, if it is there.

        On Linux only: elsewhere this kind of lock and the one that SQLite takes on the same file exclude each other.

        Raises:
            DatabaseRefused: if another server holds it.
        """
        if sys.platform != "linux" or not database.is_file():
            return
        descriptor = os.open(database, os.O_RDONLY | os.O_CLOEXEC)
        self._hold(descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise _held(database, "") from error

    def require_room(self, size: int) -> None:
        """Return if the disk has room for this many bytes beside the database: they are written here, and taken back.

        Raises:
            OSError: if there is none.
        """
        beside = self._descriptors[0]
        end = os.fstat(beside).st_size
        try:
            written = os.pwrite(beside, bytes(size), end)
            if written < size:
                os.pwrite(beside, bytes(size - written), end + written)
        finally:
            os.ftruncate(beside, end)

    def release(self) -> None:
        """Let the next server have the file. The lock file stays: removing it would race with the next holder."""
        while self._descriptors:
            descriptor = self._descriptors.pop()
            forks.forget(descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    def _hold(self, descriptor: int) -> None:
        self._descriptors.append(descriptor)
        forks.keep(descriptor)


def _held(database: Path, holder: str) -> DatabaseRefused:
    return DatabaseRefused(
        f"{database}: another schedule-grpc server (process {holder or 'unknown'}) is using this file"
    )
