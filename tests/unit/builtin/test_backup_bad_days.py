"""Backups on bad days: full disks, damage, cancellation half way, and what killed processes leave."""

import asyncio
import gzip
import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import zstandard
from support.patience import AT_MOST
from support.rigs.builtin_handler import NOW, attempt, context

from schedule_grpc.backup import BackupFailed, BackupSettings, verify_backup
from schedule_grpc.backup.dump import read_dump
from schedule_grpc.backup.places import FolderPlace
from schedule_grpc.builtin.backup_database import backup_database
from schedule_grpc.database.sqlite import copy as sqlite_copy
from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.runtime.threads import Stopped
from schedule_grpc.testing import FakeClock

HANDLER = "backup-database"
BACKUP = "DB-20260131T100000Z.db.zst"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A database of some megabytes that do not compress."""
    path = tmp_path / "platform.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE sessions (id INTEGER PRIMARY KEY, text VARCHAR(1000))")
        connection.executemany("INSERT INTO sessions (text) VALUES (?)", [(os.urandom(1000),) for _ in range(5000)])
    return path


@pytest.fixture
def settings(tmp_path: Path, source: Path) -> BackupSettings:
    """Backups of that database."""
    return BackupSettings(sources={"DB": f"sqlite:///{source}"}, root=str(tmp_path / "backups"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB: room for the database, not for its copy and its backup."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], check=False)
    if mounted.returncode:
        pytest.skip("this user cannot mount a file system")
    yield folder
    subprocess.run(["umount", folder], check=True)


async def back_up(settings: BackupSettings, clock: FakeClock | None = None, **payload: Any) -> dict[str, Any]:
    """Run the handler."""
    found: dict[str, Any] = await backup_database(context(HANDLER, payload, clock=clock, BACKUP=settings))
    return found


def left(folder: str | Path) -> list[str]:
    """Return everything that is in a folder, however deep."""
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*"))


async def test_a_full_disk_is_told_and_left_as_it_was(source: Path, small_disk: Path):
    """The copy fits, its compressed form does not: the attempt fails, is retried, and frees what it took."""
    (small_disk / "other").write_bytes(b"x" * 1_000_000)
    settings = BackupSettings(sources={"DB": f"sqlite:///{source}"}, root=str(small_disk))
    fate = await attempt(backup_database, context(HANDLER, {}, BACKUP=settings))
    assert fate.kind is FailureKind.ERROR
    assert fate.error is not None
    assert fate.error.startswith(f"BackupFailed: {small_disk}/.schedule-backup-")
    assert fate.error.endswith(": No space left on device")
    assert left(small_disk) == ["other"]


async def test_a_disk_without_room_for_the_copy_is_told(source: Path, small_disk: Path):
    """SQLite says so itself."""
    (small_disk / "other").write_bytes(b"x" * 7_000_000)
    settings = BackupSettings(sources={"DB": f"sqlite:///{source}"}, root=str(small_disk))
    fate = await attempt(backup_database, context(HANDLER, {}, BACKUP=settings))
    assert fate.error is not None
    assert fate.error.startswith("BindingError: DB: copying ")
    assert fate.error.endswith("database or disk is full")
    assert left(small_disk) == ["other"]


LIMITED = """
import asyncio, resource, sys
from support.rigs.builtin_handler import attempt, context
from schedule_grpc.backup import BackupSettings
from schedule_grpc.backup.dump import read_dump
from schedule_grpc.builtin.backup_database import backup_database
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
settings = BackupSettings(sources={"DB": sys.argv[1]}, root=sys.argv[2])
print(asyncio.run(attempt(backup_database, context("backup-database", {}, BACKUP=settings))).error)
"""


def test_a_file_that_may_not_grow_is_told_and_left_nowhere(settings: BackupSettings):
    """A quota: the copy reaches its end at a megabyte."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, settings.sources["DB"], settings.root, "1000000"],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
        timeout=AT_MOST,
    )
    said = done.stdout.splitlines()[-1]
    assert said.startswith("BindingError: DB: copying ")
    assert said.endswith("disk I/O error")
    assert left(settings.root) == []


