"""A server that is started as its image starts it, but for the ports: strangers may ask for its health alone."""

import json
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from support.patience import AT_MOST
from support.servers.process import Server, run, serving

DOCKERFILE = Path(__file__).parents[2] / "deploy" / "Dockerfile"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image's volume."""
    return tmp_path_factory.mktemp("volume")


@pytest.fixture(scope="module")
def image(folder: Path) -> Iterator[Server]:
    """The server of the image's command, in its environment."""
    written = DOCKERFILE.read_text()
    variables = dict(re.findall(r"^ENV (SCHEDULE_\w+)=(\S+)$", written, re.MULTILINE))
    command = re.search(r"^CMD (.+)$", written, re.MULTILINE)
    assert command is not None
    name, *options = json.loads(command[1])
    assert name == "serve"
    with serving(folder, "--http", "127.0.0.1:0", *options, handlers=None, **variables) as server:
        yield server


def test_strangers_may_ask_for_health_alone(image: Server):
    """Neither over gRPC nor over HTTP anything else."""
    done = run("tasks", "list", "--server", image.address)
    assert (done.returncode, "Authentication required" in done.stderr) == (1, True)
    with httpx2.Client(base_url=f"http://{image.http_address}", timeout=AT_MOST, trust_env=False) as web:
        codes = {path: web.get(path).status_code for path in ("/health", "/tasks", "/metrics", "/docs", "/")}
    assert codes == {"/health": 200, "/tasks": 401, "/metrics": 401, "/docs": 401, "/": 401}


def test_the_first_key_is_in_the_volume(image: Server, folder: Path):
    """For its owner only; with it everything can be done, such as making the next key."""
    file = folder / "bootstrap.key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    token = ("--server", image.address, "--token-file", str(file))
    assert run("keys", "create", "reports-ci", "--grant", "write@default", *token).returncode == 0
    assert "reports-ci" in run("keys", "list", *token).stdout
