"""Zones whose rules a test decides, and changes as a new edition of the tz data does."""

import struct
import zoneinfo
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from schedule_grpc.domain import schedule
from schedule_grpc.domain.schedule import cron, zone
from schedule_grpc.store import rows

Rules = Callable[[str, str], None]


@contextmanager
def zone_rules(folder: Path) -> Iterator[Rules]:
    """Within this context a call gives a zone its rules, a POSIX TZ string, as a server finds them that starts then."""
    before = zoneinfo.TZPATH

    def rule(name: str, posix: str) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(tzif(posix))
        _forget()

    zoneinfo.reset_tzpath([str(folder)])
    _forget()
    try:
        yield rule
    finally:
        zoneinfo.reset_tzpath(before)
        _forget()


def tzif(posix: str) -> bytes:
    """Return a TZif file (RFC 9636) of version 2 without transitions: its footer is the rule for all times."""
    header = b"TZif2" + bytes(15) + struct.pack(">6l", 0, 0, 0, 0, 1, 4)
    body = struct.pack(">lbb", 0, 0, 0) + b"LMT\0"
    return (header + body) * 2 + b"\n" + posix.encode() + b"\n"


def _forget() -> None:
    """A process keeps what it read for as long as it lives."""
    zoneinfo.ZoneInfo.clear_cache()
    for kept in (schedule.parse, zone._known, zone._changes, cron._next_after, rows._definition):
        kept.cache_clear()
