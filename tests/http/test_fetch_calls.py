"""Connect and gRPC-Web at the port of HTTP: the rpcs, their errors and their bounds are those of gRPC."""

import asyncio
from pathlib import Path

import grpc
import httpx2
import pytest
from google.protobuf.empty_pb2 import Empty
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from grpc_status import rpc_status
from support.callers.fetching import FORMS, GRPC_CODES, SERVICE, Failed, Fetching
from support.callers.raw_http import raw
from support.servers.live import HANDLER, Live, asked, struct

from schedule_grpc.access.rules import ACCESS, WORKERS
from schedule_grpc.api.http import guard
from schedule_grpc.pb import access_pb2, worker_pb2
from schedule_grpc.pb import schedule_pb2 as pb

JSON = {"content-type": "application/json"}


@pytest.fixture(params=FORMS)
def fetching(request: pytest.FixtureRequest, caller: httpx2.AsyncClient) -> Fetching:
    """A caller in each protocol and form."""
    return Fetching(caller, request.param)


async def test_the_calls_of_a_task(inside: Live, fetching: Fetching):
    """What one protocol writes, gRPC reads: there is one service behind both."""
    wanted = asked(handler="steps", payload=struct({"text": "é", "count": 3, "list": [1, {"a": None}]}))
    task = await fetching.call("RegisterTask", wanted, pb.Task)
    assert (task.name, task.payload) == ("task", wanted.payload)
    assert task == await inside.stub.GetTask(pb.GetTaskRequest(name="task"))
    assert (await fetching.call("GetTask", pb.GetTaskRequest(name="task"), pb.Task)) == task
    assert list((await fetching.call("ListTasks", pb.ListTasksRequest(), pb.ListTasksResponse)).tasks) == [task]
    assert not (await fetching.call("DisableTask", pb.DisableTaskRequest(name="task"), pb.Task)).enabled
    assert (await fetching.call("EnableTask", pb.EnableTaskRequest(name="task"), pb.Task)).enabled
    ran = await fetching.call("RunTaskNow", pb.RunTaskNowRequest(name="task"), pb.RunTaskNowResponse)
    assert ran.success
    history = await fetching.call("GetTaskHistory", pb.GetTaskHistoryRequest(name="task"), pb.GetTaskHistoryResponse)
    assert list(history.executions) == [ran.execution]
    await fetching.call("DeleteTask", pb.DeleteTaskRequest(name="task"), Empty)
    assert not (await inside.client.list_tasks()).tasks


async def test_the_other_services(fetching: Fetching):
    """Workers and callers with keys need no HTTP/2 either."""
    me = await fetching.call("WhoAmI", access_pb2.WhoAmIRequest(), access_pb2.WhoAmIResponse, ACCESS)
    assert me.name
    wanted = worker_pb2.RegisterWorkerRequest(
        name="w", handlers=[worker_pb2.OfferedHandler(name="far")], slots=1, protocol=1, namespace="default"
    )
    session = await fetching.call("RegisterWorker", wanted, worker_pb2.RegisterWorkerResponse, WORKERS)
    assert session.session_id
    listed = await fetching.call(
        "ListWorkers", worker_pb2.ListWorkersRequest(), worker_pb2.ListWorkersResponse, WORKERS
    )
    assert [each.name for each in listed.workers] == ["w"]


@pytest.mark.parametrize(
    ("rpc", "request_", "status"),
    [
        ("GetTask", pb.GetTaskRequest(name="nothing"), 404),
        ("RegisterTask", asked(name="no name", schedule="never", time_zone="Mars"), 400),
        ("RegisterTask", asked(handler="unknown"), 400),
        ("DeleteTask", pb.DeleteTaskRequest(name="known", etag='"1"'), 409),
    ],
)
async def test_errors_are_those_of_grpc(inside: Live, fetching: Fetching, rpc: str, request_: object, status: int):
    """Code, message and every detail."""
    await inside.client.register_task(name="known", schedule="@daily", handler=HANDLER)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await getattr(inside.stub, rpc)(request_)
    expected = rpc_status.from_call(caught.value)
    with pytest.raises(Failed) as failed:
        await fetching.call(rpc, request_, Empty)
    assert (failed.value.message, failed.value.details) == (expected.message, list(expected.details))
    assert failed.value.code == caught.value.code().name.lower()
    assert failed.value.http_status == (status if fetching.is_connect else 200)
    assert failed.value.unpacked(ErrorInfo).domain == "schedule.v1"


