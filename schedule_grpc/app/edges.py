"""The edges of a server: the gate that calls pass, gRPC, and HTTP."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from schedule_grpc.access.authenticator import Prover
from schedule_grpc.access.certificates import CertificateIdentities
from schedule_grpc.access.gate import Gate
from schedule_grpc.access.jwt_tokens import JwtIssuers
from schedule_grpc.access.opening import Entrance, opened_entrance
from schedule_grpc.access.provers import ByCertificate, ByToken
from schedule_grpc.access.sessions import Sessions
from schedule_grpc.api import GrpcServer, HttpInterface
from schedule_grpc.api.call_spans import Answered, noting_status
from schedule_grpc.app.bootstrap import write_first_key
from schedule_grpc.app.facts import facts_of
from schedule_grpc.app.open_addresses import keep_warning
from schedule_grpc.dispatch import Workers
from schedule_grpc.events import Hub
from schedule_grpc.metrics import Metrics
from schedule_grpc.runtime.clock import Clock
from schedule_grpc.runtime.listeners import Bound
from schedule_grpc.service import Service
from schedule_grpc.service.keys import KeyService
from schedule_grpc.settings.auth import AuthOptions
from schedule_grpc.settings.config import Settings
from schedule_grpc.store import Store
from schedule_grpc.tracing import Tracer

if TYPE_CHECKING:
    from fastapi import FastAPI

    from schedule_grpc.api.http import HttpServer

CATCHES_UP_WITHIN = 1.0
"""Seconds after which HTTP is loaded even if overdue work is left."""
SOON = timedelta(milliseconds=20)
"""The pause between two checks of a starting server whether its engine has begun."""
STREAM_GRACE = 5.0
"""Seconds that calls under way get after the engine has drained."""
YOUNGEST = timedelta(seconds=1)
"""The least age at which connections are renewed. A client of gRPC 1.85 that is told of the end of a connection before
it has taken the connection into use tries its first call on it again and again: a core and its memory are gone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Core:
    """What the edges serve."""

    store: Store
    service: Service
    workers: Workers
    hub: Hub
    metrics: Metrics
    clock: Clock
    troubles: Callable[[], Sequence[str]]
    """Returns why the server is not healthy; nothing if it is."""
    unready: Callable[[], Sequence[str]]
    """Returns why calls should go to another server; nothing if they may come here."""
    leaving: Callable[[], bool]
    """Returns whether callers are told to go to another server, because this one stops."""
    caught_up: Callable[[], bool]
    """Returns whether no overdue work is left."""
    tracer: Tracer | None = None
    """Makes spans; None: there are none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Edges:
    """The edges of a server that answers calls."""

    server: GrpcServer
    gate: Gate
    addresses: tuple[Bound, ...]
    http_addresses: tuple[Bound, ...]
    """Empty: there is no HTTP interface."""
    http_answers: "asyncio.Task[None] | None"
    """Ends once HTTP calls are answered."""


async def opened_edges(settings: Settings, core: Core, stack: AsyncExitStack) -> Edges:
    """Answer calls, for as long as the stack.

    Raises:
        CannotStart: if the server cannot listen on one of its addresses.
        ConfigurationError: if ``auth.mode`` does not fit the keys that there are, or the first key cannot be written.
    """
    entrance = await _entrance(settings, core, stack)
    keys = KeyService(store=core.store, clock=core.clock, changed=entrance.keys.refresh)
    first_key = settings.auth.bootstrap_key_file
    if first_key is not None and entrance.keys.is_empty:
        await write_first_key(first_key, keys, entrance.keys.refresh)
    if settings.open_addresses:
        warning = keep_warning(settings.open_addresses, lambda: entrance.gate.mode, core.clock)
        stack.push_async_callback(end_task, asyncio.create_task(warning, name="insecure_bind"))
    server = GrpcServer(
        core.service if settings.api else None,
        keys=keys if settings.api else None,
        workers=core.workers if settings.api else None,
        answered=_answered(core),
        gate=entrance.gate,
        connection_age=_connection_age(settings.drain_delay),
        tracer=core.tracer,
    )
    addresses = await server.start([each.opened("grpc") for each in settings.grpc])
    stack.push_async_callback(server.stop, STREAM_GRACE)
    listeners = [each.opened("http") for each in settings.http.address]
    if not listeners:
        return Edges(server=server, gate=entrance.gate, addresses=addresses, http_addresses=(), http_answers=None)
    http = HttpInterface(listeners, partial(_http_server, settings, core, keys, server, entrance.gate, addresses))
    answers = asyncio.create_task(_answer_http(http, core.caught_up, core.clock), name="load HTTP")
    stack.push_async_callback(http.close)
    stack.push_async_callback(end_task, answers)
    return Edges(
        server=server, gate=entrance.gate, addresses=addresses, http_addresses=http.addresses, http_answers=answers
    )


def _connection_age(drain_delay: timedelta) -> timedelta | None:
    """Return the age at which gRPC's connections are renewed, None for never.

    A load balancer leads new connections elsewhere, not those that there are. gRPC's own stop fails calls: those that
    arrive while it tells clients to go away are CANCELLED. An old connection is ended without a failed call, and when
    the delay is over each one has grown old; the other half of the delay is for connections that come until the load
    balancer has learned of the stop. Connections cannot be asked to move at the signal: their age is an option that a
    gRPC server is made with.
    """
    return max(drain_delay / 2, YOUNGEST) if drain_delay else None


async def _entrance(settings: Settings, core: Core, stack: AsyncExitStack) -> Entrance:
    auth, metrics = settings.auth, core.metrics
    entrance = await stack.enter_async_context(
        opened_entrance(
            core.store,
            core.hub,
            auth.policy(),
            core.clock,
            public=auth.public,
            provers=_provers(auth, core.clock, stack),
            would_refuse=metrics.would_refuse,
            audit=core.store,
            audits_reads=settings.audit.reads,
        )
    )
    metrics.report_keys(entrance.keys.expiries)
    return entrance


def _provers(auth: AuthOptions, clock: Clock, stack: AsyncExitStack) -> list[Prover]:
    """Return the proofs beside keys that the settings name."""
    provers: list[Prover] = []
    if auth.jwt:
        issuers = JwtIssuers([each.opened() for each in auth.jwt], clock)
        stack.push_async_callback(issuers.aclose)
        provers.append(ByToken(issuers))
    if auth.certificates:
        rules = [each.rule() for each in auth.certificates]
        provers.append(ByCertificate(CertificateIdentities(rules, auth.denied)))
    return provers


def _http_server(
    settings: Settings,
    core: Core,
    keys: KeyService,
    server: GrpcServer,
    gate: Gate,
    addresses: Sequence[Bound],
    http: Any,
) -> "HttpServer":
    """Make the HTTP server by its module, which is loaded late."""
    sessions = Sessions(core.store, core.clock, settings.http.path_prefix)
    app = http.application(
        core.service if settings.api else None,
        registry=core.metrics.registry,
        troubles=core.troubles,
        unready=core.unready,
        clock=core.clock,
        keys=keys if settings.api else None,
        servicers=server.servicers,
        answered=_answered(core),
        pages=_pages(settings, core, gate, sessions, addresses) if settings.ui.enabled else None,
    )
    options = settings.http
    access = http.Access(
        hosts=frozenset(options.allowed_hosts),
        origins=frozenset(options.allowed_origins),
        changes=options.changes,
    )
    counted = core.metrics.answered_http
    guard = http.Guard(
        app,
        access=access,
        clock=core.clock,
        answered=counted if core.tracer is None else http.noting_route(counted),
        gate=gate,
        leaving=core.leaving,
        sessions=sessions,
    )
    served = guard if core.tracer is None else http.Traced(guard, core.tracer)
    if options.path_prefix:
        served = http.BelowPrefix(served, options.path_prefix, counted)
    made: HttpServer = http.HttpServer(served, grace=STREAM_GRACE)
    return made


def _answered(core: Core) -> Answered:
    """Return what is called with the method and the status of each rpc."""
    counted = core.metrics.answered
    return counted if core.tracer is None else noting_status(counted)


def _pages(
    settings: Settings, core: Core, gate: Gate, sessions: Sessions, addresses: Sequence[Bound]
) -> "Callable[[FastAPI, Service], None]":
    """Return what adds the pages to the HTTP application."""
    from schedule_grpc.api.ui.dashboard import Dashboard, Shown  # noqa: PLC0415 (as HTTP: in its thread, late)
    from schedule_grpc.api.ui.html import policy_for  # noqa: PLC0415
    from schedule_grpc.api.ui.pages import add_pages  # noqa: PLC0415

    options = settings.ui
    dashboard = Dashboard(
        clock=core.clock,
        sessions=sessions,
        gate=gate,
        shown=Shown(
            title=options.title, colour=options.colour, version=version("schedule-grpc"), changes=settings.http.changes
        ),
        troubles=core.troubles,
        facts=partial(facts_of, settings),
        replicas=core.store.replicas,
        grpc=addresses,
        secure=settings.auth.behind_tls_proxy,
        policy=policy_for(options.frame_ancestors),
    )
    return partial(add_pages, dashboard=dashboard)


async def _answer_http(http: HttpInterface, caught_up: Callable[[], bool], clock: Clock) -> None:
    """Load HTTP once the engine has caught up: overdue work goes first."""
    tries_until = clock.monotonic() + CATCHES_UP_WITHIN
    never = asyncio.Event()
    while not caught_up() and clock.monotonic() < tries_until:
        await clock.wait_until(clock.now() + SOON, never)
    await http.answer()


async def end_task(task: "asyncio.Task[Any]") -> None:
    """Cancel a task, and return when it has ended."""
    task.cancel()
    await asyncio.wait([task])
