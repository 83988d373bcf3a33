"""A server that knows its callers asks those of Connect and gRPC-Web for the same keys and scopes."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from support.callers.fetching import FORMS, SERVICE, Failed, Fetching
from support.callers.raw_http import raw
from support.patience import AT_MOST, calling
from support.servers.live import struct
from support.servers.teams import Teams, serving_teams

from schedule_grpc.access.rules import ACCESS
from schedule_grpc.pb import access_pb2
from schedule_grpc.pb import schedule_pb2 as pb

pytestmark = pytest.mark.keyless


@pytest.fixture
async def teams(database: Path, tmp_path: Path) -> AsyncIterator[Teams]:
    """A server that asks for keys."""
    async with serving_teams(database, tmp_path) as made:
        yield made


@pytest.fixture(params=FORMS)
async def fetching(request: pytest.FixtureRequest, teams: Teams) -> AsyncIterator[Fetching]:
    """A caller in each protocol and form."""
    address = f"http://{teams.live.parts.http_address}"
    async with httpx2.AsyncClient(base_url=address, timeout=AT_MOST, trust_env=False) as web:
        yield Fetching(web, request.param)


async def refused(fetching: Fetching, rpc: str, request: Any) -> Failed:
    """Return the error of a call that must be refused."""
    with pytest.raises(Failed) as failed:
        await fetching.call(rpc, request, pb.Task)
    return failed.value


async def test_who_may_call(teams: Teams, fetching: Fetching):
    """401 without a key that the server knows, 403 without the scope; gRPC-Web has both in its trailers."""
    read = pb.GetTaskRequest(name="task")
    for who, values in teams.authorizations.items():
        if len(values) > 1 or values != tuple(map(str.strip, values)):
            continue  # httpx would not send it
        fetching.headers = {"authorization": values[0]} if values else {}
        if who in ("observe", "read", "run", "write", "admin", "inside"):
            assert (await fetching.call("GetTask", read, pb.Task)).name == "task", who
        elif who not in teams.held:
            error = await refused(fetching, "GetTask", read)
            assert (error.code, error.unpacked(ErrorInfo).reason) == ("unauthenticated", "UNAUTHENTICATED"), who
            assert error.http_status == (401 if fetching.is_connect else 200)
    fetching.headers = {"authorization": teams.authorizations["observe"][0]}
    error = await refused(fetching, "RunTaskNow", pb.RunTaskNowRequest(name="task"))
    assert (error.code, error.unpacked(ErrorInfo).reason) == ("permission_denied", "PERMISSION_DENIED")
    assert error.http_status == (403 if fetching.is_connect else 200)


async def test_a_namespace_of_others(teams: Teams, fetching: Fetching):
    """The request names it: the scope is needed there."""
    fetching.headers = {"authorization": teams.authorizations["observe"][0]}
    error = await refused(fetching, "GetTask", pb.GetTaskRequest(name="task", namespace="other"))
    assert error.code == "permission_denied"


async def test_what_a_caller_may_not_see(teams: Teams, fetching: Fetching):
    """A payload is left out for the scope observe, as over gRPC."""
    for who, payload in (("observe", {}), ("read", {"secret": "hunter2"})):
        fetching.headers = {"authorization": teams.authorizations[who][0]}
        assert (await fetching.call("GetTask", pb.GetTaskRequest(name="task"), pb.Task)).payload == struct(payload)


async def test_who_is_told_who_it_is(teams: Teams, fetching: Fetching):
    """The key's name reaches the service."""
    fetching.headers = {"authorization": teams.authorizations["operator"][0]}
    me = await fetching.call("WhoAmI", access_pb2.WhoAmIRequest(), access_pb2.WhoAmIResponse, ACCESS)
    assert me.name == "key:operator"


async def test_a_strangers_body_is_not_waited_for(teams: Teams):
    """The refusal comes while the body is still on its way."""
    lines = [f"POST {SERVICE}GetTask HTTP/1.1", "Host: localhost", "Content-Type: application/json"]
    answer = await raw(teams.live, "\r\n".join([*lines, "Content-Length: 999", "", ""]).encode())
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"www-authenticate: Bearer" in answer
    assert b'"unauthenticated"' in answer


async def test_a_get_needs_a_key_too(teams: Teams):
    """And acts on no server that knows its callers."""
    address = f"http://{teams.live.parts.http_address}"
    query = {"encoding": "json", "message": '{"name":"task"}'}
    async with httpx2.AsyncClient(base_url=address, timeout=AT_MOST, trust_env=False) as web:
        assert (await web.get(SERVICE + "GetTask", params=query)).status_code == 401
        key = {"authorization": teams.authorizations["observe"][0]}
        assert (await web.get(SERVICE + "GetTask", params=query, headers=key)).json()["name"] == "task"
        assert (await web.get(SERVICE + "RunTaskNow", params=query, headers=key)).status_code == 405


async def test_a_stream_ends_with_its_key(teams: Teams, fetching: Fetching):
    """Within two seconds, and its caller is told why."""
    async with calling(teams.socket) as operator:
        text = (await operator.create_key("leaked", ["observe@default"])).text
        fetching.headers = {"authorization": f"Bearer {text}"}
        watching = fetching.stream("WatchExecutions", pb.WatchExecutionsRequest(), pb.WatchExecutionsResponse)
        async with watching as messages:
            await anext(messages)
            loop = asyncio.get_running_loop()
            began = loop.time()
            await operator.revoke_key("leaked")
            with pytest.raises(Failed) as failed:
                await anext(messages)
            assert loop.time() - began < 2
        assert failed.value.code == "unauthenticated"


async def test_a_run_that_is_waited_for_ends_with_its_key(teams: Teams, fetching: Fetching, tmp_path: Path):
    """The caller is told why; the execution goes on."""
    async with calling(teams.socket) as operator:
        payload = {"until": str(tmp_path / "go")}
        await operator.register_task(name="long", schedule="@manual", handler="held", payload=payload)
        text = (await operator.create_key("leaked", ["run@default"])).text
        fetching.headers = {"authorization": f"Bearer {text}"}
        waiting = asyncio.create_task(refused(fetching, "RunTaskNow", pb.RunTaskNowRequest(name="long")))
        async with asyncio.timeout(AT_MOST):
            while not (await operator.list_executions()).executions:  # noqa: ASYNC110 (nothing tells of it)
                await asyncio.sleep(0.01)
        await operator.revoke_key("leaked")
        assert (await waiting).code == "unauthenticated"
        (execution,) = (await operator.list_executions()).executions
        assert not execution.state.is_terminal
        (tmp_path / "go").touch()
