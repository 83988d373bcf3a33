"""The health of a worker over HTTP."""

import asyncio
from pathlib import Path

import grpc
import pytest
from support.rigs.worker_rig import still, working
from support.servers.worker_service import WorkerService

from schedule_grpc import TaskContext, handler
from schedule_grpc.errors import CannotStart
from schedule_grpc.runtime.clock import SystemClock
from schedule_grpc.worker.health import answering_health


@handler("nothing")
async def nothing(_: TaskContext) -> None:
    """Do nothing."""


async def asked(address: str, request: str) -> str:
    """Return the whole answer to a request."""
    if path := address.partition("unix:")[2]:
        reader, writer = await asyncio.open_unix_connection(path)
    else:
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request.encode("latin-1"))
    answer = (await reader.read()).decode()
    writer.close()
    return answer


REQUESTS = {
    "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n": ("200 OK", "ok\n"),
    "GET /healthz?full=1 HTTP/1.0\r\n\r\n": ("200 OK", "ok\n"),
    "HEAD /healthz HTTP/1.1\r\n\r\n": ("200 OK", ""),
    "POST /healthz HTTP/1.1\r\n\r\n": ("405 Method Not Allowed", "GET, please\n"),
    "GET / HTTP/1.1\r\n\r\n": ("404 Not Found", "only /healthz is here\n"),
    "\r\n\r\n": ("404 Not Found", "only /healthz is here\n"),
}


@pytest.mark.parametrize("request_text", REQUESTS)
async def test_requests_are_answered(request_text: str):
    """And the connection is closed."""
    status, body = REQUESTS[request_text]
    async with answering_health("127.0.0.1:0", lambda: (), SystemClock()) as bound:
        answer = await asked(bound.address, request_text)
    head, _, content = answer.partition("\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status}\r\n")
    assert "connection: close" in head
    assert content == body


async def test_troubles_are_named_with_503(tmp_path: Path):
    """On a unix socket, too, which is gone afterwards."""
    troubles = ("one", "two")
    path = tmp_path / "health.sock"
    async with answering_health(f"unix:{path}", lambda: troubles, SystemClock()) as bound:
        answer = await asked(str(bound), "GET /healthz HTTP/1.1\r\n\r\n")
    assert answer.startswith("HTTP/1.1 503 Service Unavailable\r\n")
    assert answer.endswith("\r\n\r\none; two\n")
    assert not path.exists()


@pytest.mark.parametrize("garbage", ["", "GET", "x" * 20_000])
async def test_a_caller_that_says_nothing_of_use_is_let_go(garbage: str):
    """Without an answer; the next one gets its own."""
    async with answering_health("127.0.0.1:0", lambda: (), SystemClock()) as bound:
        host, _, port = bound.address.rpartition(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(garbage.encode())
        writer.close()
        assert (await asked(bound.address, "GET /healthz HTTP/1.1\r\n\r\n")).startswith("HTTP/1.1 200 OK")


async def test_an_address_that_is_taken_cannot_be_listened_on():
    """The worker does not start."""
    async with answering_health("127.0.0.1:0", lambda: (), SystemClock()) as bound:
        with pytest.raises(CannotStart, match="health on 127"):
            async with answering_health(bound.address, lambda: (), SystemClock()):
                pass


async def test_a_worker_is_healthy_while_pulls_are_answered(service: WorkerService):
    """Before the first answer it is not, and thirty seconds after the last one not any more."""
    clock = still()
    async with working(service, nothing, clock=clock) as rig:
        assert rig.core.troubles() == ("the worker has not registered yet",)
        await rig.registered()
        await rig.pulled()
        assert not rig.core.troubles()
        service.script("Pull", *[grpc.StatusCode.UNAVAILABLE] * 10_000)
        await rig.pulled()
        await clock.advance(29)
        assert not rig.core.troubles()
        await clock.advance(2)
        assert rig.core.troubles() == ("no Pull has been answered for 31 s",)
        service.next.clear()
        await rig.until(lambda: not rig.core.troubles(), step=0.5)
