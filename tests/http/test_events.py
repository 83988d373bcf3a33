"""GET /events: what happens, as it happens."""

import asyncio
import json
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from support.patience import AT_MOST
from support.servers import keyed_run
from support.servers.live import Live
from support.servers.process import serving

from schedule_grpc.api.http import events
from schedule_grpc.events import KEPT, Transition


class Stream:
    """An open event stream."""

    def __init__(self, response: httpx2.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()

    async def block(self) -> list[str]:
        """Return the lines up to the next empty one."""
        lines = []
        async for line in self._lines:
            if not line:
                return lines
            lines.append(line)
        raise EOFError

    async def event(self) -> tuple[str, dict[str, Any]]:
        """Return the next event's name and data."""
        while True:
            lines = await self.block()
            if lines[0].startswith("event: "):
                return lines[0].removeprefix("event: "), json.loads(lines[1].removeprefix("data: "))


async def test_transitions_and_progress_are_told(inside: Live, caller: httpx2.AsyncClient):
    """From pending to its end, in order, in the words of the other routes."""
    await inside.client.register_task(name="task", schedule="@manual", handler="steps")
    async with caller.stream("GET", "/events") as response:
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        stream = Stream(response)
        assert await stream.block() == ["retry: 1000"]
        ran = (await caller.post("/tasks/task/run")).json()["execution"]
        told = [await stream.event() for _ in range(4)]
    assert [name for name, _ in told] == ["transition", "transition", "progress", "transition"]
    assert [data["execution"]["status"] for name, data in told if name == "transition"] == [
        "pending",
        "running",
        "success",
    ]
    assert told[-1][1]["execution"] == ran
    assert (told[2][1]["executionId"], told[2][1]["text"]) == (ran["id"], "all of it")


async def test_a_stream_of_one_task_and_of_some_states(inside: Live, caller: httpx2.AsyncClient):
    """What is not asked for is not told."""
    for name in ("one", "other"):
        await inside.client.register_task(name=name, schedule="@manual", handler="steps")
    async with caller.stream("GET", "/events?task=one&states=success") as response:
        stream = Stream(response)
        await stream.block()
        for name in ("other", "one"):
            await caller.post(f"/tasks/{name}/run")
        _, data = await stream.event()
    assert (data["execution"]["taskName"], data["execution"]["status"]) == ("one", "success")
    assert (await caller.get("/events?states=nonsense")).status_code == 400


async def test_silence_is_told(caller: httpx2.AsyncClient, monkeypatch):
    """A line now and then: proxies end what is silent."""
    monkeypatch.setattr(events, "HEARTBEAT", timedelta(milliseconds=50))
    async with caller.stream("GET", "/events") as response:
        stream = Stream(response)
        assert [await stream.block() for _ in range(3)] == [
            ["retry: 1000"],
            [": nothing happened"],
            [": nothing happened"],
        ]


async def test_a_slow_reader_is_told_what_it_lost(inside: Live):
    """It reads nothing while much happens: a count instead of a gap, and the service does not wait for it."""
    host, _, port = str(inside.parts.http_address).rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
    writer.write(keyed_run.keyed(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n", port))
    await reader.readuntil(b"retry: 1000\n\n")
    await inside.client.register_task(name="task", schedule="@manual", handler="steps")
    execution = (await inside.client.run_task_now("task")).execution
    transition = [Transition(previous_state=None, execution=execution, time=execution.create_time)]
    many = 40 * KEPT
    for _ in range(many // 100):
        inside.parts.hub.publish(transition * 100)
        await asyncio.sleep(0)
    seen = lost = 0
    while seen + lost < many:
        line = (await reader.readline()).strip()
        if line == b"event: lost":
            lost += json.loads((await reader.readline()).partition(b": ")[2])["count"]
        elif line.startswith(b"event: transition"):
            seen += 1
    assert lost > 0
    writer.close()


async def test_there_are_only_so_many_streams(caller: httpx2.AsyncClient, monkeypatch):
    """One more is refused; one that has gone makes room."""
    monkeypatch.setattr(events, "MOST_STREAMS", 1)
    async with caller.stream("GET", "/events") as response:
        await Stream(response).block()
        assert (await caller.get("/events")).status_code == 429
    async with asyncio.timeout(5):
        while True:
            async with caller.stream("GET", "/events") as response:
                if response.status_code == 200:
                    break


async def test_a_stopping_server_ends_its_streams_at_once(tmp_path: Path):
    """SIGTERM with an open stream: it ends, and the server exits 0 before its patience with open calls is over."""
    with serving(tmp_path, "--http", "127.0.0.1:0") as server:
        url = f"http://{server.http_address}/events"
        async with (
            httpx2.AsyncClient(trust_env=False, timeout=AT_MOST) as client,
            client.stream("GET", url) as response,
        ):
            stream = Stream(response)
            await stream.block()
            began = time.monotonic()
            stopping = asyncio.create_task(asyncio.to_thread(server.terminate))
            with pytest.raises(EOFError):
                await stream.event()
            code, _ = await stopping
    assert (code, time.monotonic() - began < 4) == (0, True)  # calls that are open have 5 s
