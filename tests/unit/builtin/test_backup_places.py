"""Where backups may go: a folder inside the root, or a URL that is allowed."""

import sqlite3
import sys
import traceback
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import obstore
import pytest
from obstore.store import LocalStore
from support.rigs.builtin_handler import NOW, attempt, context

from schedule_grpc.backup import BackupFailed, BackupSettings, verify_backup
from schedule_grpc.backup.names import Name
from schedule_grpc.backup.packing import CHUNK
from schedule_grpc.backup.places import StorePlace
from schedule_grpc.builtin.backup_database import backup_database
from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.handlers import PermanentFailure
from schedule_grpc.runtime.threads import Stopped
from schedule_grpc.testing import FakeClock

HANDLER = "backup-database"
BACKUP = "DB-20260131T100000Z.db.zst"
BOTH = [BACKUP, f"{BACKUP}.sha256"]


@pytest.fixture
def source(tmp_path: Path) -> str:
    """A database."""
    path = tmp_path / "platform.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE sessions (id)")
    return f"sqlite:///{path}"


@pytest.fixture
def settings(tmp_path: Path, source: str) -> BackupSettings:
    """Backups of that database into a folder."""
    (tmp_path / "backups").mkdir()
    return BackupSettings(sources={"DB": source}, root=str(tmp_path / "backups"))


async def back_up(settings: BackupSettings, clock: FakeClock | None = None, **payload: Any) -> str:
    """Run the handler; return where the backup is."""
    result = await backup_database(context(HANDLER, payload, clock=clock, BACKUP=settings))
    return str(result["file"])


def names(folder: Path) -> list[str]:
    """Return what is in a folder."""
    return sorted(entry.name for entry in folder.iterdir())


@pytest.mark.parametrize(
    ("target", "folder"), [("", ""), (".", ""), ("daily", "daily"), ("daily/db 1", "daily/db 1"), ("Übung", "Übung")]
)
async def test_a_folder_inside_the_root(settings: BackupSettings, target: str, folder: str):
    """It is made where it is missing; the root itself is the default."""
    file = Path(await back_up(settings, target=target))
    assert file == Path(settings.root) / folder / BACKUP
    assert verify_backup(file).content.tables == {"sessions": 0}


@pytest.mark.parametrize(
    "target",
    [
        "..",
        "../elsewhere",
        "daily/../../elsewhere",
        "/elsewhere",
        "//elsewhere",
        "daily//x",
        "daily/",
        "./daily",
        "daily/.",
        "~/x/..",
        "daily\\..\\..",
        "daily\0",
        "daily\n",
        ".schedule-backup-x",
    ],
)
async def test_what_leaves_the_root_is_refused(settings: BackupSettings, tmp_path: Path, target: str):
    """Whatever the spelling, before anything is made, and without a retry."""
    fate = await attempt(backup_database, context(HANDLER, {"target": target}, BACKUP=settings))
    assert fate.kind is FailureKind.REJECTED
    assert fate.error == f"payload.target: {target!r} is no folder inside the configured root"
    assert names(tmp_path) == ["backups", "platform.db"]
    assert names(tmp_path / "backups") == []


@pytest.mark.parametrize("target", ["link", "link/below", "chain", "inside/up"])
async def test_a_link_that_leaves_the_root_is_refused(settings: BackupSettings, tmp_path: Path, target: str):
    """Directly, above the target, through another link, or relative: nothing is made where it leads."""
    root, elsewhere = tmp_path / "backups", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (root / "inside").mkdir()
    (root / "link").symlink_to(elsewhere)
    (root / "chain").symlink_to("link")
    (root / "inside" / "up").symlink_to("../..")
    with pytest.raises(PermanentFailure, match="is a link that leaves the configured root"):
        await back_up(settings, target=target)
    assert names(elsewhere) == []


async def test_links_that_stay_inside_are_followed(settings: BackupSettings, tmp_path: Path):
    """A root that is a link itself (a mounted disk), and a link within it."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "2026").mkdir()
    (tmp_path / "disk" / "newest").symlink_to("2026")
    (tmp_path / "linked").symlink_to("disk")
    linked = BackupSettings(sources=settings.sources, root=str(tmp_path / "linked"))
    await back_up(linked, target="newest")
    assert names(tmp_path / "disk" / "2026") == BOTH


async def test_rotation_follows_no_link_and_enters_no_folder(settings: BackupSettings):
    """What has a backup's name but is no file is left alone, and so is what a link of that name points to."""
    root = Path(settings.root)
    old = "DB-20200101T000000Z.db.zst"
    (root / "precious").write_text("x")
    (root / old).symlink_to("precious")
    (root / f"{old}.sha256").write_text("x")
    (root / "DB-20200102T000000Z.db.zst").mkdir()
    await back_up(settings, keep=1)
    assert names(root) == sorted([*BOTH, "DB-20200102T000000Z.db.zst", old, "precious"])


