"""Clients by fetch at the port of HTTP: the examples in Node and in workerd do what their READMEs say."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.callers.tour import ERROR, is_whole
from support.machine.node import made, needs_node, run
from support.machine.wall_clock import quiet
from support.servers.process import Server, serving

README = (Path(__file__).parents[2] / "README.md").read_text()

pytestmark = [pytest.mark.slow, pytest.mark.keyless, needs_node]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the built-in handlers and what they need; each test has tasks of its own."""
    folder = tmp_path_factory.mktemp("server")
    with serving(folder, "--http", "127.0.0.1:0", "--init", handlers=None, **quiet()) as running:
        yield running


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of examples/fetch-client."""
    return made("fetch-client", tmp_path_factory.mktemp("client"))


@pytest.mark.parametrize(
    ("protocol", "shown"),
    [
        ("connect", "connect-es in Node, Connect"),
        ("get", "connect-es in Node, Connect with GET"),
        ("grpc-web", "connect-es in Node, gRPC-Web"),
    ],
)
def test_the_example_in_node(
    server: Server, client: Path, protocol: str, shown: str, record_property: Callable[[str, object], None]
):
    """Connect's own client with code that is generated from the contract, by fetch alone."""
    answers = json.loads(run("node", "calls.js", f"http://{server.http_address}", protocol, folder=client))
    assert answers.pop("error") == ERROR
    is_whole(answers, shown, f"fetch-{protocol}", record_property)


def test_the_readme_of_the_service(server: Server, client: Path):
    """Its JavaScript runs as it stands there."""
    part = README.partition("### fetch\n")[2].partition("\n## ")[0]
    (snippet,) = re.findall(r"^```js\n(.*?)^```", part, re.MULTILINE | re.DOTALL)
    snippet = snippet.replace("127.0.0.1:8787", str(server.http_address)) + "console.log(success, execution.taskName)"
    (client / "readme.js").write_text(snippet)
    assert run("node", "readme.js", folder=client).split()[0] in ("true", "false")


def test_the_example_in_workerd(server: Server, tmp_path: Path, record_property: Callable[[str, object], None]):
    """The same client in the runtime of Cloudflare's Workers, which has fetch and little else."""
    folder = made("cloudflare-worker", tmp_path)
    run("npm", "run", "check", folder=folder)
    run("npm", "run", "build", folder=folder)
    answers = json.loads(run("node", "try.js", f"http://{server.http_address}", folder=folder))
    assert answers.pop("error") == ERROR
    is_whole(answers, "connect-es in workerd", "from-a-worker", record_property)
