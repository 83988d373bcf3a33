"""Settings: where they come from, and what is refused."""

from datetime import timedelta
from pathlib import Path

import pytest

from schedule_grpc.config import keys, load
from schedule_grpc.errors import ConfigurationError


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch):
    """No schedule.toml but the test's own."""
    monkeypatch.chdir(tmp_path)


def test_defaults():
    """What a newcomer gets."""
    settings = load({})
    assert (settings.database, settings.grpc, settings.http) == (
        "sqlite:///schedule.db",
        "127.0.0.1:50051",
        "127.0.0.1:8787",
    )
    assert (settings.concurrency, settings.drain_timeout) == (100, timedelta(seconds=30))
    assert settings.bindings == {"DB": "sqlite:///platform.db"}


def test_flags_before_environment_before_file(tmp_path: Path, monkeypatch):
    """Each source yields to the one before it, key by key."""
    (tmp_path / "schedule.toml").write_text(
        'concurrency = 1\ndrain_timeout = "1m"\nlog_level = "debug"\n'
        '[bindings]\nDB = "sqlite:///a.db"\nMORE = "sqlite:///m"\n'
    )
    monkeypatch.setenv("SCHEDULE_CONCURRENCY", "2")
    monkeypatch.setenv("SCHEDULE_DRAIN_TIMEOUT", "500ms")
    monkeypatch.setenv("SCHEDULE_BINDINGS__DB", "sqlite:///b.db")
    monkeypatch.setenv("SCHEDULE_HANDLERS", "a.b, c")
    settings = load({"concurrency": 3, "grpc": None})
    assert settings.concurrency == 3
    assert settings.drain_timeout == timedelta(milliseconds=500)
    assert settings.log_level == "debug"
    assert settings.bindings == {"DB": "sqlite:///b.db", "MORE": "sqlite:///m"}
    assert settings.handlers == ["a.b", "c"]


def test_an_unknown_key_in_the_file_is_refused(tmp_path: Path):
    """Naming key and file, with the keys there are."""
    (tmp_path / "mine.toml").write_text("concurency = 1\n")
    with pytest.raises(ConfigurationError, match=r"mine\.toml: unknown key concurency \(keys: .*concurrency"):
        load({}, file=tmp_path / "mine.toml")


def test_foreign_variables_are_none_of_our_business(monkeypatch):
    """Kubernetes sets SCHEDULE_PORT beside a service named schedule."""
    monkeypatch.setenv("SCHEDULE_PORT", "tcp://10.0.0.1:50051")
    assert load({}).grpc == "127.0.0.1:50051"


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ({"database": "postgresql://x"}, "database: 'postgresql://x' is not sqlite:///PATH"),
        ({"database": "sqlite:///"}, "database: "),
        ({"grpc": "50051"}, "grpc: '50051' is not HOST:PORT"),
        ({"http": "127.0.0.1:99999"}, "http: "),
        ({"grpc": "0.0.0.0:50051"}, "insecure_bind"),
        ({"grpc": "example.org:50051"}, "insecure_bind"),
        ({"concurrency": 0}, "concurrency: "),
        ({"drain_timeout": "forever"}, "drain_timeout: "),
        ({"drain_timeout": "2h"}, "drain_timeout: "),
        ({"log_format": "xml"}, "log_format: "),
        ({"bindings": {"d-b": "sqlite:///x"}}, "'d-b' is not a name such as DB"),
    ],
)
def test_bad_values_are_refused(flags: dict, reason: str):
    """With key and reason."""
    with pytest.raises(ConfigurationError) as caught:
        load(flags)
    assert reason in str(caught.value)


@pytest.mark.parametrize("address", ["localhost:1", "127.0.0.9:1", "[::1]:1"])
def test_loopback_needs_no_permission(address: str):
    """Names and addresses of this machine alone."""
    assert load({"grpc": address}).grpc == address


def test_an_open_address_needs_a_word():
    """With insecure_bind it is accepted."""
    assert load({"grpc": "0.0.0.0:1", "insecure_bind": True}).insecure_bind is True


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path):
    """Missing, or not TOML."""
    with pytest.raises(ConfigurationError, match="missing"):
        load({}, file=tmp_path / "missing.toml")
    (tmp_path / "bad.toml").write_text("= 1")
    with pytest.raises(ConfigurationError, match=r"bad\.toml"):
        load({}, file=tmp_path / "bad.toml")


def test_every_key_has_a_meaning():
    """The table of settings has no empty cell but defaults that are empty."""
    assert all(key.meaning for key in keys())
