"""The composition root: settings in, a running server out. Everything else gets values."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import structlog

from schedule_grpc import builtin
from schedule_grpc.access.authenticator import Mode
from schedule_grpc.access.gate import Gate
from schedule_grpc.alerts import Sender, open_targets, read_secret
from schedule_grpc.api import GrpcServer
from schedule_grpc.app.audit_journal import audit_journal
from schedule_grpc.app.edges import SOON, Core, opened_edges
from schedule_grpc.app.leaving import Leaving, drain
from schedule_grpc.app.measuring import counting, instruments, keep_counting
from schedule_grpc.dispatch import Workers
from schedule_grpc.domain.access.quota import QuotaExceeded
from schedule_grpc.domain.paging import Page
from schedule_grpc.domain.registration import Registration
from schedule_grpc.domain.task import Task, TaskFilter
from schedule_grpc.engine import AbsentEngine, Engine, EngineOptions, HandlerLoops, Watchdog
from schedule_grpc.engine.log_lines import one_by_one
from schedule_grpc.errors import ConfigurationError, HandlerNotAllowed, NamespaceNotFound
from schedule_grpc.events import Hub
from schedule_grpc.handlers import Registry
from schedule_grpc.log import set_up as log_set_up
from schedule_grpc.metrics import Metrics
from schedule_grpc.runtime import signals
from schedule_grpc.runtime.agreed_clock import AgreedClock
from schedule_grpc.runtime.clock import Clock, SystemClock
from schedule_grpc.runtime.listeners import Bound
from schedule_grpc.runtime.threads import in_thread
from schedule_grpc.service import Service, Vitals
from schedule_grpc.settings.config import AlertSettings, Settings
from schedule_grpc.settings.handler_bindings import handler_bindings
from schedule_grpc.store import LogBook, LogPolicy, Store, open_store, shown
from schedule_grpc.telemetry.configured import server_tracer

log = structlog.get_logger(__name__)

SHOWN_TASKS = 100
"""Tasks that a starting server shows at most."""
BEGINS_WITHIN = 5.0
"""Seconds after which a server reports its addresses even if its engine has not begun: the database is away."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunningServer:
    """The facts that a server shows once it answers calls."""

    grpc_addresses: tuple[Bound, ...]
    http_addresses: tuple[Bound, ...]
    tasks: tuple[Task, ...]
    """The first tasks of the namespace ``default``, by name."""
    more: bool
    """Whether there are more tasks."""
    api: bool
    """Whether it answers calls besides health checks."""
    ui: bool
    """Whether it shows the dashboard to browsers."""
    asks_callers: bool
    """Whether callers must prove who they are."""
    path_prefix: str = ""
    """What paths of HTTP begin with."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """The parts of a server, for a program or test that runs one inside itself."""

    store: Store
    engine: Engine | AbsentEngine
    logbook: LogBook
    service: Service
    workers: Workers
    server: GrpcServer
    gate: Gate
    metrics: Metrics
    sender: Sender
    hub: Hub
    leaving: Leaving
    addresses: tuple[Bound, ...]
    http_addresses: tuple[Bound, ...]
    """Empty: there is no HTTP interface."""
    http_answers: "asyncio.Task[None] | None"
    """Ends once HTTP calls are answered."""

    @property
    def address(self) -> str:
        """The first address of gRPC."""
        return self.addresses[0].address

    @property
    def http_address(self) -> str | None:
        """The first address of HTTP; None if there is no HTTP interface."""
        return self.http_addresses[0].address if self.http_addresses else None


async def serve(
    settings: Settings, *, init: bool = False, ready: Callable[[RunningServer], None] | None = None
) -> None:
    """Run a server until SIGTERM, SIGINT or SIGHUP; a second signal does not wait for callers or running work.

    To be called last in a process: signals that come after it are ignored.

    Args:
        settings: The configuration.
        init: Register the missing built-in tasks.
        ready: Called in a thread once the server answers calls.

    Raises:
        ConfigurationError: if a binding, an alert's target or a handler cannot be used; its subclass `CannotStart`, if
            an address or a handler module is not available.
        DatabaseRefused: if the database file must not be used.
    """
    stopping = asyncio.Event()
    hurry: list[Callable[[], None]] = []

    def asked() -> None:
        if stopping.is_set():
            for call in hurry:
                call()
        stopping.set()

    clock = SystemClock()
    with signals.hearing(asked):
        async with running(settings, clock=clock, init=init) as parts:
            with Watchdog(clock, lagged=parts.metrics.lagged).watching():
                engine = asyncio.create_task(parts.engine.run(), name="engine")
                alerts = asyncio.create_task(parts.sender.run(parts.hub, parts.leaving.begun), name="alerts")
                hurry.extend((parts.leaving.hurry, parts.engine.stop))
                try:
                    await _until_begun(parts, engine, stopping, clock)
                    if parts.http_answers is not None:
                        await parts.http_answers
                    if ready is not None:
                        server = await _running_now(parts, settings)
                        await in_thread(lambda _: ready(server), name="ready")
                    await _until_stopped(parts, engine, stopping, clock)
                finally:
                    await drain(parts, engine)
                    await alerts


@asynccontextmanager
async def running(settings: Settings, *, clock: Clock, init: bool = False) -> AsyncIterator[Parts]:
    """Within this context a server answers calls; its engine is recovered but not started.

    Raises:
        ConfigurationError, DatabaseRefused: as `serve`.
    """
    registry = _registry(settings)
    hub = Hub()
    metrics = instruments(settings.metrics)
    async with AsyncExitStack() as stack:
        tracer = await server_tracer(settings.otel, hub, metrics.registry, clock, stack)
        store, clock = await _opened(settings.database, hub, metrics, clock, stack)
        # Before the others: executions that end with their task count as a deleted task's.
        stack.enter_context(hub.listening(metrics.notice_deleted, with_peers=True))
        stack.enter_context(hub.listening(metrics.notice))
        if settings.audit.log:
            stack.enter_context(hub.listening(partial(audit_journal, write=log_set_up.writer() or one_by_one)))
        loops = HandlerLoops(bindings=partial(handler_bindings, settings, clock), clock=clock)
        loops.open()
        stack.push_async_callback(loops.close)
        logbook = LogBook(
            store=store,
            clock=clock,
            hub=hub,
            policy=LogPolicy(keep=settings.logs.keep, max_age=settings.logs.max_age),
            count=metrics.lines_kept,
        )
        await stack.enter_async_context(_working(logbook.run))
        engine: Engine | AbsentEngine = AbsentEngine(store=store, clock=clock)
        if settings.engine:
            options = EngineOptions(
                concurrency=settings.concurrency,
                drain_timeout=settings.drain_timeout,
                audit_retention=settings.audit.retention,
            )
            engine = Engine(
                store=store,
                clock=clock,
                hub=hub,
                registry=registry,
                env=loops,
                options=options,
                write_lines=log_set_up.writer(),
                logbook=logbook,
                tracer=tracer,
            )
        sender = _sender(settings.alerts, store, clock, speaks=lambda: engine.speaks)
        stack.push_async_callback(sender.aclose)
        defaults = builtin.default_definitions()
        service = Service(
            store=store,
            clock=clock,
            hub=hub,
            registry=registry,
            defaults=defaults,
            starter=engine if isinstance(engine, Engine) else None,
            builtins=_builtin_names(),
            servers=lambda: engine.servers,
            refused=metrics.quota_refused,
            logbook=logbook,
            vitals=Vitals(troubles=lambda: tuple(leaving.troubles()), lag=lambda: metrics.lag),  # made of the service
        )
        workers = Workers(
            store=store,
            clock=clock,
            hub=hub,
            logbook=logbook,
            kept=_kept_from_workers(settings),
            lapsed=metrics.workers_lapsed,
        )
        await stack.enter_async_context(_working(workers.run, workers.drain))
        await stack.enter_async_context(counting(store, metrics, clock, registry=registry, engine=engine))
        await store.offer_handlers(registry.handlers(), now=clock.now())
        await engine.recover()
        if init:
            await service.initialize_defaults()
        await _register(service, settings.registrations(), file=settings.tasks_from)
        leaving = Leaving(settings.drain_delay, clock, service=service, engine=engine)
        metrics.report_health(lambda: not leaving.troubles())
        log_set_up.count_dropped(metrics.lines_dropped)
        core = Core(
            store=store,
            service=service,
            workers=workers,
            hub=hub,
            metrics=metrics,
            clock=clock,
            troubles=leaving.troubles,
            unready=leaving.unready,
            leaving=leaving.is_announced,
            caught_up=lambda: engine.caught_up,
            tracer=tracer,
        )
        edges = await opened_edges(settings, core, stack)
        log.info(
            "server.started",
            grpc=", ".join(map(str, edges.addresses)),
            http=", ".join(map(str, edges.http_addresses)) or None,
            database=shown(settings.database),
            handlers=len(registry.names()),
            event_loop=type(asyncio.get_running_loop()).__module__.partition(".")[0],
        )
        yield Parts(
            store=store,
            engine=engine,
            logbook=logbook,
            service=service,
            workers=workers,
            server=edges.server,
            gate=edges.gate,
            metrics=metrics,
            sender=sender,
            hub=hub,
            leaving=leaving,
            addresses=edges.addresses,
            http_addresses=edges.http_addresses,
            http_answers=edges.http_answers,
        )
    log.info("server.stopped")


async def _opened(
    database: str, hub: Hub, metrics: Metrics, machine: Clock, stack: AsyncExitStack
) -> tuple[Store, Clock]:
    """Open the store; return it with this server's clock: the machine's, or that of the shared database."""
    store = await open_store(database, hub, on_commit=metrics.committed, on_error=metrics.refused)
    stack.push_async_callback(store.close)
    metrics.begin(await store.count_open())
    if not store.is_shared:
        return store, machine
    clock = AgreedClock(machine)
    await clock.agree(store.time)  # nothing fires before the time is known
    for keeping in (clock.keep_agreeing(store.time), keep_counting(store, metrics, clock)):
        stack.callback(asyncio.create_task(keeping).cancel)
    return store, clock


def _sender(alerts: AlertSettings, store: Store, clock: Clock, *, speaks: Callable[[], bool]) -> Sender:
    targets = open_targets(alerts.urls, secret=read_secret(alerts.secret_file), clock=clock)
    return Sender(states=store, targets=targets, clock=clock, speaks=speaks)


@asynccontextmanager
async def _working(
    run: Callable[[asyncio.Event], Coroutine[Any, Any, None]], drain: Callable[[], None] = lambda: None
) -> AsyncIterator[None]:
    """Within this context a part of the server works; at its end it is drained, and does what is left."""
    finished = asyncio.Event()
    working = asyncio.create_task(run(finished))
    try:
        yield
    finally:
        drain()
        finished.set()
        await working


async def _running_now(parts: Parts, settings: Settings) -> RunningServer:
    page = await parts.service.list_tasks(TaskFilter(), Page(size=SHOWN_TASKS))
    return RunningServer(
        grpc_addresses=parts.addresses,
        http_addresses=parts.http_addresses,
        tasks=page.tasks,
        more=bool(page.next_page_token),
        api=settings.api,
        ui=settings.ui.enabled,
        asks_callers=parts.gate.mode is Mode.REQUIRED,
        path_prefix=settings.http.path_prefix,
    )


async def _until_begun(parts: Parts, engine: "asyncio.Task[None]", stopping: asyncio.Event, clock: Clock) -> None:
    """Return once the engine has begun, or will not begin soon; set the health that is served."""
    tries_until = clock.monotonic() + BEGINS_WITHIN
    while not (parts.engine.begun or engine.done() or stopping.is_set() or clock.monotonic() > tries_until):
        await clock.wait_until(clock.now() + SOON, stopping)
    await parts.server.set_serving(serving=not parts.engine.troubles())


async def _until_stopped(parts: Parts, engine: "asyncio.Task[None]", stopping: asyncio.Event, clock: Clock) -> None:
    """Return when asked to stop; until then keep the served health up to date. A dead engine is an error."""
    reported: Sequence[str] | None = None
    while not stopping.is_set():
        if engine.done():
            engine.result()
            return
        troubles = parts.engine.troubles()
        if troubles != reported:
            await parts.server.set_serving(serving=not troubles)
            if troubles:
                log.error("health.degraded", troubles=list(troubles))
            elif reported:
                log.info("health.restored")
            reported = troubles
        await clock.wait_until(None, stopping)


async def _register(service: Service, tasks: Sequence[Registration], *, file: str) -> None:
    """Register the tasks of the configuration.

    A handler that no server and no worker offered yet is logged as a warning; so is a single instant that is over,
    which is not registered.
    """
    if not tasks:
        return
    try:
        over = await service.declare(tasks)
    except (NamespaceNotFound, HandlerNotAllowed, QuotaExceeded) as error:
        raise ConfigurationError(f"{file}: {error}") from error
    namespaces = sorted({each.definition.namespace for each in tasks})
    known = {each: await service.in_namespace(each).known_handlers() for each in namespaces}
    for definition in (each.definition for each in tasks):
        if definition.handler not in known[definition.namespace]:
            log.warning("task.handler_unknown", task=definition.name, handler=definition.handler)
    for passed in over:
        log.warning("task.passed", task=passed.definition.name, schedule=passed.definition.schedule.text, file=file)


def _kept_from_workers(settings: Settings) -> frozenset[str]:
    """Return the handlers that no worker may offer."""
    return frozenset() if settings.workers.allow_builtin else _builtin_names()


@cache
def _builtin_names() -> frozenset[str]:
    """Return the names of the built-in handlers, whether this server runs them or not."""
    registry = Registry()
    registry.add_module(builtin)
    return frozenset(registry.names())


def _registry(settings: Settings) -> Registry:
    """Return the handlers that this server runs: none without an engine."""
    registry = Registry(limits=settings.handler_concurrency)
    if not settings.engine:
        return registry
    registry.add_module(builtin)
    for module in settings.handlers:
        registry.add_module(module)
    registry.add_entry_points()
    return registry
