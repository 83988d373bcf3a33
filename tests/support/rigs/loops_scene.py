"""Handlers' loops for tests: real threads, and handlers that do not give way until the test says so."""

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
import structlog
from support.patience import until
from support.rigs.rig import START

from schedule_grpc.domain.registration import registered
from schedule_grpc.domain.task import define
from schedule_grpc.engine import Bindings, HandlerLoops, handler_loops
from schedule_grpc.handlers import Fate, Offer, TaskContext, perform
from schedule_grpc.runtime.clock import SystemClock
from schedule_grpc.testing import FakeClock

MINUTE = timedelta(minutes=1)


@dataclass
class Numbered:
    """The bindings of one loop: which one, and whether they were closed."""

    number: int
    closed: bool = False

    async def aclose(self) -> None:
        """Close them."""
        self.closed = True


@dataclass
class Scene:
    """Loops, and what was made for them."""

    loops: HandlerLoops
    made: list[Numbered]
    clock: FakeClock = field(default_factory=lambda: FakeClock(START))
    """By which attempts are timed; whether a loop is blocked is seen by the machine's."""
    held: threading.Event = field(default_factory=threading.Event)
    entered: threading.Event = field(default_factory=threading.Event)

    async def blocks(self, _: TaskContext) -> str:
        """Give way to nobody until the test lets go."""
        self.entered.set()
        self.held.wait(60)
        return "at last"

    def context(self) -> TaskContext:
        """Return what a handler gets."""
        task = registered(None, define(name="t", schedule="@daily", handler="h"), enabled=None, now=START).after
        return TaskContext(
            task=task,
            execution_id="exec_t_1_a",
            attempt=1,
            scheduled_time=None,
            deadline=START + MINUTE,
            payload={},
            env=self.loops.env,
            clock=self.clock,
            log=structlog.get_logger(),
        )

    def call(self, function) -> "asyncio.Task[Fate]":
        """Perform a handler in the loops, with a minute's timeout."""
        offer = Offer(name="h", description="", function=function, is_async=True)
        stop = asyncio.get_running_loop().create_future()
        return asyncio.create_task(perform(offer, self.context(), timeout=MINUTE, stop=stop, begin=self.loops.begin))

    async def neighbour(self) -> "asyncio.Task[Fate]":
        """Let a handler wait in the newest loop; return its call."""
        began = threading.Event()

        async def waits(_: TaskContext) -> None:
            began.set()
            await asyncio.Event().wait()

        call = self.call(waits)
        await asyncio.to_thread(began.wait, 60)
        return call

    async def blocked(self) -> "asyncio.Task[Fate]":
        """Let a handler block the newest loop; return its call."""
        call = self.call(self.blocks)
        await asyncio.to_thread(self.entered.wait, 60)
        current = self.loops.current

        async def noticed() -> bool:
            return current.is_blocked

        await until(noticed)
        return call


@pytest.fixture
async def scene(monkeypatch) -> AsyncIterator[Scene]:
    """One loop, which counts as blocked soon."""
    monkeypatch.setattr(handler_loops, "BLOCKED", 0.5)
    made: list[Numbered] = []

    def next_bindings() -> Bindings:
        made.append(env := Numbered(len(made) + 1))
        return Bindings(env=env, aclose=env.aclose)  # type: ignore[arg-type]

    loops = HandlerLoops(bindings=next_bindings, clock=SystemClock())
    loops.open()
    scene = Scene(loops, made)
    yield scene
    scene.held.set()
    await loops.close()


async def where(ctx: TaskContext) -> list[Any]:
    """Tell in which thread it runs, and with which bindings."""
    return [threading.current_thread().name, ctx.env.number]
