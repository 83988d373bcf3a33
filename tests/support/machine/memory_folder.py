"""Where tests keep their files: in memory where there is room, for most of their time was the disk's.

Tests kill processes, never the machine: what the kernel was given is safe, and a server that waits for a disk proves
nothing more. What a full or a broken disk does has disks of its own (tests/faults/test_disks.py).
"""

import os
import shutil
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")  # noqa: S108 (the one place that Linux has for it)
ROOM = 4 * 1024**3
"""Bytes, many times what the whole suite has needed."""


def use() -> None:
    """Let all temporary files be there, those of processes that are started too; a TMPDIR that was chosen stays."""
    if "TMPDIR" in os.environ or not MEMORY.is_dir() or not os.access(MEMORY, os.W_OK):
        return
    may_run = not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC  # as containers have it; tests write programs, too
    if may_run and shutil.disk_usage(MEMORY).free >= ROOM:
        os.environ["TMPDIR"] = str(MEMORY)
        tempfile.tempdir = None
