"""What is given away for deploying: nobody is let in who was not meant."""

import json
import re
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from schedule_grpc.access.authenticator import Mode
from schedule_grpc.cli.main import app
from schedule_grpc.settings.config import Settings, addresses, load

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
INSTRUCTIONS = [line for line in (DEPLOY / "Dockerfile").read_text().splitlines() if not line.startswith("#")]


def test_the_image_listens_on_its_own_loopback_only():
    """Whoever runs it says otherwise, with TLS."""
    assert not re.search(r"0\.0\.0\.0|insecure", "\n".join(INSTRUCTIONS), re.IGNORECASE)
    assert (addresses(Settings().grpc), addresses(Settings().http.address)) == ("127.0.0.1:50051", "127.0.0.1:8787")


def test_the_image_asks_for_proofs_whatever_its_command():
    """The mode stands in its environment. tests/cli/test_deployed.py starts a server so."""
    assert "ENV SCHEDULE_AUTH__MODE=required" in INSTRUCTIONS
    assert 'CMD ["serve", "--bootstrap-key-file", "bootstrap.key"]' in INSTRUCTIONS


def test_the_configuration_of_the_unit_asks_for_proofs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Its first key goes into the state folder of the unit."""
    monkeypatch.chdir(tmp_path)
    settings = load({}, file=DEPLOY / "schedule.toml")
    assert (settings.auth.mode, settings.open_addresses) == (Mode.REQUIRED, ())
    unit = (DEPLOY / "schedule-grpc.service").read_text()
    state = re.search(r"^StateDirectory=(.+)$", unit, re.MULTILINE)
    assert state is not None
    assert settings.auth.bootstrap_key_file == Path("/var/lib") / state[1] / "bootstrap.key"
    assert "StateDirectoryMode=0700" in unit


def settings_of(service: str, patch: pytest.MonkeyPatch) -> Settings:
    """Return the settings of a service of the compose file, with ``word`` for each variable."""
    for name, value in COMPOSE["services"][service]["environment"].items():
        patch.setenv(name, re.sub(r"\$\{.*?\}", "word", value))
    command = COMPOSE["services"][service]["command"]
    return load({"engine": "--no-engine" not in command, "api": "--no-api" not in command})


def test_the_compose_file_lets_in_only_who_shows_a_key_over_tls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Ports are published to this machine only; health is asked on the container's loopback."""
    monkeypatch.chdir(tmp_path)
    api, engine, postgres = (COMPOSE["services"][name] for name in ("api", "engine", "postgres"))
    settings = settings_of("api", monkeypatch)
    assert (settings.auth.mode, settings.insecure_bind, settings.open_addresses) == (Mode.REQUIRED, False, ())
    listeners = (*settings.grpc, *settings.http.address)
    assert [each.address for each in listeners] == [
        "unix:/tmp/grpc.sock",
        "0.0.0.0:50051",
        "127.0.0.1:8787",
        "0.0.0.0:8443",
    ]
    for each in (listeners[1], listeners[3]):
        assert [each.tls_cert, each.tls_key] == [Path("/run/secrets") / name for name in api["secrets"]]
    assert set(api["secrets"]) == set(COMPOSE["secrets"])
    assert listeners[0].socket_mode == "600"
    assert api["environment"]["SCHEDULE_SERVER"] == listeners[0].address
    assert api["ports"] == ["127.0.0.1:50051:50051", "127.0.0.1:8443:8443"]
    assert "insecure" not in (DEPLOY / "compose.yaml").read_text().lower()
    assert "ports" not in engine
    assert "ports" not in postgres
    assert "callers" not in engine["networks"] + postgres["networks"]
    assert COMPOSE["networks"]["inside"]["internal"]


def test_the_engines_of_the_compose_file_listen_on_their_loopback_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Where their health is asked."""
    monkeypatch.chdir(tmp_path)
    settings = settings_of("engine", monkeypatch)
    assert (settings.auth.mode, settings.open_addresses) == (Mode.REQUIRED, ())
    assert (addresses(settings.grpc), addresses(settings.http.address)) == ("127.0.0.1:50051", "127.0.0.1:8787")


def test_the_platform_of_the_compose_file_is_given_its_tables():
    """The variable is a table that the settings understand."""
    told = COMPOSE["services"]["engine"]["environment"]["SCHEDULE_BINDINGS__DB"]
    assert json.loads(told)["create_tables"] is True


@pytest.mark.parametrize("service", ["api", "engine"])
def test_the_commands_of_the_compose_file_are_understood(service: str):
    """With the options that `serve` has."""
    assert CliRunner().invoke(app, [*COMPOSE["services"][service]["command"], "--help"]).exit_code == 0
