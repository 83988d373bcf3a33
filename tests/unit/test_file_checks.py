"""Which files of a server a doctor finds open to others."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from schedule_grpc.cli.commands.doctor.file_checks import open_files
from schedule_grpc.settings.config import load

EVERYBODY = "everybody on this machine"


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory that others may enter; pytest's own keep them out."""
    before = os.umask(0o022)
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        monkeypatch.chdir(made)
        yield Path(made)
    os.umask(before)


def test_every_place_of_a_secret_is_looked_at(folder: Path):
    """Databases and what lies beside them, secret files, backups; and the configuration that has a password."""
    for name in (
        *("schedule.db", "platform.db", "platform.db-wal", "webhook-secret", "keys/a", "key", "reports"),
        *("mine.key", "first.key", "issuer-token"),
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    for name in ("DB-20260131T000000Z.db.zst", "DB-20260131T000000Z.db.zst.sha256", "DB-20260201T000000Z.db.zst"):
        (folder / "backups").mkdir(exist_ok=True)
        (folder / "backups" / name).touch()
    (folder / "schedule.toml").write_text(
        '[bindings]\nX = "postgresql://ana:hunter22@h/d"\nAI = { url = "https://h/v1", key_file = "key" }\n'
        '[alerts]\nsecret_file = "webhook-secret"\n[http_request]\nsecrets_dir = "keys"\n'
        '[http_request.secrets.REPORTS]\nfile = "reports"\nhosts = ["h"]\nnamespaces = ["reports"]\n'
        '[auth]\nbootstrap_key_file = "first.key"\n'
        '[[auth.jwt]]\nissuer = "i"\naudience = "a"\njwks_url = "https://h/j"\njwks_token_file = "issuer-token"\n'
        'subjects = [{ sub = "s", grants = ["read@reports"] }]\n'
    )
    found = list(open_files(load({}), Path("schedule.toml"), Path("mine.key")))
    assert [Path(place).name for place, _ in found] == [
        "mine.key",
        "schedule.toml",
        "schedule.db",
        "platform.db",
        "platform.db-wal",
        "key",
        "first.key",
        "issuer-token",
        "webhook-secret",
        "a",
        "reports",
        "DB-20260131T000000Z.db.zst and 1 more backups",
    ]
    assert {readers for _, readers in found} == {EVERYBODY}


def test_what_is_private_or_no_secret_is_not_told(folder: Path):
    """A configuration without a secret may be read, and so may checksums."""
    (folder / "backups").mkdir()
    (folder / "backups" / "DB-20260131T000000Z.db.zst.sha256").touch()
    (folder / "schedule.db").touch(mode=0o600)
    (folder / "schedule.toml").write_text('[bindings]\nAI = { url = "https://h/v1", key_env = "KEY" }\n')
    assert list(open_files(load({}), Path("schedule.toml"))) == []


@pytest.mark.parametrize(
    "told",
    [
        '[alerts]\nurls = ["https://hooks.example/a"]',
        '[backup.store_options]\nsecret_access_key = "hunter22"',
        '\ufeff[alerts]\nurls = ["https://hooks.example/a"]',
    ],
)
def test_a_configuration_that_holds_a_secret_is_told(folder: Path, told: str):
    """Whoever knows a webhook's URL may post to it."""
    (folder / "schedule.toml").write_text(told)
    assert list(open_files(load({}), Path("schedule.toml"))) == [("schedule.toml", EVERYBODY)]
