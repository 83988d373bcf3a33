"""The worker as programs use it."""

import os
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from importlib.util import find_spec
from os import PathLike
from types import ModuleType
from typing import Any

from schedule_grpc.bindings import Environment
from schedule_grpc.client import Tls
from schedule_grpc.domain.access.grant import ALL
from schedule_grpc.domain.access.namespace import namespace_violations
from schedule_grpc.domain.worker import (
    DEFAULT_LEASE,
    LONGEST_LEASE,
    MAX_HANDLERS,
    MAX_LABEL,
    MAX_LABELS,
    MAX_SLOTS,
    SHORTEST_LEASE,
)
from schedule_grpc.engine import Bindings
from schedule_grpc.errors import ConfigurationError
from schedule_grpc.handlers import Registry
from schedule_grpc.runtime.clock import SystemClock
from schedule_grpc.tracing import Tracer
from schedule_grpc.worker.calls import way_to
from schedule_grpc.worker.core import Core
from schedule_grpc.worker.pulling import Introduction

DRAIN_TIMEOUT = timedelta(seconds=30)


class Worker:
    """Runs handlers for a server, until it is told to stop. Each worker runs once."""

    def __init__(
        self,
        server: str = "localhost",
        *,
        handlers: Iterable[ModuleType | str | Callable[..., Any]],
        slots: int = 8,
        name: str = "",
        version: str = "",
        lease: timedelta = DEFAULT_LEASE,
        namespace: str = "",
        labels: Mapping[str, str] | None = None,
        bindings: Mapping[str, str | Mapping[str, Any]] | None = None,
        drain_timeout: timedelta = DRAIN_TIMEOUT,
        tls: Tls | None = None,
        token: str | None = None,
        token_file: PathLike[str] | str | None = None,
        traces: bool = False,
    ) -> None:
        """Prepare a worker; it connects when it runs.

        Args:
            server: The server's address, as a client's.
            handlers: What it offers: modules, as such or by their dotted names, and decorated functions.
            slots: How many attempts run at once, 1 to 1,000.
            name: A label for people; empty: the host's name and the process id.
            version: The version of your program, for people.
            lease: How long attempts stay this worker's while the server cannot be reached, 10 s to 10 min. A worker
                that dies holds its attempts for as long.
            namespace: The namespace whose executions it runs; ``*``: of every one; empty: the one that the token's
                grants name, or ``default``.
            labels: Shown to people: at most 16 pairs.
            bindings: For ``ctx.env``: by name a URL, or a table of ``url``, ``timeout`` and options.
            drain_timeout: How long running attempts may end once it stops.
            tls: How the server proves its identity, and the worker its own; None connects without encryption.
            token: Sent with every call as a bearer token; without TLS to this machine only.
            token_file: A file that holds the token instead, and is read again whenever it changes.
            traces: Whether each call of a handler is a span, by the OpenTelemetry provider that your program has set
                (the extra ``otel``).

        Raises:
            ConfigurationError: if a handler, a binding or a bound is not right; its subclass `CannotStart`, if a module
                cannot be imported.
            ValueError: if the address or the token cannot be used.
            OSError: if the token's file, or one that ``tls`` names, cannot be read.
        """
        clock = SystemClock()
        settings = dict(bindings or {})

        def environment() -> Bindings:
            made = Environment(settings, clock=clock)
            return Bindings(env=made, aclose=made.aclose)

        if traces and find_spec("opentelemetry.sdk") is None:
            raise ConfigurationError("traces: OpenTelemetry is not installed: pip install 'schedule-grpc[otel]'")
        environment()  # a setting that is wrong is found now
        introduction = introduced(
            name=name, version=version, slots=slots, lease=lease, namespace=namespace, labels=labels or {}
        )
        self._core = Core(
            introduction,
            way=way_to(server, tls=tls, token=token, token_file=token_file),
            registry=registry_of(handlers),
            bindings=environment,
            drain_timeout=drain_timeout,
            clock=clock,
            tracing=_by_the_program if traces else None,
        )

    async def run(self, *, ready: Callable[[], None] = lambda: None) -> None:
        """Run until `stop`; ``ready`` is called once the server knows the worker. It waits for a server that is away.

        A program that shall stop in good order calls `stop` at SIGTERM. If the task of this call is cancelled,
        handlers are stopped, and their attempts run elsewhere once the lease is over.

        Raises:
            ScheduleError: if the server refuses the worker: its token, its grants, its version, what it offers.
        """
        await self._core.run(ready=ready)

    def stop(self) -> None:
        """Stop: begin nothing more, and let running attempts end. A second call does not wait for them.

        In the event loop of `run`: from a signal handler of asyncio's, for example.
        """
        self._core.stop()

    def troubles(self) -> Sequence[str]:
        """Return why the worker is not healthy; nothing if it is: the server answered within 30 s, or the lease."""
        return self._core.troubles()


@asynccontextmanager
async def _by_the_program() -> AsyncIterator[Tracer]:
    """Make spans by the provider that the program has set; whoever has made it closes it."""
    from schedule_grpc.telemetry.opening import by_global_provider  # noqa: PLC0415 (an extra)

    yield by_global_provider()


def registry_of(
    handlers: Iterable[ModuleType | str | Callable[..., Any]], *, limits: Mapping[str, int] | None = None
) -> Registry:
    """Return a registry of modules, names of modules, and decorated functions.

    Raises:
        ConfigurationError: if there is none, or too many, or one cannot be offered.
    """
    registry = Registry(limits=limits)
    for each in handlers:
        if isinstance(each, ModuleType | str):
            registry.add_module(each)
        else:
            registry.add_function(each)
    if not 1 <= len(registry.names()) <= MAX_HANDLERS:
        raise ConfigurationError(f"a worker offers 1 to {MAX_HANDLERS:,} handlers, not {len(registry.names())}")
    return registry


def introduced(
    *, name: str, version: str, slots: int, lease: timedelta, namespace: str, labels: Mapping[str, str]
) -> Introduction:
    """Return how a worker introduces itself.

    Raises:
        ConfigurationError: naming the first value that is out of bounds.
    """
    if not 1 <= slots <= MAX_SLOTS:
        raise ConfigurationError(f"slots must be 1 to {MAX_SLOTS:,}, not {slots}")
    if not SHORTEST_LEASE <= lease <= LONGEST_LEASE:
        raise ConfigurationError("lease must be 10 s to 10 min")
    if len(labels) > MAX_LABELS:
        raise ConfigurationError(f"at most {MAX_LABELS} labels")
    for text in (name, version, *labels, *labels.values()):
        if len(text) > MAX_LABEL:
            raise ConfigurationError(f"{text[:20]!r}... is longer than {MAX_LABEL} characters")
    if namespace not in ("", ALL) and (violations := list(namespace_violations("namespace", namespace))):
        raise ConfigurationError(str(violations[0]))
    own = f"{socket.gethostname()}-{os.getpid()}"[:MAX_LABEL]
    return Introduction(
        name=name or own, version=version, slots=slots, lease=lease, namespace=namespace, labels=dict(labels)
    )
