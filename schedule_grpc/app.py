"""The composition root: settings in, a running server out. Everything else gets values."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

import structlog

from schedule_grpc import builtin
from schedule_grpc.alerts import Sender, open_targets, read_secret
from schedule_grpc.api import GrpcServer, HttpInterface
from schedule_grpc.backup import SERVICE, BackupSettings
from schedule_grpc.bindings import Environment
from schedule_grpc.domain.registration import Registration
from schedule_grpc.domain.task import Task, TaskFilter
from schedule_grpc.engine import AbsentEngine, Bindings, Engine, EngineOptions, HandlerLoops, Watchdog
from schedule_grpc.errors import Unavailable
from schedule_grpc.events import Hub
from schedule_grpc.handlers import Registry
from schedule_grpc.log import set_up as log_set_up
from schedule_grpc.metrics import Metrics
from schedule_grpc.runtime import signals
from schedule_grpc.runtime.agreed_clock import AgreedClock
from schedule_grpc.runtime.clock import Clock, SystemClock, pass_by
from schedule_grpc.runtime.paths import POSTGRESQL, SQLITE
from schedule_grpc.runtime.threads import in_thread
from schedule_grpc.service import Service
from schedule_grpc.settings.config import Settings
from schedule_grpc.settings.values import OFF
from schedule_grpc.store import Store, open_store, shown

if TYPE_CHECKING:
    from schedule_grpc.api.http import HttpServer

log = structlog.get_logger(__name__)

DATABASES = (SQLITE, *POSTGRESQL)
SHOWN_TASKS = 100
"""Tasks that a starting server shows at most."""
COUNTED_EVERY = 10.0
"""Seconds."""
BEGINS_WITHIN = 5.0
"""Seconds after which a server reports its addresses even if its engine has not begun: the database is away."""
CATCHES_UP_WITHIN = 1.0
"""Seconds after which HTTP is loaded even if overdue work is left."""
SOON = timedelta(milliseconds=20)
"""The pause between two checks of a starting server whether its engine has begun."""
STREAM_GRACE = 5.0
"""Seconds that calls under way get after the engine has drained."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunningServer:
    """The facts that a server shows once it answers calls."""

    grpc_address: str
    http_address: str | None
    tasks: tuple[Task, ...]
    """The first tasks by name."""
    more: bool
    """Whether there are more tasks."""
    offered: frozenset[str]
    """The names of the handlers that are offered."""
    api: bool
    """Whether it answers calls besides health checks."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """The parts of a server, for a program or test that runs one inside itself."""

    store: Store
    engine: Engine | AbsentEngine
    service: Service
    server: GrpcServer
    metrics: Metrics
    sender: Sender
    hub: Hub
    address: str
    http_address: str | None
    """None: there is no HTTP interface."""
    http_answers: "asyncio.Task[None] | None"
    """Ends once HTTP calls are answered."""


async def serve(
    settings: Settings, *, init: bool = False, ready: Callable[[RunningServer], None] | None = None
) -> None:
    """Run a server until SIGTERM, SIGINT or SIGHUP; a second signal does not wait for running work.

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
                alerts = asyncio.create_task(parts.sender.run(parts.hub, stopping), name="alerts")
                hurry.append(parts.engine.stop)
                try:
                    await _until_begun(parts, engine, stopping, clock)
                    if parts.http_answers is not None:
                        await parts.http_answers
                    if ready is not None:
                        server = await _running_now(parts, api=settings.api)
                        await in_thread(lambda _: ready(server), name="ready")
                    await _until_stopped(parts, engine, stopping, clock)
                finally:
                    await _drain(parts, engine)
                    await alerts