async def test_a_target_that_cannot_be_made_is_told(settings: BackupSettings):
    """A file stands where the folder should be."""
    Path(settings.root).write_text("a file")
    with pytest.raises(BackupFailed, match="File exists"):
        await back_up(settings)


@pytest.mark.parametrize("phase", ["writing", "verifying", "publishing"])
async def test_cancelled_half_way_nothing_stays(settings: BackupSettings, phase: str):
    """Whatever it was doing, the cancelled attempt ends only when its work has stopped and its files are gone."""
    loop = asyncio.get_running_loop()
    came, gone_on = asyncio.Event(), threading.Event()

    def report(_fraction: float, text: str) -> None:
        if text == phase:
            loop.call_soon_threadsafe(came.set)
            assert gone_on.wait(60)

    running = asyncio.create_task(backup_database(context(HANDLER, {}, BACKUP=settings, report=report)))
    await came.wait()
    assert left(settings.root) != []
    running.cancel()
    await asyncio.sleep(0)
    assert not running.done()
    gone_on.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert left(settings.root) == []


async def test_a_damaged_source_makes_no_backup(settings: BackupSettings, source: Path):
    """A page of zeros in a table's middle: its rows are counted by an index, but what was copied is found damaged."""
    with closing(sqlite3.connect(source)) as connection:
        connection.execute("CREATE INDEX by_id ON sessions (id)")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    await back_up(settings)
    with source.open("r+b") as file:
        file.seek(4096 * 700)
        file.write(bytes(4096))
    with pytest.raises(BackupFailed, match=r"^what was written (is damaged|cannot be read): "):
        await back_up(settings, keep=1)
    assert left(settings.root) == [BACKUP, f"{BACKUP}.sha256"]


