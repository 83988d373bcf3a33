"""backup-database on SQLite files: what it writes, what it tells, what it keeps."""

import asyncio
import gzip
import hashlib
import sqlite3
import subprocess
import threading
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import zstandard
from support.rigs.builtin_handler import NOW, attempt, context

from schedule_grpc.backup import BackupSettings, verify_backup
from schedule_grpc.builtin.backup_database import backup_database
from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.errors import BindingError
from schedule_grpc.events import Hub
from schedule_grpc.handlers import PermanentFailure
from schedule_grpc.store import open_store
from schedule_grpc.testing import FakeClock

HANDLER = "backup-database"
FIRST = "DB-20260131T100000Z.db.zst"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A small database in WAL mode, with what its last writer has not yet put into the file itself."""
    path = tmp_path / "platform.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE sessions (id TEXT PRIMARY KEY, expires_at TEXT)")
        connection.execute('CREATE TABLE "odd ""name" (value)')
        connection.execute("CREATE VIRTUAL TABLE words USING fts5(text)")
        connection.execute("CREATE INDEX by_expiry ON sessions (expires_at)")
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO sessions VALUES (?, ?)", [(f"s{n}", "2026-01-31") for n in range(1000)])
        connection.execute("INSERT INTO words VALUES ('backup')")
        connection.execute("COMMIT")
    return path


@pytest.fixture
def settings(tmp_path: Path, source: Path) -> BackupSettings:
    """Backups of that database, into a folder that is not there yet."""
    return BackupSettings(sources={"DB": f"sqlite:///{source}"}, root=str(tmp_path / "backups"))


async def back_up(settings: BackupSettings, clock: FakeClock | None = None, **payload: Any) -> dict[str, Any]:
    """Run the handler."""
    found: dict[str, Any] = await backup_database(context(HANDLER, payload, clock=clock, BACKUP=settings))
    return found


def unpacked(file: str, target: Path) -> Path:
    """Decompress as an operator would, with other means than ours."""
    data = Path(file).read_bytes()
    plain = (
        gzip.decompress(data) if file.endswith(".gz") else zstandard.ZstdDecompressor().decompressobj().decompress(data)
    )
    target.write_bytes(plain)
    return target


def dumped(path: Path) -> list[str]:
    """Return a database's whole content as SQL."""
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


def names(folder: Path) -> list[str]:
    """Return what is in a folder."""
    return sorted(entry.name for entry in folder.iterdir())


async def test_the_result_tells_what_was_written(settings: BackupSettings, source: Path):
    """Where it is, its sizes and checksum, the rows of each table; virtual tables are counted by what holds them."""
    result = await back_up(settings)
    file = Path(settings.root).resolve() / FIRST
    assert result["tables"].pop("sessions") == 1000
    assert result["tables"].pop('odd "name') == 0
    assert all(table.startswith("words_") for table in result.pop("tables"))
    assert result == {
        "success": True,
        "file": str(file),
        "size": result["size"],
        "compressedSize": file.stat().st_size,
        "compression": "zstd",
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "removed": [],
        "duration": 0,
        "message": "Database backup completed",
    }
    assert result["size"] == source.stat().st_size
    assert names(file.parent) == [FIRST, f"{FIRST}.sha256"]


@pytest.mark.parametrize("compression", ["zstd", "gzip"])
async def test_a_restored_backup_is_its_source(
    settings: BackupSettings, source: Path, tmp_path: Path, compression: str
):
    """Decompressed it is a SQLite file with the same content to the last row, which can be written to."""
    result = await back_up(settings, compression=compression)
    restored = unpacked(result["file"], tmp_path / "restored.db")
    assert dumped(restored) == dumped(source)
    with closing(sqlite3.connect(restored)) as connection, connection:
        connection.execute("INSERT INTO sessions VALUES ('new', NULL)")
        assert connection.execute("SELECT text FROM words WHERE words MATCH 'backup'").fetchall() == [("backup",)]
    assert verify_backup(Path(result["file"])).content.tables == result["tables"]