async def test_bytes_that_are_no_message(inside: Live, fetching: Fetching):
    """INVALID_ARGUMENT, as over gRPC."""
    fetching.written = lambda _: b"\xff\xff["  # type: ignore[method-assign]
    with pytest.raises(Failed) as failed:
        await fetching.call("GetTask", pb.GetTaskRequest(), pb.Task)
    assert failed.value.code == "invalid_argument"
    assert [each.field for each in failed.value.unpacked(BadRequest).field_violations] == ["request"]


@pytest.mark.parametrize(
    "content",
    ['{"nam": "x"}', '{"name": 1}', '{"name": "a", "name": "b"}', "[]", "1", "[" * 9000, '{"name": "\\ud800"}'],
)
async def test_json_that_is_no_message(caller: httpx2.AsyncClient, content: str):
    """A typo must not change the answer in silence: an unknown field is refused, as in bodies of other routes."""
    answer = await caller.post(SERVICE + "GetTask", content=content, headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_argument")
    assert answer.json()["message"].startswith("request: ")


async def test_an_empty_body_is_an_empty_message(caller: httpx2.AsyncClient):
    """`curl -X POST -H 'content-type: application/json'` asks for a list."""
    answer = await caller.post(SERVICE + "ListTasks", headers=JSON)
    assert (answer.status_code, answer.json()) == (200, {})


async def test_a_fault_of_ours_has_an_error_id(inside: Live, fetching: Fetching, monkeypatch: pytest.MonkeyPatch):
    """No caller reads a traceback."""

    async def fail(*_: object) -> None:
        raise KeyError("secret")

    monkeypatch.setattr("schedule_grpc.service.Service.get_task", fail)
    with pytest.raises(Failed) as failed:
        await fetching.call("GetTask", pb.GetTaskRequest(name="x"), pb.Task)
    assert failed.value.code == "internal"
    assert "secret" not in failed.value.message
    assert failed.value.unpacked(ErrorInfo).metadata["error_id"] in failed.value.message


# -- bounds


async def test_what_is_no_rpc(caller: httpx2.AsyncClient):
    """404, which clients of both protocols read as UNIMPLEMENTED."""
    for path in (
        SERVICE + "Nothing",
        SERVICE,
        SERVICE + "GetTask/",
        "/schedule.v1.Nothing/GetTask",
        SERVICE + "gettask",
    ):
        assert (await caller.post(path, content=b"{}", headers=JSON)).status_code == 404, path
    assert (await caller.put(SERVICE + "GetTask")).status_code == 405


async def test_odd_headers(inside: Live):
    """Bytes of other headers that are no text, and parameters of a content type, change nothing."""
    for kind in ("application/json; charset=utf-8", "Application/JSON"):
        lines = [f"POST {SERVICE}ListTasks HTTP/1.1", "Host: localhost", f"Content-Type: {kind}", "X-Odd: \xff"]
        answer = await raw(inside, "\r\n".join([*lines, "Content-Length: 2", "", "{}"]).encode("latin-1"))
        assert answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "unimplemented"),
        (b"\x00", "invalid_argument"),
        (b"\x00\x00\x00\x00\x09{}", "invalid_argument"),
        (b"\x00\xff\xff\xff\xff{}", "resource_exhausted"),
        (b"\x01\x00\x00\x00\x02{}", "internal"),
        (b"\x40\x00\x00\x00\x02{}", "invalid_argument"),
    ],
)
async def test_envelopes_that_are_none(caller: httpx2.AsyncClient, content: bytes, code: str):
    """Too short, too long, compressed, or with unknown flags: an error of the protocol, and no log of ours."""
    answer = await caller.post(
        SERVICE + "GetTask", content=content, headers={"content-type": "application/grpc-web+json"}
    )
    assert answer.status_code == 200
    assert f"grpc-status: {GRPC_CODES.index(code)}\r\n".encode() in answer.content