async def test_a_source_that_breaks_its_own_rules_makes_no_backup(settings: BackupSettings, source: Path):
    """Its pages can all be read, but its integrity check fails: restored it would be as bad."""
    with closing(sqlite3.connect(source, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE names (name)")
        connection.execute("INSERT INTO names VALUES (NULL)")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_master SET sql = 'CREATE TABLE names (name NOT NULL)' WHERE name = 'names'")
    with pytest.raises(BackupFailed, match=r"^what was written is damaged: NULL value in names.name"):
        await back_up(settings)
    assert left(settings.root) == []


async def test_what_is_no_sqlite_file_makes_no_backup(settings: BackupSettings, source: Path):
    """It is told, with the binding's name."""
    for path in source.parent.glob("platform.db*"):
        path.unlink()
    source.write_text("not a database " * 1000)
    fate = await attempt(backup_database, context(HANDLER, {}, BACKUP=settings))
    assert fate.error is not None
    assert fate.error.startswith("BindingError: DB: ")
    assert fate.error.endswith("file is not a database")


async def test_rows_that_got_lost_on_the_way_are_found(settings: BackupSettings, monkeypatch: pytest.MonkeyPatch):
    """The rows that the database counted at that moment are compared with those in what was written."""
    counted = sqlite_copy.copy

    def lossy(name: str, source: Path, target: Path, **options: Any) -> dict[str, int]:
        counts = counted(name, source, target, **options)
        with closing(sqlite3.connect(target)) as connection, connection:
            connection.execute("DELETE FROM sessions WHERE id = 1")
        return counts

    monkeypatch.setattr("schedule_grpc.backup.sources.copy", lossy)
    with pytest.raises(BackupFailed, match="other rows than the database: sessions 4999 instead of 5000"):
        await back_up(settings)
    assert left(settings.root) == []


async def test_what_a_killed_process_left_goes_after_a_day(settings: BackupSettings):
    """Its folder of temporary files and its checksum without a backup; not what may still be in use."""
    root = Path(settings.root)
    for age, name in ((timedelta(hours=25), "old"), (timedelta(hours=23), "fresh")):
        folder = root / f".schedule-backup-{name}"
        folder.mkdir(parents=True)
        (folder / "copy.db").write_text("half")
        for path in (folder / "copy.db", folder):
            os.utime(path, times=((NOW - age).timestamp(),) * 2)
    (root / "DB-20260130T090000Z.db.zst.sha256").write_text("half")
    (root / "DB-20260131T090000Z.db.zst.sha256").write_text("half")
    await back_up(settings)
    assert left(root) == [
        ".schedule-backup-fresh",
        ".schedule-backup-fresh/copy.db",
        "DB-20260131T090000Z.db.zst.sha256",
        BACKUP,
        f"{BACKUP}.sha256",
    ]


async def test_a_good_backup_counts_where_an_old_one_cannot_be_removed(
    settings: BackupSettings, monkeypatch: pytest.MonkeyPatch
):
    """The attempt succeeds, says so and alerts; the next one, which can, removes what was left, and the alert ends."""
    clock = FakeClock(NOW)
    made = []
    for _ in range(3):
        made.append(Path((await back_up(settings, clock, keep=3))["file"]).name)
        await clock.advance(timedelta(days=1))
    remove = FolderPlace.remove

    def refusing(place: FolderPlace, name: str) -> None:
        if name == made[0]:
            raise BackupFailed(f"{name}: Operation not permitted")
        remove(place, name)

    monkeypatch.setattr(FolderPlace, "remove", refusing)
    ctx = context(HANDLER, {"keep": 2}, clock=clock, BACKUP=settings)
    fate = await attempt(backup_database, ctx)
    assert fate.kind is None
    assert (fate.result["success"], fate.result["removed"]) == (True, [made[1]])
    assert fate.result["rotationError"] == f"{made[0]}: Operation not permitted"
    assert [(each.key, each.over, each.body) for each in ctx.conditions] == [
        ("rotation", False, f"{made[0]}: Operation not permitted")
    ]
    assert made[1] not in left(settings.root)
    monkeypatch.setattr(FolderPlace, "remove", remove)
    await clock.advance(timedelta(days=1))
    ctx = context(HANDLER, {"keep": 2}, clock=clock, BACKUP=settings)
    result = await backup_database(ctx)
    assert (result["removed"], "rotationError" in result) == ([made[0], made[2]], False)
    assert [(each.key, each.over) for each in ctx.conditions] == [("rotation", True)]


async def test_a_good_backup_counts_where_the_old_ones_cannot_be_listed(
    settings: BackupSettings, monkeypatch: pytest.MonkeyPatch
):
    """A bucket may allow writing alone."""

    def refusing(place: FolderPlace) -> frozenset[str]:
        raise BackupFailed("listing is not allowed")

    monkeypatch.setattr(FolderPlace, "present", refusing)
    result = await back_up(settings)
    assert (result["success"], result["rotationError"]) == (True, "listing is not allowed")
    assert left(settings.root) == [BACKUP, f"{BACKUP}.sha256"]


KILLED = """
import asyncio, os, signal, sys
from support.rigs.builtin_handler import context
from schedule_grpc.backup import BackupSettings
from schedule_grpc.backup.dump import read_dump
from schedule_grpc.builtin.backup_database import backup_database
def report(fraction, text):
    if text == sys.argv[3]:
        os.kill(os.getpid(), signal.SIGKILL)
settings = BackupSettings(sources={"DB": sys.argv[1]}, root=sys.argv[2])
asyncio.run(backup_database(context("backup-database", {}, BACKUP=settings, report=report)))
"""


@pytest.mark.parametrize("phase", ["writing", "verifying", "publishing"])
async def test_a_killed_process_leaves_no_half_backup(settings: BackupSettings, phase: str):
    """Only its folder of temporary files; the next backup is not disturbed by it."""
    command = [sys.executable, "-c", KILLED, settings.sources["DB"], settings.root, phase]
    killed = await asyncio.create_subprocess_exec(*command, cwd=Path(__file__).parents[2])
    assert await killed.wait() == -9
    [folder, *_] = found = left(settings.root)
    assert all(name.startswith(".schedule-backup-") for name in found)
    assert Path((await back_up(settings))["file"]).name == BACKUP
    shutil.rmtree(Path(settings.root) / folder)
    assert left(settings.root) == [BACKUP, f"{BACKUP}.sha256"]


async def test_a_backup_that_changed_on_the_disk_is_not_good(settings: BackupSettings):
    """Flipped, cut, without its checksum, under another name, gone: `doctor --verify-backup` tells which."""
    file = Path((await back_up(settings))["file"])
    whole = file.read_bytes()
    assert verify_backup(file).content.tables == {"sessions": 5000}
    beside = file.with_name(f"{file.name}.sha256")
    for damaged in (whole[:1000] + b"?" + whole[1001:], whole[:-1], b""):
        file.write_bytes(damaged)
        with pytest.raises(BackupFailed, match=r"its checksum is [0-9a-f]{64}, but .* says [0-9a-f]{64}"):
            verify_backup(file)
    file.write_bytes(whole)
    beside.write_text("")
    with pytest.raises(BackupFailed, match="says nothing"):
        verify_backup(file)
    beside.unlink()
    with pytest.raises(BackupFailed, match=r"No such file or directory: .*sha256"):
        verify_backup(file)
    with pytest.raises(BackupFailed, match="its name does not end as a backup's"):
        verify_backup(file.rename(file.with_name("backup.zip")))
    with pytest.raises(BackupFailed, match="No such file"):
        verify_backup(file)


def test_what_is_not_wanted_any_more_ends_soon(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Counting, copying, checking and reading a dump: each looks now and then whether it should stop."""
    monkeypatch.setattr(sqlite_copy, "STEPS_BETWEEN_LOOKS", 1)
    with pytest.raises(Stopped):
        sqlite_copy.copy("DB", source, tmp_path / "copy.db", unwanted=lambda: True, report=lambda _: None)
    with pytest.raises(Stopped):
        sqlite_copy.examine(source, unwanted=lambda: True)
    with pytest.raises(Stopped):
        read_dump(DUMP.splitlines(keepends=True), unwanted=lambda: True)


def good_backup(folder: Path, kind: str, packed: str, content: bytes) -> Path:
    """Write a backup, with its checksum."""
    file = folder / f"DB-20260131T100000Z.{kind}.{packed}"
    whole = (
        zstandard.ZstdCompressor(write_checksum=True).compress(content) if packed == "zst" else gzip.compress(content)
    )
    file.write_bytes(whole)
    file.with_name(f"{file.name}.sha256").write_text(f"{hashlib.sha256(whole).hexdigest()}  {file.name}\n")
    return file


DUMP = b"""--
-- PostgreSQL database dump
--

--
-- Data for Name: sessions; Type: TABLE DATA; Schema: public; Owner: o
--

COPY public.sessions (id) FROM stdin;
1
\\.


--
-- PostgreSQL database dump complete
--

"""


@pytest.mark.parametrize("packed", ["zst", "gz"])
@pytest.mark.parametrize("kind", ["db", "sql"])
def test_what_has_its_checksum_may_be_no_backup_either(tmp_path: Path, source: Path, kind: str, packed: str):
    """Cut before it was packed or after, of something else, empty: it is opened, and found out."""
    with closing(sqlite3.connect(source)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    whole = source.read_bytes() if kind == "db" else DUMP
    assert len(verify_backup(good_backup(tmp_path, kind, packed, whole)).content.tables) == 1
    for content in (whole[: len(whole) // 2], whole[:-30] if kind == "sql" else whole[:-4096], b"other" * 100, b""):
        with pytest.raises(BackupFailed, match=r"is damaged|cannot be read|too early|is not what|is empty"):
            verify_backup(good_backup(tmp_path, kind, packed, content))
    file = good_backup(tmp_path, kind, packed, whole)
    cut = file.read_bytes()[:-20]
    file.write_bytes(cut)
    file.with_name(f"{file.name}.sha256").write_text(hashlib.sha256(cut).hexdigest())
    with pytest.raises(
        BackupFailed, match=r"is damaged|cannot be read|too early|is not what|is empty|cannot be decompressed"
    ):
        verify_backup(file)
    file.write_bytes(b"not packed at all")
    file.with_name(f"{file.name}.sha256").write_text(hashlib.sha256(b"not packed at all").hexdigest())
    with pytest.raises(BackupFailed, match="cannot be decompressed"):
        verify_backup(file)