async def test_sha256sum_checks_it(settings: BackupSettings):
    """The file beside it is what `sha256sum --check` reads."""
    result = await back_up(settings)
    checked = await asyncio.to_thread(
        subprocess.run,
        ["sha256sum", "--check", "--strict", f"{FIRST}.sha256"],
        cwd=Path(result["file"]).parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert checked.stdout == f"{FIRST}: OK\n"


async def test_nobody_else_may_read_it(settings: BackupSettings):
    """A backup holds what the database holds: only its owner reads it, in folders that only he enters."""
    result = await back_up(settings, target="daily")
    file = Path(result["file"])
    assert [path.stat().st_mode & 0o777 for path in (file, file.parent, file.parent.parent)] == [0o600, 0o700, 0o700]


async def test_seven_are_kept(settings: BackupSettings):
    """The eighth day removes the first day's backup and its checksum, and says so."""
    clock = FakeClock(NOW)
    for _ in range(7):
        assert (await back_up(settings, clock))["removed"] == []
        await clock.advance(timedelta(days=1))
    assert (await back_up(settings, clock))["removed"] == [FIRST]
    kept = names(Path(settings.root))
    assert len(kept) == 14
    assert kept[0] == "DB-20260201T100000Z.db.zst"


async def test_a_failed_backup_removes_nothing(settings: BackupSettings, source: Path):
    """The last good one stays, however often the next ones fail."""
    await back_up(settings, keep=1)
    source.unlink()
    clock = FakeClock(NOW + timedelta(days=400))
    with pytest.raises(BindingError, match="there is no such file"):
        await back_up(settings, clock, keep=1)
    assert names(Path(settings.root)) == [FIRST, f"{FIRST}.sha256"]


async def test_a_missing_source_is_not_created(settings: BackupSettings, source: Path):
    """Opening it as a binding would create it, and the backups of an empty database push out the good ones."""
    source.unlink()
    fate = await attempt(backup_database, context(HANDLER, {}, BACKUP=settings))
    assert fate.kind is FailureKind.ERROR
    assert fate.error == f"BindingError: DB: {source}: there is no such file"
    assert not source.exists()
    assert names(Path(settings.root)) == []


async def test_the_service_backs_itself_up_while_it_runs(tmp_path: Path):
    """`schedule` is the service's own database; its lock keeps servers out, not its own backup."""
    path = tmp_path / "schedule.db"
    store = await open_store(path, Hub())
    settings = BackupSettings(sources={"schedule": f"sqlite:///{path}"}, root=str(tmp_path / "backups"))
    result = await back_up(settings, source="schedule")
    await store.close()
    assert Path(result["file"]).name == "schedule-20260131T100000Z.db.zst"
    assert dumped(unpacked(result["file"], tmp_path / "restored.db")) == dumped(path)


async def test_two_at_once_do_not_meet(settings: BackupSettings):
    """Both are good, under two names of the same second; neither rotates the other away."""
    first, second = await asyncio.gather(back_up(settings), back_up(settings))
    files = sorted(Path(each["file"]).name for each in (first, second))
    assert files == ["DB-20260131T100000Z-2.db.zst", FIRST]
    for result in (first, second):
        assert verify_backup(Path(result["file"])).sha256 == result["sha256"]
    assert len(names(Path(settings.root))) == 4


async def test_a_stranger_s_file_of_the_same_name_is_not_overwritten(settings: BackupSettings):
    """The next number is taken."""
    Path(settings.root).mkdir()
    stranger = Path(settings.root) / FIRST
    stranger.write_text("mine")
    assert Path((await back_up(settings))["file"]).name == "DB-20260131T100000Z-2.db.zst"
    assert stranger.read_text() == "mine"


class Writer:
    """Puts a row into two tables in each transaction, one after the other, until it is stopped."""

    def __init__(self, path: Path) -> None:
        self.committed = 0
        self.moved = threading.Condition()
        self.stopped = False
        self._path = path

    def write(self) -> None:
        """Write; nobody may make a transaction wait for half a second."""
        with closing(sqlite3.connect(self._path, isolation_level=None, timeout=0.5)) as connection:
            connection.execute("PRAGMA synchronous = OFF")
            while not self.stopped:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("INSERT INTO lefts (text) VALUES ('x')")
                connection.execute("INSERT INTO rights (text) VALUES ('x')")
                connection.execute("COMMIT")
                with self.moved:
                    self.committed += 1
                    self.moved.notify_all()

    def wait_for_more(self, transactions: int) -> None:
        """Return once so many more have been committed."""
        with self.moved:
            wanted = self.committed + transactions
            assert self.moved.wait_for(lambda: self.committed >= wanted, timeout=60)


async def test_a_backup_while_writers_write_is_of_one_moment(settings: BackupSettings, source: Path, tmp_path: Path):
    """Of 100,000 rows, and of those that are committed while it is half copied, it has what was there as it began."""
    fill = (
        "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 50000)"
        " SELECT n, hex(zeroblob(50)) FROM n"
    )
    with closing(sqlite3.connect(source)) as connection:
        for table in ("lefts", "rights"):
            connection.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, text)")
            connection.execute(f"INSERT INTO {table} {fill}")
        connection.commit()
    writer = Writer(source)
    writing = asyncio.create_task(asyncio.to_thread(writer.write))
    await asyncio.to_thread(writer.wait_for_more, 100)
    steps = []

    def report(_fraction: float, text: str) -> None:
        if text == "writing":
            steps.append(writer.committed)
            if len(steps) == 1:
                writer.wait_for_more(500)

    before = writer.committed
    result = await backup_database(context(HANDLER, {}, BACKUP=settings, report=report))
    writer.stopped = True
    await writing
    assert len(steps) > 2
    assert 50_000 + before <= result["tables"]["lefts"] == result["tables"]["rights"] <= 50_001 + steps[0]
    with closing(sqlite3.connect(unpacked(result["file"], tmp_path / "restored.db"))) as connection:
        assert connection.execute("SELECT * FROM lefts EXCEPT SELECT * FROM rights").fetchall() == []


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ({"source": "NONE"}, "payload.source: there is no database 'NONE' (databases: DB)"),
        ({"source": 1}, "payload.source: 1 is not a text"),
        ({"keep": 0}, "payload.keep: 0 is not a whole number from 1 to 10000"),
        ({"keep": True}, "payload.keep: True is not a whole number from 1 to 10000"),
        ({"keep": "7"}, "payload.keep: '7' is not a whole number from 1 to 10000"),
        ({"compression": "lzma"}, "payload.compression: 'lzma' is neither zstd nor gzip"),
        ({"keeps": 30}, "payload.keeps: there is no such field (source, target, keep, compression)"),
    ],
)
async def test_a_payload_that_cannot_be_meant_is_not_retried(
    settings: BackupSettings, payload: dict[str, Any], reason: str
):
    """It names the field and the reason."""
    fate = await attempt(backup_database, context(HANDLER, payload, BACKUP=settings))
    assert (fate.kind, fate.error) == (FailureKind.REJECTED, reason)


async def test_what_is_no_database_cannot_be_backed_up(tmp_path: Path):
    """A binding that is not one says so, without its URL."""
    settings = BackupSettings(sources={"AI": "https://user:secret@ai.example/v1"}, root=str(tmp_path))
    with pytest.raises(PermanentFailure, match=r"^AI is neither") as caught:
        await back_up(settings, source="AI")
    assert "secret" not in str(caught.value) + repr(settings)