async def test_a_url_as_root(source: str, tmp_path: Path):
    """Targets lie below it as in a folder, old backups go, and only our own are touched."""
    (tmp_path / "bucket" / "daily").mkdir(parents=True)
    root = f"file://{tmp_path}/bucket"
    settings = BackupSettings(sources={"DB": source}, root=root)
    clock = FakeClock(NOW)
    made = []
    for _ in range(3):
        made.append(await back_up(settings, clock, target="daily", keep=2))
        await clock.advance(timedelta(days=1))
    assert made[0] == f"{root}/daily/{BACKUP}"
    assert names(tmp_path / "bucket" / "daily") == [
        Path(each).name + ending for each in made[1:] for ending in ("", ".sha256")
    ]
    assert verify_backup(Path(made[2].removeprefix("file://"))).content.tables == {"sessions": 0}


async def test_two_of_one_second_have_two_names_in_a_bucket(source: str, tmp_path: Path):
    """Whoever creates the checksum has the name."""
    (tmp_path / "bucket").mkdir()
    settings = BackupSettings(sources={"DB": source}, root=f"file://{tmp_path}/bucket")
    assert [await back_up(settings) for _ in range(2)] == [
        f"file://{tmp_path}/bucket/{BACKUP}",
        f"file://{tmp_path}/bucket/DB-20260131T100000Z-2.db.zst",
    ]


@pytest.mark.parametrize(
    "root",
    ["memory:///", "s3://bucket?secret=s3cret", "s3://id:s3cret@bucket/#x", "s3://id:s3cret@", "none://s3cret@x"],
)
async def test_a_root_that_keeps_nothing_or_cannot_be_read_is_refused(source: str, root: str):
    """A store in memory is gone with the attempt; and no error repeats what is secret in a URL."""
    settings = BackupSettings(sources={"DB": source}, root=root)
    with pytest.raises(PermanentFailure, match=r"^backup to ") as caught:
        await back_up(settings, target="daily")
    assert "s3cret" not in str(caught.value)


async def test_a_store_that_is_away_is_told_without_its_secrets(source: str):
    """Neither those of the URL nor those of the options, though obstore's own words quote the endpoint."""
    options = {
        "endpoint": "http://id:s3cret@127.0.0.1:1",
        "access_key_id": "AKIA1234",
        "secret_access_key": "geheim",
        "client_options": {"allow_http": True},
        "retry_config": {"max_retries": 0},
    }
    settings = BackupSettings(sources={"DB": source}, root="s3://id:t0psecret@bucket", store_options=options)
    with pytest.raises(BackupFailed, match=r"^s3://\*\*\*@bucket: .*http://id:\*\*\*@127\.0\.0\.1:1/bucket") as caught:
        await back_up(settings)
    whole = "".join(traceback.format_exception(caught.value))
    assert not [secret for secret in ("s3cret", "geheim", "t0psecret") if secret in whole]


ALLOWED = ("s3://bucket/backups", "file:///allowed")


@pytest.mark.parametrize(
    "target",
    [
        "s3://other/backups",
        "s3://bucket",
        "s3://bucket/backups-of-others",
        "s3://bucket/backups/../private",
        "s3://bucket/backups/%2e%2e/private",
        "s3://user:s3cret@bucket/backups",
        "s3://[bucket/backups",
        "s3://bucket/backups?endpoint=http://evil.example",
        "s3://bucket/backups#x",
        "gs://bucket/backups",
        "file:///",
        "file:///allowed/../etc",
        "file:///allowed\\..\\etc",
        "memory:///",
        "https://evil.example/",
    ],
)
async def test_a_url_that_nobody_allowed_is_refused(source: str, tmp_path: Path, target: str):
    """A payload cannot send a database to somebody else's bucket, nor out of the root by a file URL."""
    settings = BackupSettings(sources={"DB": source}, root=str(tmp_path / "backups"), allow_urls=ALLOWED)
    with pytest.raises(PermanentFailure, match="is at none of the URLs allowed by") as caught:
        await back_up(settings, target=target)
    assert "s3cret" not in str(caught.value)


