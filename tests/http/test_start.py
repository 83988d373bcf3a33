"""HTTP while a server starts: it listens at once, and is loaded once what waited for the server has been started."""

import asyncio
from pathlib import Path

import httpx2
import pytest
from support.rigs.rig import START

from schedule_grpc import app
from schedule_grpc.app import edges
from schedule_grpc.runtime.clock import SystemClock
from schedule_grpc.settings.config import Settings
from schedule_grpc.testing import FakeClock


class Standing:
    """An engine that has caught up when it is told so, and an interface that notes that it was loaded."""

    caught_up = False
    loaded = False

    async def answer(self) -> None:
        """Note it."""
        self.loaded = True


async def loading(standing: Standing, clock: FakeClock) -> "asyncio.Task[None]":
    """Have the interface loaded when there is time, and return once that waits."""
    task = asyncio.create_task(edges._answer_http(standing, lambda: standing.caught_up, clock))
    await clock.advance(0.1)
    return task


async def test_it_is_loaded_once_the_engine_has_caught_up():
    """Loading takes the interpreter from the engine: what was due goes first."""
    standing, clock = Standing(), FakeClock(START)
    task = await loading(standing, clock)
    assert not standing.loaded
    standing.caught_up = True
    await clock.advance(0.1)
    await task
    assert standing.loaded


async def test_it_does_not_wait_for_an_engine_that_always_has_work():
    """More than runs at once may be waiting for hours."""
    standing, clock = Standing(), FakeClock(START)
    task = await loading(standing, clock)
    await clock.advance(edges.CATCHES_UP_WITHIN)
    await task
    assert standing.loaded


async def test_who_calls_before_it_is_loaded_is_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The address is listened on before the code is there."""
    monkeypatch.setattr(edges, "CATCHES_UP_WITHIN", 0.0)
    settings = Settings(database=f"sqlite:///{tmp_path}/s.db", grpc="127.0.0.1:0", http="127.0.0.1:0")
    async with app.running(settings, clock=SystemClock()) as parts:
        assert parts.http_answers is not None
        assert not parts.http_answers.done()
        async with httpx2.AsyncClient(base_url=f"http://{parts.http_address}", trust_env=False, timeout=60) as client:
            answer = await client.get("/health")
        assert answer.status_code == 503, "its engine does not run"
        await parts.http_answers
