"""Telemetry as the settings ask for it. Where they ask for none, nothing of OpenTelemetry is imported."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

import structlog
from prometheus_client import CollectorRegistry

from schedule_grpc.errors import ConfigurationError
from schedule_grpc.events import Hub
from schedule_grpc.runtime.clock import Clock
from schedule_grpc.settings.otel import OtelOptions
from schedule_grpc.telemetry.options import Destination, Signal, TelemetryOptions
from schedule_grpc.tracing import Kind, Tracer

if TYPE_CHECKING:
    from schedule_grpc.telemetry.opening import Telemetry

log = structlog.get_logger(__name__)

SERVER = "schedule-grpc"
WORKER = "schedule-grpc-worker"
"""Names of services, where nothing else names them."""
_MISSING = "OpenTelemetry is not installed: pip install 'schedule-grpc[otel]'"


def telemetry_options(otel: OtelOptions, *, service: str) -> TelemetryOptions | None:
    """Return what is sent, and where to; None: nothing is.

    Raises:
        ConfigurationError: if the settings ask for it and the extra is not installed, and for variables that cannot be
            used. If only the environment asks, a warning says that it is not installed: there it may be meant for
            other programs.
    """
    environment = os.environ
    if not otel.is_on(environment):
        return None
    if not _is_installed():
        if otel.endpoint:
            raise ConfigurationError(f"otel: {_MISSING}")
        log.warning("telemetry.not_installed", reason=f"OTEL_EXPORTER_OTLP_ENDPOINT is set, but {_MISSING}")
        return None
    follows_callers, ratio = otel.sampler(environment)
    return TelemetryOptions(
        traces=_destination(otel, "traces"),
        metrics=_destination(otel, "metrics"),
        ratio=ratio,
        follows_callers=follows_callers,
        service_name=service,
        resource=otel.resource | ({} if otel.service_name is None else {"service.name": otel.service_name}),
        metrics_every=otel.metrics_every,
    )


async def server_tracer(
    otel: OtelOptions, hub: Hub, registry: CollectorRegistry, clock: Clock, stack: AsyncExitStack
) -> Tracer | None:
    """Send a server's telemetry for as long as the stack; return the tracer, None if no traces are sent.

    Raises:
        ConfigurationError: as `telemetry_options`.
    """
    options = telemetry_options(otel, service=SERVER)
    sent = await stack.enter_async_context(telemetry(options, clock=clock, registry=registry))
    if sent is None or sent.notice is None:
        return None
    stack.enter_context(hub.listening(sent.notice))
    return sent.tracer


@asynccontextmanager
async def telemetry(
    options: TelemetryOptions | None,
    *,
    clock: Clock,
    registry: CollectorRegistry | None = None,
    handlers: Kind = Kind.INTERNAL,
) -> "AsyncIterator[Telemetry | None]":
    """Within this context traces and metrics are sent; None: nothing is.

    Args:
        options: As `telemetry_options` returns them.
        clock: The time.
        registry: The instruments that are sent.
        handlers: The kind of the spans of handlers.
    """
    if options is None:
        yield None
        return
    from schedule_grpc.telemetry.opening import sending  # noqa: PLC0415 (an extra, and 100 ms)

    async with sending(options, registry=registry, clock=clock, handlers=handlers) as made:
        log.info(
            "telemetry.on",
            traces=_shown(options.traces),
            metrics=_shown(options.metrics),
            sampling=options.ratio,
        )
        yield made


@asynccontextmanager
async def tracing(options: TelemetryOptions | None, *, clock: Clock) -> AsyncIterator[Tracer | None]:
    """Within this context the handlers of a worker are spans, and its telemetry is sent; None: nothing is."""
    async with telemetry(options, clock=clock, handlers=Kind.CONSUMER) as sent:
        yield None if sent is None else sent.tracer


def _destination(otel: OtelOptions, signal: Signal) -> Destination | None:
    if not otel.sends(signal, os.environ):
        return None
    return Destination(
        endpoint=otel.endpoint or None,
        protocol=otel.protocol_of(signal, os.environ),
        headers={name: value.get_secret_value() for name, value in otel.headers.items()},
    )


def _is_installed() -> bool:
    modules = ("opentelemetry", "opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry.exporter.otlp")
    return all(find_spec(module) is not None for module in modules)


def _shown(to: Destination | None) -> str | None:
    return None if to is None else f"{to.endpoint or 'as the environment says'} ({to.protocol})"
