"""What backups are called, and which of them rotation takes."""

from datetime import timedelta

import pytest
from support.rigs.rig import at

from schedule_grpc.backup.names import CHECKSUM, Name, forgotten, outdated, parsed

NOW = at("2026-01-31T10:00:00")


def name(time: str = "2026-01-31T10:00:00", number: int = 1, source: str = "DB") -> Name:
    """Return a backup's name."""
    return Name(source=source, time=at(time), kind="db", packed="zst", number=number)


def with_checksums(*names: Name) -> set[str]:
    """Return what a folder holds that has these backups."""
    return {str(each) for each in names} | {f"{each}{CHECKSUM}" for each in names}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (name(), "DB-20260131T100000Z.db.zst"),
        (name(number=2), "DB-20260131T100000Z-2.db.zst"),
        (Name(source="OTHER_DB", time=NOW, kind="sql", packed="gz"), "OTHER_DB-20260131T100000Z.sql.gz"),
    ],
)
def test_a_name_and_its_parts(value: Name, text: str):
    """The text names the parts, and the parts the text."""
    assert str(value) == text
    assert parsed(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "DB.db.zst",
        "DB-20260131T100000Z.db",
        "DB-20260131T100000Z.db.bz2",
        "DB-20261331T100000Z.db.zst",
        "DB-20260131T100000Z.db.zst.sha256",
        "my DB-20260131T100000Z.db.zst",
        "DB-20260131T100000Z.db.zst\n",
        ".schedule-backup-0123",
    ],
)
def test_other_names_are_none(text: str):
    """What is not exactly a backup's name is nobody's to remove."""
    assert parsed(text) is None


def test_the_newest_are_kept():
    """With three kept, the written one and the two before it stay, whatever the order of the listing."""
    names = [name(f"2026-01-{day:02}T00:00:00") for day in range(1, 10)]
    assert outdated(with_checksums(*names), names[-1], keep=3) == [str(each) for each in names[:6]]


def test_those_of_one_second_are_ordered_by_their_number():
    """Number 10 is newer than number 9."""
    names = [name(number=number) for number in range(1, 11)]
    assert outdated(with_checksums(*names), names[-1], keep=2) == [str(each) for each in names[:8]]


def test_the_one_just_written_stays_where_the_clock_was_set_back():
    """Its name says that it is the oldest, but it is the last good one that we know."""
    names = [name(f"2026-02-{day:02}T00:00:00") for day in range(1, 8)]
    written = name("2026-01-01T00:00:00")
    assert outdated(with_checksums(written, *names), written, keep=1) == [str(each) for each in names]
    assert outdated(with_checksums(written, *names), written, keep=7) == [str(names[0])]


def test_the_one_just_written_is_known_by_its_name():
    """The time it was written at is finer than the one in its name."""
    written = name("2026-01-31T10:00:00.500")
    assert outdated(with_checksums(written, name("2026-01-30T00:00:00")), written, keep=2) == []


def test_what_is_not_ours_is_left():
    """Other sources, files without their checksum, odd numbers, and strangers' files neither count nor go."""
    old = name("2026-01-01T00:00:00")
    strangers = {
        *with_checksums(name("2020-01-01T00:00:00", source="OTHER")),
        "DB-20200101T000000Z.db.zst",
        "DB-20200101T000000Z-1.db.zst",
        "DB-20200101T000000Z-1.db.zst.sha256",
        "DB-20200101T000000Z-007.db.zst",
        "DB-20200101T000000Z-007.db.zst.sha256",
        "notes.txt",
    }
    assert outdated(strangers | with_checksums(name(), old), name(), keep=1) == [str(old)]


def test_checksums_that_a_killed_process_left_are_found_after_a_day():
    """A fresh one may belong to an upload under way; one whose backup is there is no leftover."""
    fresh, old, whole = name(), name("2026-01-30T09:59:59"), name("2026-01-01T00:00:00")
    present = {f"{fresh}{CHECKSUM}", f"{old}{CHECKSUM}", *with_checksums(whole), "x.sha256"}
    assert forgotten(present, "DB", now=NOW) == [f"{old}{CHECKSUM}"]
    assert forgotten(present, "DB", now=NOW - timedelta(days=2)) == []
    assert forgotten(present, "OTHER", now=NOW) == []
