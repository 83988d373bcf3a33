"""The Dockerfile of three lines: handlers in the image of the service, started as a container of it would be."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
from support.machine.wall_clock import quiet
from support.servers.process import serving

from schedule_grpc.client import Client

ROOT = Path(__file__).parents[2]
FILE = (ROOT / "deploy" / "Dockerfile.handlers").read_text()
BUILD = re.search(r"docker build --file deploy/Dockerfile.handlers --tag \S+ (\S+)", FILE)


def instructions() -> dict[str, list[str]]:
    """Return the arguments of each instruction; none of them is there twice."""
    lines = [line for line in FILE.splitlines() if line and not line.startswith("#")]
    found = {name: shlex.split(rest) for name, _, rest in (line.partition(" ") for line in lines)}
    assert len(found) == len(lines) == 3
    return found


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The root folder of such an image, as far as its lines change the one below."""
    assert BUILD is not None
    *sources, target = instructions()["COPY"]
    assert target.endswith("/")
    folder = tmp_path / target.strip("/")
    folder.mkdir(parents=True)
    for source in sources:
        shutil.copy(ROOT / BUILD[1] / source, folder)
    (tmp_path / "work").mkdir()
    return tmp_path


def test_the_handlers_are_offered(image: Path):
    """From another working directory than their own, with the variables of the image and nothing else."""
    variables = dict(each.split("=", 1) for each in instructions()["ENV"])
    variables["PYTHONPATH"] = str(image / variables["PYTHONPATH"].lstrip("/"))
    with serving(image / "work", handlers=None, **quiet(), **variables) as server, Client(server.address) as client:
        assert {"import-invoices", "render-invoices"} <= {each.name for each in client.list_handlers()}


def test_the_document_shows_the_same_lines():
    """Word for word; and the same command that builds it."""
    document = (ROOT / "docs" / "kubernetes.md").read_text()
    lines = "".join(f"{line}\n" for line in FILE.splitlines() if line and not line.startswith("#"))
    assert f"```dockerfile\n{lines}```" in document
    assert BUILD is not None
    assert f"\n{BUILD[0]}\n" in document


def test_it_is_made_of_the_image_of_this_version():
    """The one that `make image` builds, as docs/kubernetes.md says."""
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    assert instructions()["FROM"] == [f"schedule-grpc:{version[1]}"]
    document = (ROOT / "docs" / "kubernetes.md").read_text()
    assert re.search(rf"^make image +# schedule-grpc:{re.escape(version[1])}$", document, re.MULTILINE)
    assert "--tag $(IMAGE):$(VERSION)" in (ROOT / "Makefile").read_text()
