"""Handlers make processes: these have nothing of the server, and the server ends and starts without them."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from support.patience import AT_MOST, calling
from support.servers.process import Server, served, serves
from support.stories import story

from schedule_grpc.domain.execution import State

HANDLERS = "support.handlers.forking"
LONG = 2 * AT_MOST
"""Seconds that children live: longer than their test."""


async def result_of(server: Server, handler: str, **payload: Any) -> Any:
    """Run a handler once, and return its result."""
    async with calling(server.address) as client:
        await client.register_task(name=handler, schedule="@manual", handler=handler, payload=payload)
        execution = (await client.run_task_now(handler)).execution
    assert (execution.state, execution.error) == (State.SUCCEEDED, None)
    return execution.result


async def stopped(server: Server) -> str:
    """Stop a server that is healthy, in some seconds; return its log."""
    assert await serves(server)
    async with asyncio.timeout(AT_MOST):
        code, errors = await asyncio.to_thread(server.terminate)
    assert (code, "Traceback" in errors) == (0, False)
    return errors


@asynccontextmanager
async def children(server: Server) -> AsyncIterator[None]:
    """Within this context a handler has left processes behind; they live to its end."""
    pids = (await result_of(server, "leaves-child", seconds=LONG))["pids"]
    try:
        yield
        for pid in pids:
            os.kill(pid, 0)
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@story
async def test_the_signals_of_children_are_theirs(tmp_path: Path):
    """Each SIGTERM ends the child that it was sent to, and none of them the server."""
    async with served(tmp_path, handlers=HANDLERS) as server:
        assert await result_of(server, "terminates") == {"codes": [-signal.SIGTERM] * 20}
        assert await result_of(server, "pools") == {"squares": [[0, 1, 4, 9]] * 2}
        await stopped(server)


@story
async def test_children_outlive_a_server_that_was_killed(tmp_path: Path):
    """The next one gets the file, both addresses and both sockets; callers of the dead one notice its end at once."""
    await outlived(tmp_path, "auto")


@story
async def test_children_outlive_a_server_on_asyncios_own_loop(tmp_path: Path):
    """The same, where uvloop is not installed or not wanted."""
    await outlived(tmp_path, "asyncio")


async def outlived(tmp_path: Path, event_loop: str) -> None:
    """Kill a server whose handlers have left children behind, and start it again."""
    loop = {"SCHEDULE_EVENT_LOOP": event_loop}
    files = [tmp_path / "grpc.sock", tmp_path / "http.sock"]
    grpc, http = (f"127.0.0.1:0,unix:{file}" for file in files)
    async with served(tmp_path, "--grpc", grpc, "--http", http, handlers=HANDLERS, **loop) as server:
        addresses = [server.address, server.http_address or ""]
        callers = [socket.create_connection(place.split(":")) for place in addresses]  # type: ignore[arg-type]
        callers += map(connected, files)
        async with children(server):
            await asyncio.to_thread(server.kill)
            for caller in callers:
                caller.settimeout(10)
                with suppress(ConnectionResetError):
                    while caller.recv(1024):
                        pass
                caller.close()
            for file in files:
                with pytest.raises(ConnectionRefusedError):
                    connected(file)
            again = "--grpc", f"{addresses[0]},unix:{files[0]}", "--http", f"{addresses[1]},unix:{files[1]}"
            async with served(tmp_path, *again, handlers=HANDLERS, **loop) as second:
                await stopped(second)


def connected(file: Path) -> socket.socket:
    """Return a connection to a unix socket."""
    caller = socket.socket(socket.AF_UNIX)
    try:
        caller.connect(str(file))
    except OSError:
        caller.close()
        raise
    return caller


@story
async def test_a_server_stops_without_its_children(tmp_path: Path):
    """What handlers left running, in threads and processes, is named in the log; the next server gets the file."""
    async with served(tmp_path, handlers=HANDLERS) as server, children(server):
        log = await stopped(server)
        (left,) = [line for line in log.splitlines() if "process.left_behind" in line]
        assert "left child" in left
        assert "left thread" in left
        async with served(tmp_path, handlers=HANDLERS) as second:
            await stopped(second)


@story
async def test_a_child_that_goes_on_as_a_server_is_ended(tmp_path: Path):
    """It would have served beside its parent, in the same event loop, with what is ready there; the parent goes on."""
    async with served(tmp_path, handlers=HANDLERS) as server:
        assert await result_of(server, "forks") == {"code": 70, "twice": False}
        await stopped(server)
