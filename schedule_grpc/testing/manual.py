"""A whole service that acts only when the test lets it: real store, real engine, a clock that stands still."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

from schedule_grpc import builtin
from schedule_grpc.domain.execution import Execution, ExecutionFilter, State
from schedule_grpc.domain.json_input import table
from schedule_grpc.domain.paging import MAX_PAGE_SIZE, Page
from schedule_grpc.domain.registration import Registration
from schedule_grpc.domain.task import Policy, Task, define
from schedule_grpc.engine import Engine, EngineOptions
from schedule_grpc.events import Hub
from schedule_grpc.formats.task_file import registrations
from schedule_grpc.handlers import Env, Registry
from schedule_grpc.handlers.perform import GRACE
from schedule_grpc.runtime.clock import SystemClock
from schedule_grpc.service import Service
from schedule_grpc.store import Store, open_store
from schedule_grpc.testing.at_work import AtWork
from schedule_grpc.testing.fake_clock import FakeClock
from schedule_grpc.testing.given import given_clock, given_environment, offer_of

PATIENCE = timedelta(seconds=10)
"""How long, by the machine's clock, a test waits for handlers before it fails."""
PROMPTLY = timedelta(seconds=1)
"""How long, by the machine's clock, a handler that is asked to stop may take before the test's clock is moved."""
LOOK_AGAIN = timedelta(milliseconds=1)
"""How often, by the machine's clock, a test that waits for threads checks them."""


