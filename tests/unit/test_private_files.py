"""What the service writes is its owner's alone, whatever the umask; and whom a file is open to is told."""

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.rigs.builtin_handler import attempt, context

from schedule_grpc.backup import BackupSettings, verify_backup
from schedule_grpc.bindings import Environment
from schedule_grpc.builtin import backup_database
from schedule_grpc.database.sqlite.copy import copy
from schedule_grpc.events import Hub
from schedule_grpc.runtime import private_files
from schedule_grpc.store import open_store


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """Nothing is taken from a file's mode."""
    before = os.umask(0)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    """Return the mode of each file in a folder."""
    return {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir() if path.is_file()}


async def test_the_services_own_files_are_private(tmp_path: Path):
    """The database with what SQLite writes beside it, and the lock."""
    store = await open_store(tmp_path / "schedule.db", Hub())
    found = modes(tmp_path)
    await store.close()
    assert found == dict.fromkeys(("schedule.db", "schedule.db-wal", "schedule.db-shm", "schedule.db.lock"), 0o600)


async def test_a_platforms_files_are_private(tmp_path: Path):
    """Its sessions and keys, and what SQLite writes beside them; behind a link that leads nowhere yet too."""
    (tmp_path / "link.db").symlink_to("linked.db")
    env = Environment({"DB": f"sqlite:///{tmp_path}/platform.db", "B": f"sqlite:///{tmp_path}/link.db"})
    await env.DB.execute("INSERT INTO sessions (id) VALUES ('s')")
    await env.B.execute("INSERT INTO sessions (id) VALUES ('s')")
    found = modes(tmp_path)
    await env.aclose()
    assert {"platform.db", "platform.db-wal", "platform.db-shm", "linked.db"} <= found.keys()
    assert set(found.values()) == {0o600}


async def test_files_that_are_there_keep_their_mode(tmp_path: Path):
    """A group that was let in stays so, in what SQLite writes beside the file too."""
    for name in ("schedule.db", "platform.db"):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(0o640)
    (tmp_path / "schedule.db").unlink()
    store = await open_store(tmp_path / "schedule.db", Hub())
    await store.close()
    (tmp_path / "schedule.db").chmod(0o660)
    store = await open_store(tmp_path / "schedule.db", Hub())
    env = Environment({"DB": f"sqlite:///{tmp_path}/platform.db"})
    await env.DB.execute("INSERT INTO sessions (id) VALUES ('s')")
    found = modes(tmp_path)
    await env.aclose()
    await store.close()
    assert (found["schedule.db"], found["schedule.db-wal"]) == (0o660, 0o660)
    assert (found["platform.db"], found["platform.db-wal"]) == (0o640, 0o640)


@pytest.mark.parametrize("url", [False, True])
async def test_backups_and_their_checksums_are_private(tmp_path: Path, *, url: bool):
    """In a folder of ours, and in one that a URL names."""
    with sqlite3.connect(tmp_path / "platform.db") as database:
        database.execute("CREATE TABLE t (x)")
    database.close()
    folder = tmp_path / "backups"
    folder.mkdir()
    settings = BackupSettings(
        sources={"DB": f"sqlite:///{tmp_path}/platform.db"}, root=f"file://{folder}" if url else str(folder)
    )
    assert (await attempt(backup_database, context("backup-database", {}, BACKUP=settings))).kind is None
    found = modes(folder)
    assert len(found) == 2
    assert set(found.values()) == {0o600}
    verify_backup(next(folder.glob("*.zst")))


def test_the_copy_that_a_backup_is_made_of_is_private(tmp_path: Path):
    """It lies there for as long as compressing it takes."""
    with sqlite3.connect(tmp_path / "a.db") as database:
        database.execute("CREATE TABLE t (x)")
    database.close()
    copy("DB", tmp_path / "a.db", tmp_path / "b.db", unwanted=lambda: False, report=lambda _: None)
    assert modes(tmp_path)["b.db"] == 0o600


@pytest.mark.parametrize(
    ("mode", "folder", "told"),
    [
        (0o600, 0o755, ""),
        (0o644, 0o755, "everybody on this machine"),
        (0o602, 0o755, "everybody on this machine"),
        (0o640, 0o755, "its group"),
        (0o644, 0o750, "its group"),
        (0o644, 0o700, ""),
    ],
)
def test_who_else_can_read_a_file_is_told(mode: int, folder: int, told: str):
    """A folder on the way may keep them out."""
    with tempfile.TemporaryDirectory() as outer:  # pytest's own folders keep others out
        Path(outer).chmod(folder)
        path = Path(outer, "file")
        path.touch()
        path.chmod(mode)
        assert private_files.readers(path) == told
    assert private_files.readers(path) == ""


def test_a_new_file_is_private_and_whole(tmp_path: Path):
    """It is there before its text is, and nobody else could read it in between."""
    path = tmp_path / "key"
    with private_files.new_file(path) as write:
        assert (modes(tmp_path), path.read_text()) == ({"key": 0o600}, "")
        write("secret ä\n")
    assert path.read_text("utf-8") == "secret ä\n"


def test_a_new_file_goes_if_its_text_does_not_come(tmp_path: Path):
    """Else the next attempt would find it, and its user an empty key."""
    with pytest.raises(ZeroDivisionError), private_files.new_file(tmp_path / "key"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_file_or_a_link_of_the_name_is_left_alone(tmp_path: Path):
    """Whatever it points to."""
    (tmp_path / "there").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("there", "link"):
        with pytest.raises(FileExistsError), private_files.new_file(tmp_path / name):
            raise AssertionError
    assert (tmp_path / "there").read_text() == "mine"
    assert not (tmp_path / "elsewhere").exists()