@asynccontextmanager
async def running(settings: Settings, *, clock: Clock, init: bool = False) -> AsyncIterator[Parts]:
    """Within this context a server answers calls; its engine is recovered but not started.

    Raises:
        ConfigurationError, DatabaseRefused: as `serve`.
    """
    registry = _registry(settings)
    hub = Hub()
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        store, clock = await _opened(settings.database, hub, metrics, clock, stack)
        # Before the others: executions that end with their task count as a deleted task's.
        stack.enter_context(hub.listening(metrics.notice_deleted, with_peers=True))
        stack.enter_context(hub.listening(metrics.notice))
        loops = HandlerLoops(bindings=partial(_bindings, settings, clock), clock=clock)
        loops.open()
        stack.push_async_callback(loops.close)
        engine: Engine | AbsentEngine = AbsentEngine(store=store, clock=clock)
        if settings.engine:
            options = EngineOptions(concurrency=settings.concurrency, drain_timeout=settings.drain_timeout)
            engine = Engine(
                store=store,
                clock=clock,
                hub=hub,
                registry=registry,
                env=loops,
                options=options,
                write_lines=log_set_up.writer(),
            )
        alerts = settings.alerts
        targets = open_targets(alerts.urls, secret=read_secret(alerts.secret_file), clock=clock)
        sender = Sender(states=store, targets=targets, clock=clock, speaks=lambda: engine.speaks)
        stack.push_async_callback(sender.aclose)
        defaults = builtin.default_definitions()
        starter = engine if isinstance(engine, Engine) else None
        service = Service(store=store, clock=clock, hub=hub, registry=registry, defaults=defaults, starter=starter)
        await store.offer_handlers(registry.handlers(), now=clock.now())
        await engine.recover()
        if init:
            await service.initialize_defaults()
        await _register(service, settings.registrations(), file=settings.tasks_from)
        metrics.report_health(lambda: not _troubles(service, engine))
        log_set_up.count_dropped(metrics.lines_dropped)
        server = GrpcServer(service if settings.api else None, answered=metrics.answered)
        address = await server.start(settings.grpc)
        stack.push_async_callback(server.stop, STREAM_GRACE)
        http_address, http_answers = None, None
        if settings.http.address != OFF:
            make = partial(_http_server, settings, service, metrics, engine, clock)
            http = HttpInterface(settings.http.address, make)
            http_address, http_answers = http.address, _opened_http(http, engine, clock, stack)
        log.info(
            "server.started",
            grpc=address,
            http=http_address,
            database=shown(settings.database),
            handlers=len(registry.names()),
            event_loop=type(asyncio.get_running_loop()).__module__.partition(".")[0],
        )
        yield Parts(
            store=store,
            engine=engine,
            service=service,
            server=server,
            metrics=metrics,
            sender=sender,
            hub=hub,
            address=address,
            http_address=http_address,
            http_answers=http_answers,
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
    for keeping in (clock.keep_agreeing(store.time), _keep_counting(store, metrics, clock)):
        stack.callback(asyncio.create_task(keeping).cancel)
    return store, clock


async def _keep_counting(store: Store, metrics: Metrics, clock: Clock) -> NoReturn:
    """Count open executions anew: this server's instruments do not receive other servers' transitions."""
    while True:
        await pass_by(clock, COUNTED_EVERY)
        with suppress(Unavailable):
            metrics.begin(await store.count_open())


def _http_server(
    settings: Settings, service: Service, metrics: Metrics, engine: Engine | AbsentEngine, clock: Clock, http: Any
) -> "HttpServer":
    """Make the HTTP server by its module, which is loaded late."""
    app = http.application(
        service if settings.api else None,
        registry=metrics.registry,
        troubles=partial(_troubles, service, engine),
        clock=clock,
    )
    options = settings.http
    access = http.Access(hosts=frozenset(options.allowed_hosts), origins=frozenset(options.allowed_origins))
    guard = http.Guard(app, access=access, clock=clock, answered=metrics.answered_http)
    server: HttpServer = http.HttpServer(guard, grace=STREAM_GRACE)
    return server


def _opened_http(
    http: HttpInterface, engine: Engine | AbsentEngine, clock: Clock, stack: AsyncExitStack
) -> "asyncio.Task[None]":
    """Load HTTP in a task, which ends once it answers; close both with the stack."""
    answers = asyncio.create_task(_answer_http(http, engine, clock), name="load HTTP")
    stack.push_async_callback(http.close)
    stack.push_async_callback(_end_task, answers)
    return answers


async def _answer_http(http: HttpInterface, engine: Engine | AbsentEngine, clock: Clock) -> None:
    """Load HTTP once the engine has caught up: overdue work goes first."""
    tries_until = clock.monotonic() + CATCHES_UP_WITHIN
    never = asyncio.Event()
    while not engine.caught_up and clock.monotonic() < tries_until:
        await clock.wait_until(clock.now() + SOON, never)
    await http.answer()


async def _end_task(task: "asyncio.Task[None]") -> None:
    """Cancel a task, and return when it has ended."""
    task.cancel()
    await asyncio.wait([task])


async def _running_now(parts: Parts, *, api: bool) -> RunningServer:
    tasks = await parts.store.list_tasks(TaskFilter(), after="", limit=SHOWN_TASKS + 1)
    return RunningServer(
        grpc_address=parts.address,
        http_address=parts.http_address,
        tasks=tasks[:SHOWN_TASKS],
        more=len(tasks) > SHOWN_TASKS,
        offered=frozenset(each.name for each in await parts.service.handlers() if each.offered),
        api=api,
    )


def _troubles(service: Service, engine: Engine | AbsentEngine) -> Sequence[str]:
    """Return why the server is not healthy, or should get no more calls; empty if it is healthy."""
    return (*engine.troubles(), "the server is stopping") if service.draining else engine.troubles()


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


async def _drain(parts: Parts, engine: "asyncio.Task[None]") -> None:
    log.info("server.draining")
    await parts.server.set_serving(serving=False)
    parts.service.drain()
    parts.engine.stop()
    await engine


def _bindings(settings: Settings, clock: Clock) -> Bindings:
    """Return the bindings, with the settings of the built-in tasks beside them."""
    bindings = Environment(settings.bindings, clock=clock)
    urls = {name: each if isinstance(each, str) else str(each.get("url")) for name, each in settings.bindings.items()}
    databases = {name: url for name, url in urls.items() if url.startswith(DATABASES)}
    backup = BackupSettings(sources=databases | {SERVICE: settings.database}, **settings.backup.model_dump())
    http = builtin.HttpSettings(**settings.http_request.model_dump())
    return Bindings(env=builtin.Equipped(bindings, BACKUP=backup, HTTP=http), aclose=bindings.aclose)


async def _register(service: Service, tasks: Sequence[Registration], *, file: str) -> None:
    """Register the tasks of the configuration.

    A handler that no server offers yet is logged as a warning; so is a single instant that is over, which is not
    registered.
    """
    if not tasks:
        return
    known = {handler.name for handler in await service.handlers()}
    for registration in tasks:
        handler = registration.definition.handler
        if handler not in known:
            log.warning("task.handler_unknown", task=registration.definition.name, handler=handler)
    for passed in await service.declare(tasks):
        log.warning("task.passed", task=passed.definition.name, schedule=passed.definition.schedule.text, file=file)


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