@dataclass(kw_only=True, slots=True)
class ManualService:
    """A whole service under the control of a test; made by `manual_service`."""

    clock: FakeClock
    env: Env
    """The bindings, as handlers see them: ``env.DB``."""
    store: Store
    hub: Hub
    registry: Registry
    options: EngineOptions | None
    patience: timedelta
    service: Service = field(init=False)
    """Every operation of the contract: cancel, backfill, disable, watching, ..."""
    engine: Engine = field(init=False)
    hearing: ExitStack = field(init=False, repr=False, default_factory=ExitStack)
    """The engine's subscription to events, as in a server: a cancelled execution stops."""
    _at_work: AtWork = field(init=False, repr=False, default_factory=AtWork)

    def __post_init__(self) -> None:
        """Build a service of the parts; it does nothing by itself."""
        self.service = Service(
            store=self.store,
            clock=self.clock,
            hub=self.hub,
            registry=self.registry,
            defaults=builtin.default_definitions(),
        )
        self.engine = self._new_engine()

    async def register(
        self,
        name: str,
        schedule: str,
        handler: str | Callable[..., Any],
        *,
        time_zone: str = "UTC",
        payload: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        description: str = "",
        policy: Policy | Mapping[str, Any] | None = None,
        enabled: bool | None = None,
        etag: str = "",
        validate_only: bool = False,
        allow_unknown_handler: bool = False,
    ) -> Task:
        """Register a task. A handler given as its decorated function is offered from then on.

        All else is as in a registration over gRPC.

        Raises:
            InvalidArgument, HandlerNotFound, EtagMismatch: as a registration over gRPC.
            ConfigurationError: if the function is not decorated, or another handler has its name.
            RuntimeError: if the function is new while handlers run.
        """
        definition = define(
            name=name,
            schedule=schedule,
            handler=handler if isinstance(handler, str) else self._offer(handler),
            time_zone=time_zone,
            payload=payload,
            metadata=metadata,
            description=description,
            policy=policy,
        )
        registration = Registration(
            definition=definition,
            enabled=enabled,
            validate_only=validate_only,
            etag=etag,
            allow_unknown_handler=allow_unknown_handler,
        )
        return await self.service.register(registration)

    async def register_file(self, file: Path | str) -> tuple[Task, ...]:
        """Register the ``[[tasks]]`` of a TOML file, such as your ``schedule.toml``: all, or none.

        Raises:
            InvalidArgument: with every error in the tables, or if there is none.
            HandlerNotFound: if a task's handler is not offered (a server would warn, and its executions would wait).
            OSError: if the file cannot be read.
            ValueError: if it is not TOML.
        """
        tables = table(await asyncio.to_thread(Path(file).read_bytes)).get("tasks", [])
        return await self.service.register_all(registrations(tables))

    async def tick(self, *, wait: bool = True) -> None:
        """Fire the tasks that are due now, and run every execution that can start to its end, with those it lets start.

        Time stands still meanwhile. For handlers that do not end by themselves (because they wait for the clock, or for
        the test), ``wait=False`` returns when every execution that can start has started, and every one that was asked
        to stop has stopped; then move the clock, or let the handlers go on, and tick again.

        Raises:
            TimeoutError: if handlers still run when the patience is over.
        """
        come_to_rest = self.engine.idle if wait else self._all_at_work
        await self._patiently(come_to_rest)  # an end during a look may let another one through that the look missed
        while await self.engine.tick():
            await self._patiently(come_to_rest)

    async def advance(self, by: timedelta | float) -> None:
        """Let time pass, seconds or a timedelta; occurrences that fall due on the way are fired and run at their time.

        To see the fate of occurrences that no server looked for, move the clock itself, and then tick:
        ``await service.clock.advance(...)``, ``await service.tick()``.

        Raises:
            TimeoutError: as `tick`.
            ValueError: if ``by`` is negative.
        """
        until = self.clock.now() + (by if isinstance(by, timedelta) else timedelta(seconds=by))
        if until < self.clock.now():
            raise ValueError(f"time does not go back: {by}")
        await self.tick()
        while (following := self.engine.next_time) is not None and following <= until:
            await self.clock.advance(max(following - self.clock.now(), timedelta(0)))
            await self.tick()
        await self.clock.advance(max(until - self.clock.now(), timedelta(0)))
        await self.tick()

    async def run_now(self, name: str, *, payload: Mapping[str, Any] | None = None) -> Execution:
        """Run a task now; return the execution after its first attempt: a retry comes as time passes.

        Raises:
            TaskNotFound, TaskDisabled, InvalidArgument: as a run over gRPC.
            TimeoutError: as `tick`.
        """
        execution = await self.service.run_now(name, payload=payload, detach=True)
        await self.tick()
        return await self.service.execution(execution.id)

    async def history(self, name: str) -> tuple[Execution, ...]:
        """Return all of a task's executions, the oldest first."""
        found: list[Execution] = []
        token = ""
        while True:
            page = await self.service.history(name, ExecutionFilter(), Page(size=MAX_PAGE_SIZE, token=token))
            found += page.executions
            token = page.next_page_token
            if not token:
                return tuple(reversed(found))

    async def states(self, name: str) -> list[str]:
        """Return the states of the task's executions, the oldest first."""
        return [execution.state.value for execution in await self.history(name)]

    # -- inside

    def _new_engine(self) -> Engine:
        engine = Engine(
            store=self.store,
            clock=self.clock,
            hub=self.hub,
            registry=self._at_work.watching(self.registry),
            env=self.env,
            options=self.options,
        )
        self.hearing.close()
        self.hearing.enter_context(engine.hearing())
        return engine

    def _offer(self, function: Callable[..., Any]) -> str:
        offer = offer_of(function)
        is_new = offer.name not in self.registry
        if is_new and self.engine.running:
            raise RuntimeError(f"{offer.name} is new, and handlers run: give it to manual_service(...)")
        self.registry.add(offer)
        if is_new:
            self.engine = self._new_engine()  # an engine knows the handlers that were there when it was made
        return offer.name

    async def _all_at_work(self) -> None:
        """Return once the handler of every running attempt has been called."""
        await self.clock.advance(0)  # handlers that were just asked to stop notice it
        while self.engine.running != len(self._at_work):
            machine = SystemClock()
            await machine.wait_until(machine.now() + LOOK_AGAIN, asyncio.Event())
            await self.clock.advance(0)

    async def _patiently(self, come_to_rest: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            async with SystemClock().timeout(self.patience.total_seconds()):
                await come_to_rest()
        except TimeoutError:
            running = ExecutionFilter(states=frozenset({State.RUNNING}))
            page = await self.service.executions(running, Page())
            handlers = ", ".join(f"{each.handler} ({each.id})" for each in page.executions)
            raise TimeoutError(
                f"still running after {self.patience.total_seconds():g} s of the machine's time: {handlers}. The clock "
                "stands still while handlers run: for one that waits for it, tick(wait=False) and move the clock"
            ) from None


@asynccontextmanager
async def manual_service(
    *handlers: Callable[..., Any] | ModuleType | str,
    start: datetime | None = None,
    clock: FakeClock | None = None,
    env: Mapping[str, Any] | Env | None = None,
    path: Path | None = None,
    options: EngineOptions | None = None,
    patience: timedelta = PATIENCE,
) -> AsyncIterator[ManualService]:
    """Open, for this context, a whole service on a SQLite file that offers the given handlers and the built-in ones.

    Attempts that still run at the end are asked to stop, and handed back.

    Args:
        handlers: Functions decorated with `handler`; modules of them, or their names.
        start: The time at first; 2026-01-31 12:00 UTC by default.
        clock: A clock of yours, instead of ``start``.
        env: Bindings by name: doubles of yours, or URLs as in the configuration; ``DB`` is the platform's database, in
            a file of its own, unless you give another. Or a whole Environment of yours.
        path: The file of tasks and history; by default a temporary one, deleted afterwards. A service on an
            existing file continues where the earlier one ended, as after a restart.
        options: Concurrency, as in the configuration of a server.
        patience: How long, by the machine's clock, a test waits for handlers that do not end before it fails.

    Raises:
        ConfigurationError: if a function is not decorated, a module offers no handler, or a URL cannot be used.
        DatabaseRefused: if the file must not be used.
    """
    registry = _registry(handlers)
    time = given_clock(clock, start)
    hub = Hub()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="schedule-grpc-")))
        if env is None or isinstance(env, Mapping):
            env = {"DB": f"sqlite:///{folder}/platform.db", **(env or {})}
        bindings = await stack.enter_async_context(given_environment(env))
        store = await open_store(path or folder / "schedule.db", hub)
        stack.push_async_callback(store.close)
        service = ManualService(
            clock=time, env=bindings, store=store, hub=hub, registry=registry, options=options, patience=patience
        )
        await store.offer_handlers(registry.handlers(), now=time.now())
        await service.engine.recover()
        stack.callback(service.hearing.close)
        stack.push_async_callback(_stop, service)
        yield service


async def _stop(service: ManualService) -> None:
    """Ask running handlers to stop, as a stopping server does, and hand their attempts back."""
    if not service.engine.running:
        return
    service.engine.stop()
    service.engine.stop()  # the second time: without waiting for it to end by itself
    stopping = asyncio.create_task(service.engine.run())
    try:
        async with SystemClock().timeout(PROMPTLY.total_seconds()):
            await asyncio.shield(stopping)
    except TimeoutError:
        await service.clock.advance(GRACE)
        await stopping


def _registry(handlers: tuple[Callable[..., Any] | ModuleType | str, ...]) -> Registry:
    registry = Registry()
    registry.add_module(builtin)
    for each in handlers:
        if isinstance(each, ModuleType | str):
            registry.add_module(each)
        else:
            registry.add_function(each)
    return registry
