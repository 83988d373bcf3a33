"""A lock on a file, and copies of its descriptor."""

import os
from pathlib import Path

from schedule_grpc.database.sqlite.file_lock import FileLock


def test_a_copy_of_its_descriptor_does_not_keep_it(tmp_path: Path):
    """As a child has one that some library has forked: released is released."""
    database = tmp_path / "schedule.db"
    database.touch()
    lock = FileLock.acquire(database)
    lock.cover(database)
    copies = [os.dup(descriptor) for descriptor in lock._descriptors]
    lock.release()
    again = FileLock.acquire(database)
    again.cover(database)
    again.release()
    for copy in copies:
        os.close(copy)
