"""WatchExecutions by Connect and gRPC-Web: how a stream begins, goes on and ends."""

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import pytest
from support.callers.fetching import FORMS, SERVICE, Failed, Fetching, enveloped
from support.patience import AT_MOST
from support.servers.live import Live
from support.servers.process import serving

from schedule_grpc.api.http import events
from schedule_grpc.pb import schedule_pb2 as pb

WATCH = "WatchExecutions"
EVERYTHING = pb.WatchExecutionsRequest()
OPENING = pb.WatchExecutionsResponse()


@pytest.fixture(params=FORMS)
def fetching(request: pytest.FixtureRequest, caller: httpx2.AsyncClient) -> Fetching:
    """A caller in each protocol and form."""
    return Fetching(caller, request.param)


def open_streams(live: Live) -> int:
    """Return how many streams of `default` the server counts."""
    return live.parts.service._quotas._streams["default"]


async def until_none_is_open(live: Live) -> None:
    """Wait until the server has noticed that its watchers are gone."""
    async with asyncio.timeout(AT_MOST):
        while open_streams(live):  # noqa: ASYNC110 (nothing tells of a caller that is gone)
            await asyncio.sleep(0.01)


async def test_an_empty_message_opens_a_stream(inside: Live, fetching: Fetching):
    """The caller sees no headers before it; from there on no event is missed."""
    await inside.client.register_task(name="task", schedule="@manual", handler="steps")
    async with fetching.stream(WATCH, EVERYTHING, pb.WatchExecutionsResponse) as messages:
        assert await anext(messages) == OPENING
        await inside.client.run_task_now("task")
        states = []
        while not states or states[-1] != pb.Execution.SUCCEEDED:
            message = await anext(messages)
            if message.HasField("transition"):
                states.append(message.transition.execution.state)
    assert states == [pb.Execution.PENDING, pb.Execution.RUNNING, pb.Execution.SUCCEEDED]


async def test_proxies_do_not_keep_messages_back(caller: httpx2.AsyncClient):
    """nginx is told so, as for GET /events."""
    headers = {"content-type": "application/connect+json"}
    async with caller.stream("POST", SERVICE + WATCH, content=enveloped(b"{}"), headers=headers) as answer:
        assert (answer.status_code, answer.headers["x-accel-buffering"]) == (200, "no")


async def test_a_stream_that_is_refused(fetching: Fetching):
    """Its error ends it, where its protocol has errors of streams."""
    with pytest.raises(Failed) as failed:
        async with fetching.stream(
            WATCH, pb.WatchExecutionsRequest(states=[99]), pb.WatchExecutionsResponse
        ) as messages:
            await anext(messages)
    assert (failed.value.code, failed.value.http_status) == ("invalid_argument", 200)


async def test_a_watcher_that_goes_away(inside: Live, fetching: Fetching):
    """The server notices without an event to send, and counts the call as cancelled."""
    async with fetching.stream(WATCH, EVERYTHING, pb.WatchExecutionsResponse) as messages:
        await anext(messages)
        assert open_streams(inside) == 1
    await until_none_is_open(inside)
    lines = (await fetching.web.get("/metrics")).text.splitlines()
    assert 'schedule_rpcs_total{code="CANCELLED",method="WatchExecutions"} 1.0' in lines


async def test_there_are_only_so_many_streams(
    inside: Live, caller: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
):
    """They are counted with those of GET /events: each holds a connection."""
    monkeypatch.setattr(events, "MOST_STREAMS", 2)
    held = []
    async with AsyncExitStack() as stack:
        for form in FORMS[:2]:
            opening = Fetching(caller, form).stream(WATCH, EVERYTHING, pb.WatchExecutionsResponse)
            held.append(await stack.enter_async_context(opening))  # one that is let go ends its stream
            await anext(held[-1])
        for form in FORMS:
            with pytest.raises(Failed) as failed:
                async with Fetching(caller, form).stream(WATCH, EVERYTHING, pb.WatchExecutionsResponse) as messages:
                    await anext(messages)
            assert failed.value.code == "resource_exhausted"
        assert (await caller.get("/events")).status_code == 429
    await until_none_is_open(inside)


async def test_a_deadline_ends_a_stream(inside: Live, fetching: Fetching):
    """With the error of a deadline, though the stream was well."""
    fetching.headers = {"connect-timeout-ms": "300"} if fetching.is_connect else {"grpc-timeout": "300m"}
    with pytest.raises(Failed) as failed:
        async with fetching.stream(WATCH, EVERYTHING, pb.WatchExecutionsResponse) as messages:
            while True:
                await anext(messages)
    assert failed.value.code == "deadline_exceeded"
    await until_none_is_open(inside)


async def test_a_stream_takes_one_message(caller: httpx2.AsyncClient):
    """Two or none are refused."""
    for content in (b"", enveloped(b"{}") * 2, enveloped(b"{}")[:-1]):
        kind = {"content-type": "application/connect+json"}
        answer = await caller.post(SERVICE + WATCH, content=content, headers=kind)
        assert b'"error"' in answer.content


@pytest.mark.parametrize("form", FORMS)
async def test_a_stopping_server_ends_its_streams_at_once(tmp_path: Path, form: str):
    """SIGTERM with an open stream: it ends in order, and the server exits 0 before its patience is over."""
    with serving(tmp_path, "--http", "127.0.0.1:0") as server:
        async with httpx2.AsyncClient(
            base_url=f"http://{server.http_address}", trust_env=False, timeout=AT_MOST
        ) as client:
            async with Fetching(client, form).stream(WATCH, EVERYTHING, pb.WatchExecutionsResponse) as messages:
                await anext(messages)
                began = time.monotonic()
                stopping = asyncio.create_task(asyncio.to_thread(server.terminate))
                with pytest.raises(StopAsyncIteration):
                    await anext(messages)
            code, _ = await stopping
    assert (code, time.monotonic() - began < 4) == (0, True)  # calls that are open have 5 s
