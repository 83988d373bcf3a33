"""What is given away for deploying: nobody is let in who was not meant."""

import json
import re
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from schedule_grpc.cli.main import app
from schedule_grpc.settings.config import Settings, addresses

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def test_the_image_listens_on_its_own_loopback_only():
    """Whoever runs it says otherwise, with --insecure-bind."""
    instructions = [line for line in (DEPLOY / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    assert 'CMD ["serve"]' in instructions
    assert not re.search(r"0\.0\.0\.0|insecure", "\n".join(instructions), re.IGNORECASE)
    assert (addresses(Settings().grpc), addresses(Settings().http.address)) == ("127.0.0.1:50051", "127.0.0.1:8787")


def test_the_compose_file_lets_nobody_in_unless_that_is_said():
    """Ports are published to this machine only, and the bind is allowed by a variable that has no default."""
    api, engine, postgres = (COMPOSE["services"][name] for name in ("api", "engine", "postgres"))
    assert api["ports"] == ["127.0.0.1:50051:50051", "127.0.0.1:8787:8787"]
    assert api["environment"]["SCHEDULE_INSECURE_BIND"].startswith("${SCHEDULE_INSECURE_BIND:?")
    assert not any("insecure" in word for service in (api, engine) for word in service["command"])
    assert "--grpc" not in engine["command"]  # so it listens on its own loopback only
    assert "ports" not in engine
    assert "ports" not in postgres
    assert "callers" not in engine["networks"] + postgres["networks"]
    assert COMPOSE["networks"]["inside"]["internal"]


def test_the_platform_of_the_compose_file_is_given_its_tables():
    """The variable is a table that the settings understand."""
    told = COMPOSE["services"]["engine"]["environment"]["SCHEDULE_BINDINGS__DB"]
    assert json.loads(told)["create_tables"] is True


@pytest.mark.parametrize("service", ["api", "engine"])
def test_the_commands_of_the_compose_file_are_understood(service: str):
    """With the options that `serve` has."""
    assert CliRunner().invoke(app, [*COMPOSE["services"][service]["command"], "--help"]).exit_code == 0
