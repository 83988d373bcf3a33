"""Telemetry put together for one process, and its end in good time."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from importlib.metadata import version

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import CollectorRegistry

from schedule_grpc.events import Event
from schedule_grpc.runtime.clock import Clock
from schedule_grpc.runtime.threads import in_thread
from schedule_grpc.telemetry.executions import ExecutionSpans
from schedule_grpc.telemetry.exporters import metric_exporter, span_exporter, tell_rarely
from schedule_grpc.telemetry.metrics import RegistryExport
from schedule_grpc.telemetry.options import TelemetryOptions
from schedule_grpc.telemetry.sampling import Sampling
from schedule_grpc.telemetry.tracer import OtelTracer
from schedule_grpc.tracing import Kind, Tracer

VERSION = version("schedule-grpc")
NAME = "schedule_grpc"
"""The instrumentation scope of all spans and metrics."""
LAST_SECONDS = 4.0
"""Seconds that the last export of a process may take; then its threads are left to end with the process."""
_UNKNOWN = "unknown_service"


@dataclass(frozen=True, kw_only=True, slots=True)
class Telemetry:
    """What a process tells its tracer and its exporters by."""

    tracer: Tracer | None
    """None: it sends no traces."""
    notice: Callable[[Sequence[Event]], None] | None
    """Makes the spans of executions; a listener of the hub. None: it sends no traces."""


@asynccontextmanager
async def sending(
    options: TelemetryOptions, *, registry: CollectorRegistry | None, clock: Clock, handlers: Kind = Kind.INTERNAL
) -> AsyncIterator[Telemetry]:
    """Within this context spans and metrics are sent; at its end the last ones are, within five seconds.

    Handlers may use OpenTelemetry's API themselves: unless the program has chosen providers, it has these.

    Args:
        options: What is sent, and where to.
        registry: The instruments that are sent; None: there are none but those of handlers.
        clock: The time.
        handlers: The kind of the spans of handlers.
    """
    tell_rarely(clock.monotonic)
    resource = _resource(options)
    scope = InstrumentationScope(NAME, VERSION)
    ends: list[Callable[[], object]] = []
    tracer: Tracer | None = None
    notice: Callable[[Sequence[Event]], None] | None = None
    if options.traces is not None:
        sampling = Sampling(options.ratio, follows_callers=options.follows_callers)
        provider = TracerProvider(sampler=sampling.sampler(), resource=resource, shutdown_on_exit=False)
        processor = BatchSpanProcessor(span_exporter(options.traces))
        provider.add_span_processor(processor)
        ends.append(processor.shutdown)
        if _is_unset(trace.get_tracer_provider()):
            trace.set_tracer_provider(provider)
        tracer = OtelTracer(provider, sampling, name=NAME, kind=handlers)
        notice = ExecutionSpans(sampling, resource=resource, scope=scope, export=processor.on_end).notice
    if options.metrics is not None:
        every = options.metrics_every
        reader = PeriodicExportingMetricReader(
            metric_exporter(options.metrics), None if every is None else every.total_seconds() * 1000
        )
        meters = MeterProvider(metric_readers=[reader], resource=resource, shutdown_on_exit=False)
        ends.append(partial(reader.shutdown, timeout_millis=LAST_SECONDS * 1000))
        if _is_unset(metrics.get_meter_provider()):
            metrics.set_meter_provider(meters)
    exports: asyncio.Task[None] | None = None
    if options.metrics is not None and registry is not None:
        made = RegistryExport(
            metric_exporter(options.metrics),
            registry,
            resource=resource,
            scope=scope,
            clock=clock,
            every=options.metrics_every or _standard_interval(),
        )
        exports = asyncio.create_task(made.run(asyncio.Event()), name="export metrics")
        ends.append(made.end)
    try:
        yield Telemetry(tracer=tracer, notice=notice)
    finally:
        if exports is not None:
            exports.cancel()
        with suppress(TimeoutError):
            async with clock.timeout(LAST_SECONDS):
                await asyncio.gather(*(_ended(end) for end in ends))


def _standard_interval() -> timedelta:
    """Return the time between two exports that the standard variable names; a minute where it is no number."""
    try:
        return timedelta(milliseconds=max(float(os.environ.get("OTEL_METRIC_EXPORT_INTERVAL", "")), 1))
    except (ValueError, OverflowError):
        return timedelta(minutes=1)


def by_global_provider() -> Tracer:
    """Return a tracer of a worker's handlers, by the provider that the program has set; its sampler decides."""
    sampling = Sampling(1.0, follows_callers=True)
    return OtelTracer(trace.get_tracer_provider(), sampling, name=NAME, kind=Kind.CONSUMER)


async def _ended(end: Callable[[], object]) -> None:
    await in_thread(lambda _: end(), name="last telemetry", abandon=True)


def _resource(options: TelemetryOptions) -> Resource:
    """Return the attributes of this process: a name that is configured or in the environment goes before ours."""
    own = {SERVICE_VERSION: VERSION, SERVICE_INSTANCE_ID: secrets.token_hex(8)}
    resource = Resource.create({**own, **options.resource})
    if str(resource.attributes.get(SERVICE_NAME, _UNKNOWN)).startswith(_UNKNOWN):
        resource = resource.merge(Resource({SERVICE_NAME: options.service_name}))
    return resource


def _is_unset(provider: object) -> bool:
    """Return whether a global provider is none that a program has chosen: then it is one of the API's own classes."""
    return type(provider).__module__.startswith(("opentelemetry.trace", "opentelemetry.metrics"))
