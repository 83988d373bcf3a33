"""Connections of gRPC: how many calls one may hold, that a silent one is not cut, and an old one without a loss."""

import asyncio
import time
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from support.callers.raw_http2 import (
    CANCEL,
    END_HEADERS,
    HEADERS,
    PING,
    RST_STREAM,
    SETTINGS,
    call_headers,
    connected,
    frame,
)
from support.patience import AT_MOST
from support.servers.live import Live, serving

from schedule_grpc.api import GrpcServer, servicer
from schedule_grpc.app.edges import YOUNGEST
from schedule_grpc.pb import schedule_pb2 as pb
from schedule_grpc.runtime.listeners import Listener

MAX_CONCURRENT_STREAMS = 3
"""Its number among the settings of HTTP/2."""
NO_ERROR = bytes(4)


async def test_a_connection_holds_a_bounded_number_of_calls(live: Live):
    """It is told how many."""
    async with connected(live.parts.address) as connection:
        settings = (await connection.next(SETTINGS)).payload
    pairs = [settings[start : start + 6] for start in range(0, len(settings), 6)]
    told = {int.from_bytes(pair[:2], "big"): int.from_bytes(pair[2:], "big") for pair in pairs}
    assert told[MAX_CONCURRENT_STREAMS] == 5000


async def test_streams_that_are_reset_at_once_are_not_all_taken_up(live: Live):
    """Of many more calls than one connection may hold some are refused, and others are answered meanwhile."""
    head = call_headers(b"/schedule.v1.ScheduleService/GetTask")
    async with connected(live.parts.address) as connection:
        for number in range(20_000):
            stream = 2 * number + 1
            connection.writer.write(frame(HEADERS, END_HEADERS, stream, head) + frame(RST_STREAM, 0, stream, CANCEL))
        await connection.writer.drain()
        for _ in range(1000):
            assert (await connection.next(RST_STREAM)).payload != NO_ERROR
        assert (await live.client.list_tasks()).tasks == ()


async def test_a_silent_connection_is_asked_for_a_sign_of_life():
    """A PING, though no call is under way: proxies and firewalls cut what is silent."""
    server = GrpcServer(None, keepalive_ms=100)
    (bound,) = await server.start([Listener(address="127.0.0.1:0")])
    try:
        async with connected(bound.address) as connection:
            assert len((await asyncio.wait_for(connection.next(PING), 60)).payload) == 8
    finally:
        await server.stop(0)


async def test_a_watch_of_nothing_says_so(live: Live, monkeypatch: pytest.MonkeyPatch):
    """A message without an event now and then, which passes proxies that end HTTP/2 themselves."""
    monkeypatch.setattr(servicer, "HEARTBEAT", timedelta(milliseconds=50))
    watch = live.stub.WatchExecutions(pb.WatchExecutionsRequest())
    for _ in range(2):
        message = await watch.read()
        assert isinstance(message, pb.WatchExecutionsResponse)
        assert message.WhichOneof("event") is None
    watch.cancel()


SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


async def test_an_old_connection_takes_no_new_calls_and_ends_those_that_it_has():
    """Its client makes another one, by itself; a call of an hour goes on where it is."""
    server = GrpcServer(None, connection_age=YOUNGEST)
    (bound,) = await server.start([Listener(address="127.0.0.1:0")])
    try:
        async with grpc.aio.insecure_channel(bound.address) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            watch = health.Watch(health_pb2.HealthCheckRequest())
            assert (await watch.read()).status == NOT_SERVING
            async with asyncio.timeout(AT_MOST):
                await channel.wait_for_state_change(grpc.ChannelConnectivity.READY)
            assert (await health.Check(health_pb2.HealthCheckRequest())).status == NOT_SERVING
            await server.set_serving(serving=True)
            assert (await watch.read()).status == SERVING
            watch.cancel()
    finally:
        await server.stop(0)


async def test_connections_are_renewed_where_a_stopping_server_leads_callers_away(tmp_path: Path):
    """Each of them within the delay, though only half of it is used: the other half is for those that come late."""
    async with (
        serving(tmp_path / "schedule.db", drain_delay=2 * YOUNGEST) as live,
        grpc.aio.insecure_channel(live.parts.address) as channel,
        asyncio.timeout(AT_MOST),
    ):
        await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        await channel.wait_for_state_change(grpc.ChannelConnectivity.READY)


async def test_a_connection_lasts_for_a_second_however_short_the_delay_is(tmp_path: Path):
    """One that ends before its client has used it keeps the client busy for ever."""
    began = time.monotonic()
    async with (
        serving(tmp_path / "schedule.db", drain_delay=timedelta(milliseconds=1)) as live,
        grpc.aio.insecure_channel(live.parts.address) as channel,
        asyncio.timeout(AT_MOST),
    ):
        await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        await channel.wait_for_state_change(grpc.ChannelConnectivity.READY)
    assert time.monotonic() - began > 0.9 * YOUNGEST.total_seconds()  # gRPC's own jitter is a tenth