async def test_a_body_is_bounded_and_sent_as_it_is(fetching: Fetching):
    """1 MiB, like every body; no compression."""
    large = pb.GetTaskRequest(name="x" * guard.MAX_BODY_BYTES)
    with pytest.raises(Failed) as failed:
        await fetching.call("GetTask", large, pb.Task)
    assert failed.value.code == "resource_exhausted"
    name = "content-encoding" if fetching.is_connect else "grpc-encoding"
    fetching.headers = {name: "gzip"}
    with pytest.raises(Failed) as failed:
        await fetching.call("GetTask", pb.GetTaskRequest(name="x"), pb.Task)
    assert failed.value.code == "unimplemented"


async def test_a_body_that_does_not_come(inside: Live, monkeypatch: pytest.MonkeyPatch):
    """It is waited for as long as any body; then the connection is closed."""
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.05)
    lines = [
        f"POST {SERVICE}GetTask HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        "Content-Length: 9",
    ]
    answer = await raw(inside, "\r\n".join([*lines, "", ""]).encode())
    assert answer.startswith(b"HTTP/1.1 504 ")
    assert b"connection: close" in answer.lower()
    assert b'"deadline_exceeded"' in answer


async def test_a_deadline(inside: Live, fetching: Fetching, tmp_path: Path):
    """The call ends at it; the execution that it waited for goes on."""
    await inside.client.register_task(
        name="task", schedule="@manual", handler="held", payload={"until": f"{tmp_path}/go"}
    )
    fetching.headers = {"connect-timeout-ms": "100"} if fetching.is_connect else {"grpc-timeout": "100m"}
    with pytest.raises(Failed) as failed:
        await fetching.call("RunTaskNow", pb.RunTaskNowRequest(name="task"), pb.RunTaskNowResponse)
    assert failed.value.code == "deadline_exceeded"
    (execution,) = (await inside.client.list_executions()).executions
    assert not execution.state.is_terminal
    (tmp_path / "go").touch()


async def test_a_run_that_waits_at_a_server_that_stops(inside: Live, fetching: Fetching, tmp_path: Path):
    """UNAVAILABLE with the execution's id: it goes on without the call."""
    await inside.client.register_task(
        name="task", schedule="@manual", handler="held", payload={"until": f"{tmp_path}/go"}
    )
    waiting = asyncio.create_task(fetching.call("RunTaskNow", pb.RunTaskNowRequest(name="task"), pb.RunTaskNowResponse))
    while not (found := (await inside.client.list_executions()).executions):
        pass
    inside.parts.service.drain()
    with pytest.raises(Failed) as failed:
        await waiting
    assert failed.value.code == "unavailable"
    assert failed.value.unpacked(ErrorInfo).metadata["execution"] == found[0].id
    (tmp_path / "go").touch()


async def test_a_call_is_counted_as_over_grpc(inside: Live, caller: httpx2.AsyncClient):
    """By its method and code, and as a request of HTTP by its path."""
    await caller.post(SERVICE + "GetTask", json={"name": "x"})
    await caller.post(SERVICE + "ListTasks", json={})
    lines = (await caller.get("/metrics")).text.splitlines()
    assert 'schedule_rpcs_total{code="NOT_FOUND",method="GetTask"} 1.0' in lines
    assert 'schedule_rpcs_total{code="OK",method="ListTasks"} 1.0' in lines
    assert f'schedule_http_requests_total{{method="POST",route="{SERVICE}GetTask",status="404"}} 1.0' in lines
