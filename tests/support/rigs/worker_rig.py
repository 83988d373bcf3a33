"""A worker in the test's process, and the clock and the handlers that a test gives it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from support.patience import until
from support.rigs.rig import START
from support.servers.worker_service import WorkerService

from schedule_grpc.engine import Bindings
from schedule_grpc.engine.runner import Here
from schedule_grpc.runtime.clock import Clock, SystemClock
from schedule_grpc.testing import FakeClock
from schedule_grpc.worker.calls import way_to
from schedule_grpc.worker.core import Core
from schedule_grpc.worker.worker import introduced, registry_of

T = TypeVar("T")


class NoBindings:
    """An environment without a binding."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


async def _nothing() -> None:
    return


def no_bindings() -> Bindings:
    """Return the bindings of one loop: none."""
    return Bindings(env=NoBindings(), aclose=_nothing)


@dataclass
class WorkerRig:
    """A worker that runs, its clock, and the service that it calls."""

    core: Core
    service: WorkerService
    clock: Clock
    run: "asyncio.Task[None]"

    async def registered(self, times: int = 1) -> None:
        """Wait until it has registered so often."""
        await self.until(lambda: len(self.service.registered) >= times)

    async def pulled(self) -> None:
        """Wait until its next Pull has arrived."""
        before = len(self.service.pulls)
        await self.until(lambda: len(self.service.pulls) > before, step=0.05)

    async def until(self, condition: Callable[[], T], *, step: float = 0.0) -> T:
        """Return what a condition gives once it is true; a clock that stands still moves on by ``step`` meanwhile."""

        async def looked() -> T:
            if step and isinstance(self.clock, FakeClock):
                await self.clock.advance(step)
            return condition()

        return await until(looked)

    async def over(self, *, step: float = 0.0) -> None:
        """Return once it has ended by itself; raise the error with which it ended."""
        await self.until(self.run.done, step=step)
        await self.run


@asynccontextmanager
async def working(
    service: WorkerService,
    *functions: Callable[..., Any],
    clock: Clock | None = None,
    elsewhere: bool = False,
    drain_timeout: float = 30,
    way: dict[str, Any] | None = None,
    **introduction: Any,
) -> AsyncIterator[WorkerRig]:
    """Within this context a worker runs these handlers; afterwards it stops without waiting for them.

    Args:
        service: What it calls.
        functions: Its handlers.
        clock: Its clock; None: the machine's.
        elsewhere: Whether async handlers run in event loops of their own, as in a real worker; else in the test's.
        drain_timeout: In seconds.
        way: Key and certificates.
        introduction: What it says of itself.
    """
    told = {"name": "tried", "version": "", "slots": 8, "lease": timedelta(seconds=30), "namespace": "", "labels": {}}
    time = clock or SystemClock()
    core = Core(
        introduced(**(told | introduction)),
        way=way_to(service.address, **({"tls": None, "token": None, "token_file": None} | (way or {}))),
        registry=registry_of(functions),
        bindings=no_bindings,
        drain_timeout=timedelta(seconds=drain_timeout),
        clock=time,
        place=None if elsewhere else Here(NoBindings()),
    )
    run = asyncio.create_task(core.run())
    rig = WorkerRig(core, service, time, run)
    try:
        yield rig
    finally:
        core.stop()
        core.stop()
        await rig.until(run.done, step=1.0)
        if not run.cancelled():
            run.exception()


def still() -> FakeClock:
    """Return a clock that stands still."""
    return FakeClock(START)


async def first_of(*waits: Awaitable[Any]) -> None:
    """Return once one of these is done; the others are cancelled."""
    tasks = [asyncio.ensure_future(each) for each in waits]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for each in tasks:
        each.cancel()
