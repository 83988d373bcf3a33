"""`doctor` on who may call: open addresses, missing keys, keys that end soon."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.servers.process import Server, run, serving

from schedule_grpc.cli.commands.doctor.access_checks import access_configured
from schedule_grpc.settings.config import Settings


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A server's folder."""
    return tmp_path_factory.mktemp("keyed")


@pytest.fixture(scope="module")
def keyed(folder: Path) -> Iterator[Server]:
    """A server with keys that end at different times."""
    with serving(folder, "--bootstrap-key-file", "root.key", "--log-level", "error") as server:
        at = ("--server", server.address, "--token-file", "root.key")
        for name, grant, expires in (
            ("soon", "write@default", "10d"),
            ("later", "write@default", "15d"),
            ("revoked", "read@*", "3d"),
            ("observer", "observe@default", "2d"),
        ):
            out = ("--out", f"{name}.key")
            run("keys", "create", name, "--grant", grant, "--expires", expires, *out, *at, folder=folder)
        run("keys", "revoke", "revoked", *at, folder=folder)
        yield server


def told(folder: Path, *arguments: str) -> list[tuple[str, str]]:
    """Return the verdicts of a doctor on keys, each with what it told."""
    done = run("doctor", "--json", *arguments, folder=folder)
    return [(each["verdict"], each["told"]) for each in json.loads(done.stdout)["checks"] if each["check"] == "keys"]


def test_keys_that_end_within_two_weeks_are_told(folder: Path, keyed: Server):
    """To an administrator all of them; whether revoked ones end does not matter."""
    found = told(folder, "--server", keyed.address, "--token-file", "root.key")
    assert [(verdict, finding.partition(" expires at ")[0]) for verdict, finding in found] == [
        ("warn", "observer (default)"),
        ("warn", "soon (default)"),
    ]


def test_the_callers_own_key_is_told(folder: Path, keyed: Server):
    """Where it may not list keys."""
    ((verdict, finding),) = told(folder, "--server", keyed.address, "--token-file", "observer.key")
    assert (verdict, finding.startswith("observer (default) expires at 2")) == ("warn", True)
    found = told(folder, "--server", keyed.address, "--token-file", "later.key")
    assert found == [("ok", "none of your own expires within 14 days")]


def test_a_doctor_without_a_key_says_that_it_needs_one(folder: Path, keyed: Server):
    """The server's health needs none."""
    told_now = "the server asks who calls, and was shown no key that it accepts"
    assert told(folder, "--server", keyed.address) == [("warn", told_now)]


def test_a_key_that_others_can_read_is_told():
    """The one that the doctor was given; pytest's own folders keep others out."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        key = Path(made) / "mine.key"
        key.touch()
        key.chmod(0o644)
        done = run("doctor", "--json", "--server", "127.0.0.1:1", "--token-file", "mine.key", folder=Path(made))
    files = [each["told"] for each in json.loads(done.stdout)["checks"] if each["check"] == "files"]
    assert files == ["mine.key can be read by everybody on this machine"]


@pytest.mark.keyless
def test_namespaces_without_keys_are_told(tmp_path: Path):
    """One namespace without a key is how a service begins."""
    with serving(tmp_path, "--log-level", "error") as server:
        assert told(tmp_path, "--server", server.address) == [("ok", "there is none: callers need none")]
        run("namespaces", "create", "reports", "--server", server.address)
        ((verdict, finding),) = told(tmp_path, "--server", server.address)
    assert (verdict, finding.startswith("there is none, and 2 namespaces")) == ("warn", True)


@pytest.mark.parametrize(
    ("settings", "findings"),
    [
        ({}, []),
        ({"auth": {"mode": "permissive"}}, ["auth.mode is permissive: who proves nothing has admin@*, worker@*"]),
        (
            {"grpc": "0.0.0.0:1", "insecure_bind": True},
            ["insecure_bind: grpc: 0.0.0.0:1 can be reached by others, who prove nothing or show keys without TLS"],
        ),
    ],
)
def test_what_the_configuration_leaves_open_is_told(settings: dict[str, Any], findings: list[str]):
    """Before the server is asked."""
    checks = list(access_configured(Settings(**settings)))
    assert [check.finding for check in checks] == findings
    assert all(check.verdict == "warn" for check in checks)
