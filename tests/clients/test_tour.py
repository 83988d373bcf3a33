"""The calls that callers make most and a stream: by programs that know the contract, by curl, by Python's clients.

JavaScript's clients make the same calls in test_node.py, test_fetch_clients.py and browser/test_fetch_client.py.
"""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.callers.fetching import enveloped
from support.callers.tour import STREAM, is_whole, requested
from support.machine.wall_clock import quiet
from support.patience import AT_MOST
from support.servers.process import GRPCURL, Server, serving

from schedule_grpc.client import AsyncClient, Client, Transition
from schedule_grpc.domain.task import TaskFilter

ROOT = Path(__file__).parents[2]
BUF = str(Path(sys.executable).with_name("buf"))
SERVICE = "schedule.v1.ScheduleService"

pytestmark = [pytest.mark.slow, pytest.mark.keyless]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the built-in handlers and what they need; each test has tasks of its own."""
    folder = tmp_path_factory.mktemp("server")
    with serving(folder, "--http", "127.0.0.1:0", "--init", handlers=None, **quiet()) as running:
        yield running


@dataclass(frozen=True, kw_only=True, slots=True)
class Tool:
    """A program that makes one call."""

    command: tuple[str, ...]
    target: Callable[[Server, str], tuple[str, ...]]
    """The last arguments, for an rpc of a server."""
    data: tuple[str, ...] = ()
    """The arguments of a stream in place of the request, which it then reads from its input, in an envelope."""
    watch: tuple[str, ...] = ()
    """More arguments of a stream."""
    opened: bytes = b"{}"
    """What is printed once a stream is open."""
    not_found: int = 0
    """The exit code for NOT_FOUND."""


def _over_grpc(server: Server, rpc: str) -> tuple[str, ...]:
    return (f"http://{server.address}/{SERVICE}/{rpc}",)


def _over_http(server: Server, rpc: str) -> tuple[str, ...]:
    return (f"http://{server.http_address}/{SERVICE}/{rpc}",)


NOT_FOUND = 5
KIND = ("-H", "content-type: application/connect+json")
TOOLS = {
    "grpcurl": Tool(
        command=(GRPCURL, "-plaintext"),
        target=lambda server, rpc: (server.address, f"{SERVICE}/{rpc}"),
        watch=("-v",),
        opened=b"Response headers received",
        not_found=64 + NOT_FOUND,
    ),
    "buf curl, gRPC": Tool(
        command=(BUF, "curl", "--protocol", "grpc"),
        target=_over_grpc,
        watch=("-v",),
        opened=b"< (#2) HTTP/2.0 200 OK",  # the first call is one of reflection
        not_found=NOT_FOUND << 3,
    ),
    "buf curl, gRPC-Web": Tool(
        command=(BUF, "curl", "--protocol", "grpcweb", "--schema", "protos"),
        target=_over_http,
        not_found=NOT_FOUND << 3,
    ),
    "buf curl, Connect": Tool(
        command=(BUF, "curl", "--protocol", "connect", "--schema", "protos"),
        target=_over_http,
        not_found=NOT_FOUND << 3,
    ),
    "curl": Tool(command=("curl", "-sSN"), target=_over_http, data=("--data-binary", "@-", *KIND)),
}


@pytest.fixture(params=TOOLS)
def tool(request: pytest.FixtureRequest) -> Tool:
    """Each program."""
    chosen = TOOLS[request.param]
    if shutil.which(chosen.command[0]) is None:
        pytest.skip(f"{chosen.command[0]} is not installed")
    return chosen


def _run(*command: str, code: int = 0) -> str:
    """Run a program at the root of the repository; return what it printed."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=AT_MOST,
        check=False,
    )
    assert done.returncode == code, f"{command}: {done.stdout}\n{done.stderr}"
    return done.stdout or done.stderr


def _called(tool: Tool, server: Server, rpc: str, request: str, code: int = 0) -> str:
    return _run(*tool.command, "-d", request, *tool.target(server, rpc), code=code)


