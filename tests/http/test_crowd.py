"""Many connections, many bodies, many streams at once: the first keep their place, supervisors are answered."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx2
import pytest
from support.callers.raw_http import raw
from support.servers import keyed_run
from support.servers.live import Live

from schedule_grpc.api.http import crowd, events, guard
from schedule_grpc.api.http.crowd import Crowd

TASKS = b"GET /tasks HTTP/1.1\r\nHost: localhost\r\n\r\n"
HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
OK, FULL = b"HTTP/1.1 200", b"HTTP/1.1 503"


@dataclass(eq=False)
class Place:
    """A connection of no network."""

    ended: bool = False

    def end(self) -> None:
        """Remember it."""
        self.ended = True


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Crowd:
    """A crowd with room for three, and for two outside."""
    monkeypatch.setattr(crowd, "MOST_CONNECTIONS", 3)
    monkeypatch.setattr(crowd, "MOST_OUTSIDE", 2)
    return Crowd()


def come(crowd: Crowd, now: float, count: int = 1) -> list[Place]:
    """Let some connections come."""
    places = [Place() for _ in range(count)]
    for place in places:
        crowd.enter(place, now)
    return places


def test_the_idlest_gives_its_place(small: Crowd):
    """Not one that is busy, nor one that was idle for less than a second."""
    first, second, third = come(small, 0.0, 3)
    assert all(small.begin(each, 0.5) for each in (first, second, third))
    small.pause(second, 1.0)
    small.pause(first, 2.0)
    (fourth,) = come(small, 2.5)
    assert [first.ended, second.ended, third.ended] == [False, True, False]
    assert small.begin(fourth, 2.6)
    (fifth,) = come(small, 2.9)
    assert not first.ended
    assert not small.begin(fifth, 2.9)
    assert small.begin(fifth, 3.0)
    assert first.ended


def test_who_came_first_keeps_its_place(small: Crowd):
    """Of many at once, the first are in, though none has said anything yet."""
    places = come(small, 0.0, 5)
    assert [small.begin(each, 0.1) for each in places] == [True, True, True, False, False]
    assert not any(each.ended for each in places)


def test_who_leaves_makes_room(small: Crowd):
    """For one that waits outside, with its next request."""
    first, *_, outside = come(small, 0.0, 4)
    assert not small.begin(outside, 0.0)
    small.leave(first)
    assert small.begin(outside, 0.0)


def test_only_a_few_wait_outside(small: Crowd):
    """The one that came first has had its time."""
    places = come(small, 0.0, 7)
    assert [each.ended for each in places] == [False, False, False, True, True, False, False]
    for place in places:
        small.leave(place)
    assert [small.begin(each, 0.0) for each in come(small, 0.0, 3)] == [True] * 3


@asynccontextmanager
async def connections(live: Live, count: int) -> AsyncIterator[list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]:
    """Within this context some connections are open, and have sent nothing."""
    host, _, port = str(live.parts.http_address).rpartition(":")
    opened = [await asyncio.open_connection(host, int(port)) for _ in range(count)]
    try:
        yield opened
    finally:
        for _, writer in opened:
            writer.close()


async def status(connection: tuple[asyncio.StreamReader, asyncio.StreamWriter], request: bytes) -> bytes:
    """Send a request; return the beginning of the status line."""
    reader, writer = connection
    writer.write(keyed_run.keyed(request, str(writer.get_extra_info("peername")[1])))
    return (await reader.readline())[:12]


async def test_idle_connections_keep_nobody_out(inside: Live, monkeypatch: pytest.MonkeyPatch):
    """The idlest is closed for one that comes."""
    monkeypatch.setattr(crowd, "MOST_CONNECTIONS", 3)
    monkeypatch.setattr(crowd, "SPARED_SECONDS", 0.0)
    async with connections(inside, 3) as idle:
        assert [await status(each, TASKS) for each in idle[1:]] == [OK, OK]
        assert (await raw(inside, TASKS)).startswith(OK)
        assert await idle[0][0].read() == b""


async def test_busy_connections_keep_theirs_and_health_is_told(inside: Live, monkeypatch: pytest.MonkeyPatch):
    """One more is refused in the envelope, but for the question how the server is."""
    monkeypatch.setattr(crowd, "MOST_CONNECTIONS", 2)
    monkeypatch.setattr(crowd, "SPARED_SECONDS", 0.0)
    async with connections(inside, 2) as busy:
        for each in busy:
            assert await status(each, b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n") == OK
        answer = await raw(inside, TASKS)
        assert answer.startswith(FULL)
        assert b"retry-after: 1" in answer
        assert b"connection: close" in answer
        assert answer.endswith(b'{"success":false,"error":"There are too many connections"}')
        assert (await raw(inside, HEALTH)).startswith(OK)
        assert (await raw(inside, b"HEAD /health HTTP/1.0\r\n\r\n")).startswith(OK)
    assert (await raw(inside, TASKS)).startswith(OK)


async def test_of_many_at_once_the_first_are_answered(inside: Live, monkeypatch: pytest.MonkeyPatch):
    """However many come behind them."""
    monkeypatch.setattr(crowd, "MOST_CONNECTIONS", 10)
    async with connections(inside, 14) as opened:
        statuses = await asyncio.gather(*(status(each, TASKS) for each in opened))
    assert statuses == [OK] * 10 + [FULL] * 4


async def test_large_bodies_under_way_are_bounded_together(inside: Live, monkeypatch: pytest.MonkeyPatch):
    """One more is refused, unless it is small; when they have gone there is room again."""
    monkeypatch.setattr(guard, "MAX_BODIES_BYTES", 100_000)
    head = b"POST /init HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    large = head % 60_000 + b" " * 59_999
    async with connections(inside, 2) as slow:
        slow[0][1].write(keyed_run.keyed(large, str(inside.parts.http_address)))
        assert await status(slow[1], large) == FULL
        answer = await raw(inside, head % 50_000 + b" " * 50_000)
        assert answer.startswith(FULL)
        assert answer.endswith(b'{"success":false,"error":"There are too many large bodies under way"}')
        assert (await raw(inside, head % 2 + b"{}")).startswith(OK)
        slow[0][1].write(b" ")
        assert (await slow[0][0].readline()).startswith(OK)
    assert (await raw(inside, head % 50_000 + b" " * 50_000)).startswith(OK)


async def test_streams_that_begin_at_once_are_counted(inside: Live, caller: httpx2.AsyncClient, monkeypatch):
    """Also before the first event of any; one that ends makes room."""
    monkeypatch.setattr(events, "MOST_STREAMS", 3)
    request = b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n"
    async with connections(inside, 9) as opened:
        statuses = await asyncio.gather(*(status(each, request) for each in opened))
        assert sorted(statuses) == [OK] * 3 + [b"HTTP/1.1 429"] * 6
    while (await status_of_stream(caller)) != 200:  # those that left are noticed one after the other
        pass


async def status_of_stream(caller: httpx2.AsyncClient) -> int:
    """Open a stream and leave it."""
    async with caller.stream("GET", "/events") as response:
        return response.status_code
