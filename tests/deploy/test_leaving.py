"""A server that is asked to stop: probes say so at once, calls succeed for the delay, then others get them."""

import asyncio
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import grpc
import httpx2
import pytest
from support.patience import AT_MOST, calling, until
from support.servers.process import Server, served

from schedule_grpc.domain.execution import State
from schedule_grpc.errors import Unavailable

HOUR = "1h"
SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"
"""Answers of health on the wire."""
HOLD = ("--http", "127.0.0.1:0", "--handlers", "support.handlers.on_call", "--drain-timeout", HOUR)


async def answers(server: Server, *paths: str) -> list[int]:
    """Return the statuses of these paths, each asked by a connection of its own."""
    async with httpx2.AsyncClient(base_url=f"http://{server.http_address}", timeout=AT_MOST, trust_env=False) as web:
        return [(await web.get(path)).status_code for path in paths]


async def unready(server: Server) -> bool:
    """Tell whether a server asks for no more calls."""
    return await answers(server, "/readyz") == [503]


async def refuses(server: Server) -> bool:
    """Tell whether no connection to gRPC can be opened."""
    host, _, port = server.address.rpartition(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:  # it waited to be accepted as the socket was closed
        return False
    writer.close()
    return False


async def test_calls_succeed_while_the_server_announces_that_it_stops(tmp_path: Path):
    """On old connections and new ones, runs too; health says NOT_SERVING. A second signal ends the hour."""
    async with served(tmp_path, *HOLD, "--drain-delay", HOUR, handlers=None) as server, calling(server.address) as old:
        await old.register_task(name="task", schedule="@manual", handler="by-steps")
        assert await answers(server, "/livez", "/readyz", "/health") == [200, 200, 200]
        async with grpc.aio.insecure_channel(server.address) as channel:
            watch = channel.unary_stream("/grpc.health.v1.Health/Watch")(b"", timeout=AT_MOST)
            assert await watch.read() == SERVING
            server.process.send_signal(signal.SIGTERM)
            assert await watch.read() == NOT_SERVING
            watch.cancel()
        assert await answers(server, "/livez", "/readyz", "/health") == [200, 503, 503]
        async with calling(server.address) as new:
            for client in (old, new):
                assert (await client.run_task_now("task")).success
                await client.register_task(name="another", schedule="@daily", handler="by-steps")
        code, errors = await asyncio.to_thread(server.terminate)
    assert (code, "Traceback" in errors) == (0, False)


async def test_after_the_delay_connections_are_closed_while_work_ends(tmp_path: Path):
    """gRPC's last for hours: a caller by one of them would be refused here until the work ended. Supervisors get in."""
    until_file = tmp_path / "until"
    async with served(tmp_path, *HOLD, "--drain-delay", "1ms", handlers=None) as server:
        async with calling(server.address, attempts=1) as client:
            payload = {"until": str(until_file)}
            await client.register_task(name="task", schedule="@manual", handler="hold", payload=payload)
            held = (await client.run_task_now("task", detach=True)).execution.id

            async def running() -> bool:
                return (await client.get_execution(held)).state is State.RUNNING

            await until(running)
            server.process.send_signal(signal.SIGTERM)
            await until(lambda: refuses(server))
            with pytest.raises(Unavailable):
                await client.get_task("task")
            assert await answers(server, "/livez", "/readyz") == [200, 503]
        until_file.touch()
        code = await asyncio.to_thread(server.ended)
    assert code == 0
    with closing(sqlite3.connect(tmp_path / "schedule.db")) as database:
        assert database.execute("SELECT state FROM task_executions").fetchall() == [("SUCCEEDED",)]


async def test_without_a_delay_callers_may_read_until_the_end(tmp_path: Path):
    """There may be no other server; runs are refused, with a code that says when to try again."""
    until_file = tmp_path / "until"
    async with served(tmp_path, *HOLD, handlers=None) as server, calling(server.address, attempts=1) as client:
        payload = {"until": str(until_file)}
        await client.register_task(name="task", schedule="@manual", handler="hold", payload=payload)
        await client.run_task_now("task", detach=True)
        server.process.send_signal(signal.SIGTERM)
        await until(lambda: unready(server))
        with pytest.raises(Unavailable):
            await client.run_task_now("task", detach=True)
        assert (await client.get_task("task")).name == "task"
        assert await answers(server, "/livez") == [200]
        until_file.touch()
        assert await asyncio.to_thread(server.ended) == 0