def _watched(tool: Tool, server: Server, name: str, act: Callable[[], object]) -> list[str]:
    """Return the states of a task's execution that a stream shows while ``act`` runs it."""
    request = json.dumps({"taskName": name})
    arguments = tool.data or ("-d", request)
    with subprocess.Popen(
        [*tool.command, *tool.watch, *arguments, *tool.target(server, STREAM)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as watching:
        try:
            assert watching.stdin is not None
            assert watching.stdout is not None
            if tool.data:
                watching.stdin.write(enveloped(request.encode()))
            watching.stdin.close()
            printed = _read_until(watching.stdout.fileno(), b"", lambda text: tool.opened in text)
            act()
            printed = _read_until(watching.stdout.fileno(), printed, lambda text: b'"SUCCEEDED"' in text)
        finally:
            watching.kill()
    return re.findall(r'"state": *"(\w+)"', printed.decode(errors="replace"))


def _read_until(output: int, printed: bytes, is_there: Callable[[bytes], bool]) -> bytes:
    while not is_there(printed):
        more = os.read(output, 65536)
        assert more, f"ended early: {printed.decode(errors='replace')}"
        printed += more
    return printed


def test_by_a_program(
    server: Server, tool: Tool, request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
):
    """Each call is one command; a stream is one, too. curl needs no content type."""
    client = request.node.callspec.params["tool"]
    name = re.sub(r"\W+", "-", client)

    def call(rpc: str) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = json.loads(_called(tool, server, rpc, requested(rpc, name)))
        return answer

    registered = call("RegisterTask")
    ran: dict[str, Any] = {}
    states = _watched(tool, server, name, lambda: ran.update(call("RunTaskNow")))
    answers = {
        "RegisterTask": registered["payload"],
        "ListTasks": [task["name"] for task in call("ListTasks")["tasks"]],
        "GetTask": call("GetTask")["schedule"],
        "RunTaskNow": ran["success"],
        "GetTaskHistory": [each["id"] == ran["execution"]["id"] for each in call("GetTaskHistory")["executions"]],
        "DisableTask": call("DisableTask").get("enabled", False),  # ProtoJSON leaves false out
        "EnableTask": call("EnableTask")["enabled"],
        STREAM: states,
    }
    is_whole(answers, client, name, record_property)


def test_an_error_of_a_program(server: Server, tool: Tool):
    """Its code, its message and its details are shown, and the exit code says that the call failed (not curl's)."""
    printed = _called(tool, server, "GetTask", '{"name": "nothing"}', code=tool.not_found)
    assert "Task not found: nothing" in printed
    assert "google.rpc.ErrorInfo" in printed or '"reason": "TASK_NOT_FOUND"' in printed


def test_an_update_of_a_program(server: Server, tool: Tool):
    """grpcurl gives the mask as a message of proto names, the others as a text of JSON's names."""
    task = {"name": "check-rate-limits", "policy": {"timeout": "50s", "startDeadline": "90s"}}
    masks = (
        {"update_mask": {"paths": ["policy.timeout", "policy.start_deadline"]}},
        {"updateMask": "policy.timeout,policy.startDeadline"},
    )
    mask = masks[tool.command[0] != GRPCURL]
    answer = json.loads(_called(tool, server, "UpdateTask", json.dumps({"task": task} | mask)))
    assert (answer["policy"]["timeout"], answer["policy"]["startDeadline"]) == ("50s", "90s")
    _called(tool, server, "UpdateTask", json.dumps({"task": {"name": task["name"]}} | mask))


def test_the_readmes_updates(server: Server):
    """Its commands of grpcurl and buf curl, as they stand there."""
    commands = re.split(r"\n(?! )", (ROOT / "README.md").read_text())  # one goes on where the next line is indented
    found = [each for each in commands if each.startswith(("grpcurl", "buf curl")) and each.endswith("/UpdateTask")]
    assert len(found) == 2
    with Client(server.address) as client:
        client.register_task(name="custom-cleanup", schedule="@daily", handler="cleanup-expired-sessions")
    path = f"{Path(BUF).parent}{os.pathsep}{os.environ['PATH']}"
    for command in found:
        shell = f"PATH='{path}'; {command.replace('127.0.0.1:50051', server.address)}"
        assert json.loads(_run("sh", "-c", shell))["policy"]["startDeadline"] == "60s"


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_a_get_by_curl(server: Server):
    """A call that only reads is also a GET; --head shows its headers. One that acts is none."""
    message = ("-sS", "-G", "--data-urlencode", 'message={"name": "check-rate-limits"}', "-d", "encoding=json")
    assert json.loads(_run("curl", *message, *_over_http(server, "GetTask")))["name"] == "check-rate-limits"
    head = _run("curl", "--head", *message, *_over_http(server, "GetTask"))
    assert head.startswith("HTTP/1.1 200 OK")
    refused = json.loads(_run("curl", *message, *_over_http(server, "DisableTask")))
    assert refused == {"code": "unimplemented", "message": "Method not allowed"}


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_readmes_curl(server: Server):
    """Each of its commands is answered with the task."""
    part = (ROOT / "README.md").read_text().partition("### fetch\n")[2].partition("\n## ")[0]
    snippet = part.partition("```bash\n")[2].partition("```")[0].replace("\\\n", "")
    commands = snippet.replace("127.0.0.1:8787", str(server.http_address)).splitlines()
    assert len(commands) == 2
    for command in commands:
        assert json.loads(_run("sh", "-c", command))["name"] == "check-rate-limits"


async def test_by_python(
    server: Server, asker: Any, request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
):
    """The blocking client and the asynchronous one."""
    kind = request.node.callspec.params["asker"]
    name = f"python-{kind.__name__.lower()}"
    client: Client | AsyncClient = asker(server.address, deadline=AT_MOST)
    task = await asker.ask(
        client,
        "register_task",
        name=name,
        schedule="0 9 * * 1",
        handler="check-rate-limits",
        payload={"limit": 500},
    )
    watch = await asker.watch(client, name)
    run, events = await asyncio.gather(asker.ask(client, "run_task_now", name), asker.events(watch, 3))
    await asker.close(watch)
    answers = {
        "RegisterTask": task.definition.payload,
        "ListTasks": [
            each.definition.name for each in (await asker.ask(client, "list_tasks", TaskFilter(name_prefix=name))).tasks
        ],
        "GetTask": (await asker.ask(client, "get_task", name)).schedule.text,
        "RunTaskNow": run.success,
        "GetTaskHistory": [
            each.id == run.execution.id for each in (await asker.ask(client, "get_task_history", name)).executions
        ],
        "DisableTask": (await asker.ask(client, "disable_task", name, note="holiday")).enabled,
        "EnableTask": (await asker.ask(client, "enable_task", name)).enabled,
        STREAM: [event.execution.state.name for event in events if isinstance(event, Transition)],
    }
    is_whole(answers, {Client: "Python, Client", AsyncClient: "Python, AsyncClient"}[kind], name, record_property)
