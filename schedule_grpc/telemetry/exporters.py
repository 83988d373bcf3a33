"""The exporters of OTLP. Each sends in a thread of its own, and its troubles are one line of the log a minute."""

import logging
from collections.abc import Callable
from urllib.parse import urlsplit

import structlog
from opentelemetry.sdk.metrics.export import MetricExporter
from opentelemetry.sdk.trace.export import SpanExporter

from schedule_grpc.telemetry.options import Destination, Signal

log = structlog.get_logger(__name__)

LINE_EVERY = 60.0
"""Seconds between two lines about troubles of one kind."""
LONGEST_REASON = 300
_SDK = "opentelemetry"


def span_exporter(to: Destination) -> SpanExporter:
    """Return the exporter of spans. What ``to`` leaves open it reads in the standard variables of the environment."""
    if to.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as Grpc  # noqa: PLC0415

        return Grpc(endpoint=to.endpoint, insecure=_insecure(to), headers=_lower(to))
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as Http  # noqa: PLC0415

    return Http(endpoint=_url(to, "traces"), headers=_lower(to))


def metric_exporter(to: Destination) -> MetricExporter:
    """Return the exporter of metrics, as `span_exporter`."""
    if to.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as Grpc  # noqa: PLC0415

        return Grpc(endpoint=to.endpoint, insecure=_insecure(to), headers=_lower(to))
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as Http  # noqa: PLC0415

    return Http(endpoint=_url(to, "metrics"), headers=_lower(to))


def tell_rarely(monotonic: Callable[[], float]) -> None:
    """Let the SDK's own lines through once a minute for each part of it: an exporter whose receiver is away has many.

    Args:
        monotonic: Returns the time in seconds.
    """
    logger = logging.getLogger(_SDK)
    logger.propagate = False
    logger.handlers[:] = [_Rarely(monotonic)]


class _Rarely(logging.Handler):
    """Writes the newest trouble of a part of the SDK, with the number of those that it held back."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        super().__init__(logging.WARNING)
        self._monotonic = monotonic
        self._last: dict[str, float] = {}
        self._held: dict[str, int] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or count it."""
        part = ".".join(record.name.split(".")[:3])
        now, last = self._monotonic(), self._last.get(part)
        if last is not None and now - last < LINE_EVERY:
            self._held[part] = self._held.get(part, 0) + 1
            return
        self._last[part] = now
        log.warning(
            "telemetry.trouble",
            part=part,
            error=record.getMessage()[:LONGEST_REASON],
            before=self._held.pop(part, 0),
        )


def _url(to: Destination, signal: Signal) -> str | None:
    return None if to.endpoint is None else f"{to.endpoint.rstrip('/')}/v1/{signal}"


def _insecure(to: Destination) -> bool | None:
    return None if to.endpoint is None else urlsplit(to.endpoint).scheme != "https"


def _lower(to: Destination) -> dict[str, str] | None:
    """Return the headers by names in lower case, as gRPC wants them; None leaves them to the environment."""
    return {name.lower(): value for name, value in to.headers.items()} or None
