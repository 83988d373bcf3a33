"""A channel to a real gRPC server with a health service."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio

from schedule_grpc.bindings import Environment
from schedule_grpc.errors import BindingError
from schedule_grpc.testing import FakeClock

NOW = datetime(2026, 1, 31, 10, tzinfo=UTC)
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Silent(health_pb2_grpc.HealthServicer):
    """A health service that never answers."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Wait for ever."""
        self.asked.set()
        await asyncio.Event().wait()


@asynccontextmanager
async def served(servicer: Any = None, *, port: int = 0, credentials: Any = None) -> AsyncIterator[int]:
    """Run a server; its port."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    if servicer is not None:
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    address = f"127.0.0.1:{port}"
    bound = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    await server.start()
    try:
        yield bound
    finally:
        await server.stop(None)


async def left_behind(channel: grpc.aio.Channel) -> None:
    """Return once a channel has seen that its connection is gone."""
    while (state := channel.get_state()) == grpc.ChannelConnectivity.READY:
        await channel.wait_for_state_change(state)


def environment(port: int, clock: FakeClock | None = None, **options: Any) -> Environment:
    """Return an environment whose REMOTE is there."""
    return Environment({"REMOTE": {"url": f"grpc://127.0.0.1:{port}", **options}}, clock=clock)


async def test_a_handler_gets_a_channel_for_stubs_of_his_own():
    """The same one every time; it is closed with the binding."""
    async with served(health_aio.HealthServicer()) as port:
        env = environment(port)
        channel = await env.REMOTE.channel()
        assert channel is await env.REMOTE.channel()
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
        assert answer.status == SERVING
        await env.aclose()
        with pytest.raises(grpc.aio.UsageError):
            await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())


async def test_a_ping_asks_for_the_services_health():
    """Of the whole server, or of the service that the option names."""
    servicer = health_aio.HealthServicer()
    await servicer.set("shop.Till", NOT_SERVING)
    async with served(servicer) as port:
        whole, one, unknown = (
            environment(port, **option) for option in ({}, {"service": "shop.Till"}, {"service": "x"})
        )
        await whole.ping("REMOTE")
        with pytest.raises(BindingError, match=r"^REMOTE: says that it is NOT_SERVING$"):
            await one.ping("REMOTE")
        await servicer.set("shop.Till", SERVING)
        await one.ping("REMOTE")
        with pytest.raises(BindingError, match=r"^REMOTE: NOT_FOUND"):
            await unknown.ping("REMOTE")
        for env in (whole, one, unknown):
            await env.aclose()


async def test_a_server_without_a_health_service_is_told():
    """It answers, but nobody knows whether it works."""
    async with served() as port:
        env = environment(port)
        with pytest.raises(BindingError, match=r"^REMOTE: offers no health service \(grpc.health.v1\)$"):
            await env.ping("REMOTE")
        await env.aclose()


async def test_a_server_that_is_down_at_first_use_and_back_later(relay):
    """The error comes at once, the channel finds it again; a connection that is lost while idle heals unnoticed."""
    async with served(health_aio.HealthServicer()) as port:
        way = await relay(port)
        await way.close()
        env = environment(way.port)
        with pytest.raises(BindingError, match=r"^REMOTE: UNAVAILABLE: .*refused"):
            await env.ping("REMOTE")
        await way.open()
        channel = await env.REMOTE.channel()
        await channel.channel_ready()
        await env.ping("REMOTE")
        await way.cut()
        await left_behind(channel)
        await env.ping("REMOTE")
        way.hold()
        asking = asyncio.create_task(env.ping("REMOTE"))
        await way.held.wait()
        await way.cut()
        with pytest.raises(BindingError, match=r"^REMOTE: UNAVAILABLE"):
            await asking
        way.go_on()
        await left_behind(channel)
        await channel.channel_ready()
        await env.ping("REMOTE")
        await env.aclose()


async def test_a_server_that_does_not_answer_is_given_up_in_time():
    """After the binding's timeout."""
    servicer = Silent()
    async with served(servicer) as port:
        clock = FakeClock(NOW)
        env = environment(port, clock, timeout="4s")
        asking = asyncio.create_task(env.ping("REMOTE"))
        await servicer.asked.wait()
        await clock.advance(4)
        with pytest.raises(BindingError, match=r"^REMOTE: no answer within 4s$"):
            await asking
        await env.aclose()


async def test_closing_ends_what_is_in_use():
    """gRPC cancels the call; its caller, who is not cancelled, gets an error that says so."""
    servicer = Silent()
    async with served(servicer) as port:
        env = environment(port)
        asking = asyncio.create_task(env.ping("REMOTE"))
        await servicer.asked.wait()
        await env.aclose()
        with pytest.raises(BindingError, match=r"^REMOTE: is closed$"):
            await asking
        with pytest.raises(BindingError, match=r"^REMOTE: is closed$"):
            await env.REMOTE.channel()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A certificate of 127.0.0.1, signed by itself."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    return lambda name: folder / name


async def test_tls_is_spoken_where_the_url_says_so(certificate):
    """Only with a server whose certificate is known; and to one that wants it, our own is shown."""
    key, own = certificate("key.pem").read_bytes(), certificate("cert.pem").read_bytes()
    demanding = grpc.ssl_server_credentials([(key, own)], root_certificates=own, require_client_auth=True)
    async with served(health_aio.HealthServicer(), credentials=demanding) as port:
        known = {"url": f"grpcs://127.0.0.1:{port}", "ca_file": str(certificate("cert.pem"))}
        shown = {"cert_file": str(certificate("cert.pem")), "key_file": str(certificate("key.pem"))}
        for told in (f"grpc://127.0.0.1:{port}", known["url"], known):
            env = Environment({"REMOTE": told})
            with pytest.raises(BindingError, match=r"^REMOTE: UNAVAILABLE"):
                await env.ping("REMOTE")
            await env.aclose()
        env = Environment({"REMOTE": {**known, **shown}})
        await env.ping("REMOTE")
        await env.aclose()


async def test_a_certificate_that_cannot_be_read_is_told(tmp_path: Path):
    """Option and file; its content never."""
    env = Environment({"REMOTE": {"url": "grpcs://127.0.0.1:1", "ca_file": str(tmp_path / "none.pem")}})
    with pytest.raises(BindingError, match=r"^REMOTE: ca_file: .*none\.pem cannot be read: No such file"):
        await env.ping("REMOTE")
    await env.aclose()