async def test_a_url_that_is_allowed(settings: BackupSettings, tmp_path: Path):
    """At or below one of those in the configuration."""
    bucket = tmp_path / "bucket" / "here"
    bucket.mkdir(parents=True)
    allowing = BackupSettings(sources=settings.sources, root=settings.root, allow_urls=(f"file://{bucket.parent}",))
    assert await back_up(allowing, target=f"file://{bucket}/") == f"file://{bucket}/{BACKUP}"
    assert names(bucket) == BOTH
    assert names(Path(settings.root)) == []


async def test_a_bucket_that_is_not_there_is_told(source: str, tmp_path: Path):
    """In obstore's words, without its stack of sources."""
    settings = BackupSettings(sources={"DB": source}, root=f"file://{tmp_path}/missing")
    with pytest.raises(PermanentFailure, match=r"^backup to file://.*: [^\n]*root: [^\n]*/missing$"):
        await back_up(settings)


async def test_an_upload_that_did_not_arrive_leaves_nothing(
    settings: BackupSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The bucket loses the last byte: what is read again has another checksum, and goes, as does its checksum."""
    bucket = tmp_path / "bucket"
    bucket.mkdir()
    put = obstore.put

    def lossy(store: LocalStore, name: str, content: Any, **options: Any) -> Any:
        whole = content if isinstance(content, bytes) else b"".join(content)
        return put(store, name, whole if name.endswith(".sha256") else whole[:-1], **options)

    monkeypatch.setattr(obstore, "put", lossy)
    stored = BackupSettings(sources=settings.sources, root=f"file://{bucket}")
    with pytest.raises(BackupFailed, match="what was read again is not what was written"):
        await back_up(stored)
    assert names(bucket) == []


async def test_an_upload_that_fails_leaves_nothing(settings: BackupSettings, tmp_path: Path):
    """The bucket vanishes while the backup is made."""
    bucket = tmp_path / "bucket"
    bucket.mkdir()

    def report(_fraction: float, text: str) -> None:
        if text == "publishing":
            bucket.rmdir()
            bucket.write_text("no folder any more")

    stored = BackupSettings(sources=settings.sources, root=f"file://{bucket}")
    fate = await attempt(backup_database, context(HANDLER, {}, BACKUP=stored, report=report))
    assert fate.kind is FailureKind.ERROR
    assert fate.error is not None
    assert fate.error.startswith(f"BackupFailed: file://{bucket}: ")
    assert "\n" not in fate.error


@pytest.mark.parametrize("looks", [0, 3, 4])
async def test_an_upload_that_is_not_wanted_any_more_leaves_nothing(tmp_path: Path, source: str, looks: int):
    """Stopped before its first piece, between two, or while it is read again."""
    bucket = tmp_path / "bucket"
    bucket.mkdir()
    packed = tmp_path / "packed"
    packed.write_bytes(bytes(4 * CHUNK))
    place = StorePlace(f"file://{bucket}", BackupSettings(sources={"DB": source}))
    name = Name(source="DB", time=NOW, kind="db", packed="zst")
    left = iter([False] * looks)
    with pytest.raises(Stopped):
        place.publish(packed, name, "0" * 64, unwanted=lambda: next(left, True))
    assert names(bucket) == []


async def test_a_file_that_cannot_take_its_place_leaves_no_checksum(settings: BackupSettings):
    """What was made is gone before it could be renamed."""
    root = Path(settings.root)

    def report(_fraction: float, text: str) -> None:
        if text == "publishing":
            (packed,) = root.glob(".schedule-backup-*/packed")
            packed.unlink()

    with pytest.raises(BackupFailed, match=f"{BACKUP}: No such file or directory"):
        await backup_database(context(HANDLER, {}, BACKUP=settings, report=report))
    assert names(root) == []


@pytest.mark.parametrize(
    ("missing", "root", "payload", "words"),
    [
        ("obstore", "s3://bucket", {}, r"pip install 'schedule-grpc\[storage\]'"),
        ("zstandard", "", {"compression": "zstd"}, "pip install zstandard"),
    ],
)
async def test_a_missing_package_is_named(
    settings: BackupSettings,
    monkeypatch: pytest.MonkeyPatch,
    missing: str,
    root: str,
    payload: dict[str, Any],
    words: str,
):
    """The error says what to install; no retry would help."""
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(PermanentFailure, match=words):
        await back_up(BackupSettings(sources=settings.sources, root=root or settings.root), **payload)


async def test_gzip_where_zstandard_is_missing(settings: BackupSettings, monkeypatch: pytest.MonkeyPatch):
    """Nothing need be installed for a backup, nor to verify it."""
    monkeypatch.setitem(sys.modules, "zstandard", None)
    file = Path(await back_up(settings))
    assert file.name == "DB-20260131T100000Z.db.gz"
    assert verify_backup(file).content.tables == {"sessions": 0}
