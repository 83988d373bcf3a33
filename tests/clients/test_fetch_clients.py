"""Clients of others at the port of HTTP: buf curl, curl, and Connect's own client in Node and in workerd."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.machine.wall_clock import quiet
from support.patience import AT_MOST
from support.servers.process import Server, serving

from schedule_grpc.client import Client

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
BIN = Path(sys.executable).parent
SERVICE = "schedule.v1.ScheduleService"
OLDEST = 20
"""The oldest version of Node that the example is for."""

pytestmark = [pytest.mark.slow, pytest.mark.keyless]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the built-in handlers and what they need; each test has tasks of its own."""
    folder = tmp_path_factory.mktemp("server")
    with serving(folder, "--http", "127.0.0.1:0", "--init", handlers=None, **quiet()) as running:
        yield running


def _run(*command: str | Path, folder: Path = ROOT, code: int = 0, timeout: float = AT_MOST) -> str:
    """Run a command with the tools of this environment; return what it printed."""
    path = f"{folder}/node_modules/.bin:{BIN}:{os.environ['PATH']}"
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"PATH": path, "NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == code, f"{command}: {done.stdout}\n{done.stderr}"
    return done.stdout or done.stderr


CALLS = [
    ("RegisterTask", {"schedule": "@daily", "handler": "check-rate-limits", "payload": {"limit": 7}}, "schedule"),
    ("GetTask", {}, "schedule"),
    ("ListTasks", {}, "tasks"),
    ("RunTaskNow", {}, "execution"),
    ("GetTaskHistory", {}, "executions"),
    ("DisableTask", {"note": "holiday"}, "schedule"),
    ("EnableTask", {}, "enabled"),
]
"""The calls that callers make most: what is sent beside the name, and a field of the answer."""


@pytest.mark.parametrize("protocol", ["connect", "grpcweb"])
def test_buf_curl(server: Server, protocol: str):
    """With the contract in place of reflection: each call, an error with its details, and a stream."""
    command = ("buf", "curl", "--protocol", protocol, "--schema", "protos")
    url = f"http://{server.http_address}/{SERVICE}"
    for rpc, fields, answered in CALLS:
        request = fields if rpc == "ListTasks" else {"name": f"buf-{protocol}"} | fields
        assert answered in json.loads(_run(*command, "-d", json.dumps(request), f"{url}/{rpc}")), rpc
    refused = json.loads(_run(*command, "-d", '{"name": "nothing"}', f"{url}/GetTask", code=5 << 3))
    assert (refused["code"], refused["details"][0]["type"]) == ("not_found", "google.rpc.ErrorInfo")
    watching = subprocess.Popen(
        [BIN / command[0], *command[1:], "-d", "{}", f"{url}/WatchExecutions"], cwd=ROOT, stdout=subprocess.PIPE
    )
    try:
        assert watching.stdout is not None
        assert watching.stdout.readline() == b"{}\n"  # it is open
        with Client(server.address) as client:
            client.run_task_now(f"buf-{protocol}")
        assert watching.stdout.read(50).startswith(b'{\n  "transition": {')
    finally:
        watching.kill()
        watching.communicate()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl(server: Server):
    """A call is a POST of JSON."""
    kind = ("-H", "content-type: application/json")
    url = f"http://{server.http_address}/{SERVICE}"
    for rpc, fields, answered in CALLS:
        request = fields if rpc == "ListTasks" else {"name": "curl"} | fields
        answer = json.loads(_run("curl", "-sS", *kind, "-d", json.dumps(request), f"{url}/{rpc}"))
        assert answered in answer, (rpc, answer)
    snippet = _part("### fetch").partition("```bash\n")[2].partition("```")[0]
    assert json.loads(_run("sh", "-c", snippet.replace("127.0.0.1:8787", str(server.http_address))))["name"]
    refused = json.loads(_run("curl", "-sS", *kind, "-d", '{"name":"nothing"}', f"{url}/GetTask"))
    assert (refused["code"], refused["message"]) == ("not_found", "Task not found: nothing")


def _part(heading: str) -> str:
    """Return a part of README, up to the next heading."""
    return (ROOT / "README.md").read_text().partition(f"{heading}\n")[2].partition("\n## ")[0]


def _missing() -> str:
    """Return what is missing to try the example; empty: nothing."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return "node or npm is not installed"
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    major = int(version.removeprefix("v").partition(".")[0])
    return "" if major >= OLDEST else f"Node {version.strip()} is older than {OLDEST}"


needs_node = pytest.mark.skipif(bool(_missing()), reason=_missing() or "Node is there")


def _made(example: str, place: Path) -> Path:
    """Return the folder of an example with what is locked and with its generated code, far from the repository."""
    folder = place / "examples" / example
    shutil.copytree(EXAMPLES / example, folder, ignore=shutil.ignore_patterns("node_modules", "contract", "dist"))
    shutil.copytree(ROOT / "protos", place / "protos")
    _run("npm", "ci", folder=folder)
    _run("npm", "run", "generate", folder=folder)
    return folder


@needs_node
def test_the_example_in_node(server: Server, tmp_path: Path):
    """Connect's own client with code that is generated from the contract, by fetch alone, in both protocols."""
    folder = _made("fetch-client", tmp_path)
    for protocol in ("connect", "grpc-web"):
        printed = _run("node", "calls.js", f"http://{server.http_address}", protocol, folder=folder).splitlines()
        assert printed == [
            f"registered fetch-{protocol} {{ limit: 500 }} true",
            "watching nothing yet",
            f"ran true fetch-{protocol}",
            "watched PENDING RUNNING SUCCEEDED",
            "disabled false",
            "enabled true",
            "read 0 9 * * 1",
            "listed true",
            "history 1",
            "refused NotFound Task not found: nothing-of-that-name google.rpc.ErrorInfo",
        ]
    (snippet,) = re.findall(r"^```js\n(.*?)^```", _part("### fetch"), re.MULTILINE | re.DOTALL)
    snippet = snippet.replace("127.0.0.1:8787", str(server.http_address)) + "console.log(success, execution.taskName)"
    (folder / "readme.js").write_text(snippet)
    assert _run("node", "readme.js", folder=folder).split()[0] in ("true", "false")


@needs_node
def test_the_example_in_workerd(server: Server, tmp_path: Path):
    """The same client in the runtime of Cloudflare's Workers, which has fetch and little else."""
    folder = _made("cloudflare-worker", tmp_path)
    _run("npm", "run", "check", folder=folder)
    _run("npm", "run", "build", folder=folder)
    assert json.loads(_run("node", "try.js", f"http://{server.http_address}", folder=folder)) == {
        "registered": {"limit": 500},
        "listed": ["from-a-worker"],
        "disabled": False,
        "enabled": True,
        "ran": True,
        "history": [True],
        "read": "0 9 * * 1",
        "watched": "transition",
        "refused": ["NotFound", "Task not found: nothing-of-that-name", "google.rpc.ErrorInfo"],
    }
