"""The feed: ticks that name what changed, at most one a second, to those who may see it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import ExitStack, aclosing
from typing import Any

import pytest
from support.callers.page_reader import Reader
from support.rigs.rig import Rig

from schedule_grpc.api.ui.feed import MOST_NAMES, MOST_STREAMS, SILENCE, Feed
from schedule_grpc.domain.access.caller import Caller
from schedule_grpc.domain.access.grant import Grant
from schedule_grpc.domain.access.permit import UNLIMITED, Permit
from schedule_grpc.domain.access.scope import Scope
from schedule_grpc.errors import ResourceExhausted


async def numbers(_: Permit) -> dict[str, int]:
    """Count nothing."""
    return {"running": 0}


@pytest.fixture
def feed(rig: Rig) -> Feed:
    """The feed of a rig's service."""
    return Feed(rig.hub, rig.clock, numbers)


def tick(message: bytes) -> dict[str, Any]:
    """Return what a message says."""
    (data,) = [line for line in message.decode().splitlines() if line.startswith("data: ")]
    found: dict[str, Any] = json.loads(data.removeprefix("data: "))
    return found


async def next_tick(rig: Rig, messages: AsyncIterator[bytes]) -> dict[str, Any]:
    """Let time pass until a tick comes."""
    coming: asyncio.Task[bytes] = asyncio.ensure_future(anext(messages))  # type: ignore[arg-type]
    await rig.until_done(coming)
    return tick(await coming)


async def test_a_tick_names_what_changed(rig: Rig, feed: Feed):
    """The task and its execution; nothing comes while nothing happens."""
    with feed.joined(UNLIMITED) as stream:
        async with aclosing(aiter(stream)) as messages:
            assert "t" not in await next_tick(rig, messages)
            await rig.register("task")
            assert (await next_tick(rig, messages))["t"] == ["task"]
            execution = await rig.run_now("task")
            told = await next_tick(rig, messages)
            assert (told["t"], told["x"], told["n"]) == (["task"], [execution.id], {"running": 0})
            await rig.clock.advance(15)
            assert await anext(messages) == SILENCE


async def test_a_burst_is_one_tick(rig: Rig, feed: Feed):
    """A hundred changes within a second are told once, and as anything: too many to name."""
    with feed.joined(UNLIMITED) as stream:
        async with aclosing(aiter(stream)) as messages:
            await next_tick(rig, messages)
            for number in range(MOST_NAMES + 5):
                await rig.register(f"task-{number}")
            told = await next_tick(rig, messages)
            assert told["t"] is None
            assert len(json.dumps(told)) < 4096
            await rig.clock.advance(15)
            assert await anext(messages) == SILENCE


async def test_a_browser_hears_only_of_what_it_may_see(rig: Rig, feed: Feed):
    """Names that its grants do not cover, and other namespaces, are not in its ticks."""
    grants = (Grant(Scope.READ, "default", "mine-"),)
    mine = Permit(Caller(name="key:mine", grants=grants), "default", Scope.OBSERVE)
    elsewhere = Permit(UNLIMITED.caller, "reports", Scope.OBSERVE)
    with feed.joined(mine) as stream, feed.joined(elsewhere) as other:
        async with aclosing(aiter(stream)) as messages, aclosing(aiter(other)) as others:
            await next_tick(rig, messages)
            await next_tick(rig, others)
            await rig.register("mine-a")
            await rig.register("theirs")
            assert (await next_tick(rig, messages))["t"] == ["mine-a"]
            await rig.clock.advance(15)
            assert await anext(others) == SILENCE


async def test_a_slow_browser_is_told_that_anything_changed(rig: Rig, feed: Feed):
    """A tick that it did not read is not lost: the newer one stands for both."""
    with feed.joined(UNLIMITED) as stream:
        for name in ("first", "second"):
            await rig.register(name)
            await rig.clock.advance(2)
            await rig.written()
        async with aclosing(aiter(stream)) as messages:
            assert (await next_tick(rig, messages))["t"] is None


async def test_streams_end_with_the_server(rig: Rig, feed: Feed):
    """And one that comes later ends at once."""
    with feed.joined(UNLIMITED) as stream:
        rig.service.drain()
        assert [message async for message in stream] == []
    with feed.joined(UNLIMITED) as stream:
        assert [message async for message in stream] == []
    assert feed.stream_count == 0


async def test_there_is_an_end_to_streams(feed: Feed):
    """One more than there may be is refused, and nothing is heard once all are gone."""
    streams = [feed.joined(UNLIMITED) for _ in range(MOST_STREAMS)]
    for each in streams:
        each.__enter__()
    with pytest.raises(ResourceExhausted), feed.joined(UNLIMITED):
        pass
    assert feed.version is not None
    for each in streams:
        each.__exit__(None, None, None)
    assert feed.version is None
    assert feed.mark == ""


async def test_a_tick_tells_of_the_servers_health(rig: Rig):
    """Those who may know, at once with what changed, and within a heartbeat where nothing does; no others hear it."""
    troubles: list[str] = []
    known = {"key:operator": troubles}
    operator = Permit(Caller(name="key:operator", grants=(Grant(Scope.OBSERVE, "*"),)), "default", Scope.OBSERVE)
    other = Permit(Caller(name="key:other", grants=(Grant(Scope.OBSERVE, "default"),)), "default", Scope.OBSERVE)
    feed = Feed(rig.hub, rig.clock, numbers, lambda permit: known.get(permit.caller.name))
    with feed.joined(operator) as stream, feed.joined(other) as others:
        async with aclosing(aiter(stream)) as messages, aclosing(aiter(others)) as of_others:
            assert (await next_tick(rig, messages))["h"] == []
            assert "h" not in await next_tick(rig, of_others)
            known["key:operator"] = ["the database does not answer"]
            await rig.clock.advance(15)
            told = tick(await anext(messages))
            assert (told["h"], "t" in told) == (["the database does not answer"], False)
            assert await anext(of_others) == SILENCE
            known["key:operator"] = []
            await rig.register("task")
            assert (await next_tick(rig, messages))["h"] == []
            assert "h" not in await next_tick(rig, of_others)


async def test_a_browser_too_many_is_refused_before_its_answer_begins(pages: Reader):
    """By a status: after an answer that begins well and ends at once, browsers would ask again each second."""
    feed: Feed = pages.app._app.state.feed
    with ExitStack() as stack:
        for _ in range(MOST_STREAMS):
            stack.enter_context(feed.joined(UNLIMITED))
        refused = await pages.get("/ui/feed")
        assert (refused.status, refused.json["success"]) == (429, False)
    assert feed.stream_count == 0
