"""Names of backups, which alone decide their age and kind, in a folder and in a bucket alike.

::

    DB-20260131T000000Z.db.zst           the source, the time, the kind, the compression
    DB-20260131T000000Z.db.zst.sha256    its checksum, as sha256sum writes and checks it
    DB-20260131T000000Z-2.db.zst         the second one of that second
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

CHECKSUM = ".sha256"
FORGOTTEN_AFTER = timedelta(days=1)
"""What a killed process left is removed after so long: nothing that still runs is that old."""

_TIME = "%Y%m%dT%H%M%SZ"
_NAME = re.compile(r"(?P<source>\w+)-(?P<time>\d{8}T\d{6}Z)(?:-(?P<number>\d+))?\.(?P<kind>db|sql)\.(?P<packed>zst|gz)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Name:
    """A backup's name, in its parts."""

    source: str
    time: datetime
    kind: str
    """``db`` is a SQLite file, ``sql`` what pg_dump wrote."""
    packed: str
    """``zst`` or ``gz``."""
    number: int = 1
    """Counts those of one second."""

    def __str__(self) -> str:
        number = f"-{self.number}" if self.number > 1 else ""
        return f"{self.source}-{self.time.strftime(_TIME)}{number}.{self.kind}.{self.packed}"

    def next(self) -> "Name":
        """Return the name to take where this one is taken."""
        return replace(self, number=self.number + 1)


def parsed(text: str) -> Name | None:
    """Return the parts of a name that is a backup's, None of any other."""
    match = _NAME.fullmatch(text)
    if match is None:
        return None
    try:
        time = datetime.strptime(match["time"], _TIME).replace(tzinfo=UTC)
    except ValueError:
        return None
    return Name(
        source=match["source"],
        time=time,
        kind=match["kind"],
        packed=match["packed"],
        number=int(match["number"] or 1),
    )


def is_backup(text: str) -> bool:
    """Return whether a file has the name of a backup."""
    return parsed(text) is not None


def outdated(present: Collection[str], written: Name, *, keep: int) -> Sequence[str]:
    """Return the backups that rotation removes once another one is written and verified, oldest first.

    Only backups of the same source that have their checksum beside them count and are removed; the one just written
    never is, not even if the clock was set back and it is the oldest by its name.

    Args:
        present: The names of all files in the place.
        written: The backup just written.
        keep: The number of backups that stay, at least 1.
    """
    names = [name for text in present if (name := parsed(text)) is not None and str(name) == text]
    good = [each for each in names if each.source == written.source and f"{each}{CHECKSUM}" in present]
    others = sorted(
        (each for each in good if str(each) != str(written)), key=lambda each: (each.time, each.number, str(each))
    )
    return [str(each) for each in others[: max(len(others) - (keep - 1), 0)]]


def forgotten(present: Collection[str], source: str, *, now: datetime) -> Sequence[str]:
    """Return checksums of a source without their backup, which a process that was killed while publishing left."""
    found = []
    for text in present:
        name = parsed(text.removesuffix(CHECKSUM)) if text.endswith(CHECKSUM) else None
        if name is None or name.source != source or str(name) in present:
            continue
        if name.time < now - FORGOTTEN_AFTER:
            found.append(text)
    return found
