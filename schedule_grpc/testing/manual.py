"""A whole service that does something only when it is told to: real store, real engine, a clock that stands still."""

import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from schedule_grpc.bindings import Environment
from schedule_grpc.engine import Engine
from schedule_grpc.events import Hub
from schedule_grpc.execution import Execution, ExecutionFilter
from schedule_grpc.handlers import Registry
from schedule_grpc.paging import MAX_PAGE_SIZE, Page
from schedule_grpc.registration import Registration
from schedule_grpc.service import Service
from schedule_grpc.store import open_store
from schedule_grpc.task import Policy, Task, define
from schedule_grpc.testing.fake_clock import FakeClock
from schedule_grpc.testing.running import NOON


@dataclass(frozen=True, kw_only=True, slots=True)
class ManualService:
    """Made by `manual_service`. ``service`` has every operation of the contract."""

    clock: FakeClock
    service: Service
    engine: Engine

    async def register(
        self,
        name: str,
        schedule: str,
        handler: str,
        *,
        time_zone: str = "UTC",
        payload: Mapping[str, Any] | None = None,
        policy: Policy | None = None,
        enabled: bool | None = None,
    ) -> Task:
        """Register a task.

        Raises:
            InvalidArgument, HandlerNotFound: as the service refuses it.
        """
        definition = define(
            name=name, schedule=schedule, handler=handler, time_zone=time_zone, payload=payload, policy=policy
        )
        return await self.service.register(Registration(definition=definition, enabled=enabled))

    async def tick(self) -> None:
        """Fire what is due now, start what can start, and wait for its end."""
        await self.engine.idle()  # what ends during a look may let another through, which that look did not see
        while await self.engine.tick():
            await self.engine.idle()

    async def advance(self, by: timedelta | float) -> None:
        """Let time pass, seconds or a timedelta; what falls due on the way is fired and run at its time, in order.

        A handler that waits for the clock itself (a timeout, a pause) goes on as the clock comes to it.
        """
        until = self.clock.now() + (by if isinstance(by, timedelta) else timedelta(seconds=by))
        await self.tick()
        while (following := self.engine.next_time) is not None and following <= until:
            await self.clock.advance(max(following - self.clock.now(), timedelta(0)))
            await self.tick()
        await self.clock.advance(max(until - self.clock.now(), timedelta(0)))
        await self.tick()

    async def run_now(self, name: str, *, payload: Mapping[str, Any] | None = None) -> Execution:
        """Run a task now; return the execution after its first attempt: a retry comes as time passes.

        Raises:
            TaskNotFound, TaskDisabled: as the service refuses it.
        """
        execution = await self.service.run_now(name, payload=payload, detach=True)
        await self.tick()
        return await self.service.execution(execution.id)

    async def history(self, name: str) -> tuple[Execution, ...]:
        """Return a task's newest thousand executions, the oldest of them first."""
        page = await self.service.history(name, ExecutionFilter(), Page(size=MAX_PAGE_SIZE))
        return tuple(reversed(page.executions))

    async def states(self, name: str) -> list[str]:
        """Return the states of the task's executions, the oldest first."""
        return [execution.state.value for execution in await self.history(name)]


@asynccontextmanager
async def manual_service(
    *handlers: Callable[..., Any], start: datetime = NOON, bindings: Mapping[str, str] | None = None
) -> AsyncIterator[ManualService]:
    """Within this context there is a service that offers some handlers, on a SQLite file in a folder of its own.

    Args:
        handlers: Functions decorated with `handler`.
        start: What time it is at first.
        bindings: URLs by name, as in the configuration.

    Raises:
        ConfigurationError: if a function is not decorated, or a URL is none.
    """
    registry = Registry()
    for function in handlers:
        registry.add_function(function)
    clock, hub, env = FakeClock(start), Hub(), Environment(bindings or {})
    with tempfile.TemporaryDirectory(prefix="schedule-grpc-") as folder:
        store = await open_store(Path(folder, "schedule.db"), hub)
        try:
            engine = Engine(store=store, clock=clock, hub=hub, registry=registry, env=env)
            service = Service(store=store, clock=clock, hub=hub, registry=registry)
            yield ManualService(clock=clock, service=service, engine=engine)
            await engine.idle()
        finally:
            await env.aclose()
            await store.close()
