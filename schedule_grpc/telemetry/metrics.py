"""The instruments of /metrics for OTLP: read from their registry at each export, so that there is one set of them."""

import asyncio
from collections.abc import Iterable, Mapping
from datetime import timedelta
from itertools import pairwise
from typing import Any

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExporter,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.samples import Sample

from schedule_grpc.runtime.clock import Clock, pass_by, to_micros
from schedule_grpc.runtime.threads import in_thread

NANOSECONDS = 1_000_000_000
_UNKNOWN: Any = None
"""The least and the greatest value of a histogram, which its instrument does not keep: OTLP has them optional."""
_CUMULATIVE = AggregationTemporality.CUMULATIVE
_Labels = tuple[tuple[str, str], ...]


class RegistryExport:
    """Exports a registry's instruments every so often, each time in a thread of its own."""

    def __init__(
        self,
        exporter: MetricExporter,
        registry: CollectorRegistry,
        *,
        resource: Resource,
        scope: InstrumentationScope,
        clock: Clock,
        every: timedelta,
    ) -> None:
        """Take the exporter and the registry.

        Args:
            exporter: Sends them.
            registry: The instruments.
            resource: The process.
            scope: The instrumentation.
            clock: The time of the points.
            every: The time between two exports.
        """
        self._exporter = exporter
        self._registry = registry
        self._resource = resource
        self._scope = scope
        self._clock = clock
        self._every = every
        self._began = _now(clock)

    async def run(self, finished: asyncio.Event) -> None:
        """Export until finished. An export that takes longer than the time between two delays the next."""
        while not finished.is_set():
            await pass_by(self._clock, self._every.total_seconds())
            await in_thread(lambda _: self.export(), name="export metrics", abandon=True)

    def export(self) -> None:
        """Export once."""
        now = _now(self._clock)
        found = [metric for family in self._registry.collect() if (metric := metric_of(family, self._began, now))]
        scoped = ScopeMetrics(scope=self._scope, metrics=found, schema_url="")
        whole = ResourceMetrics(resource=self._resource, scope_metrics=[scoped], schema_url="")
        self._exporter.export(MetricsData(resource_metrics=[whole]))

    def end(self) -> None:
        """Export for the last time."""
        self.export()
        self._exporter.shutdown()


def metric_of(family: Family, began: int, now: int) -> Metric | None:
    """Return a family of Prometheus's as OTLP has it; None for one without values, or of a kind that is not used here.

    Args:
        family: The instrument with its series.
        began: Since when series count that do not say so, in nanoseconds.
        now: The time of the values.
    """
    created = {_labels(each): round(each.value * NANOSECONDS) for each in _named(family, "_created")}
    data: Sum | Gauge | Histogram
    if family.type == "counter":
        points = [_number(each, created.get(_labels(each), began), now) for each in _named(family, "_total")]
        data = Sum(data_points=points, aggregation_temporality=_CUMULATIVE, is_monotonic=True)
    elif family.type == "gauge":
        data = Gauge(data_points=[_number(each, None, now) for each in family.samples])
    elif family.type == "histogram":
        data = Histogram(data_points=_histograms(family, created, began, now), aggregation_temporality=_CUMULATIVE)
    else:
        return None
    if not data.data_points:
        return None
    unit = "s" if family.name.endswith("_seconds") else ""
    return Metric(name=family.name, description=family.documentation, unit=unit, data=data)


def _histograms(family: Family, created: Mapping[_Labels, int], began: int, now: int) -> list[HistogramDataPoint]:
    buckets: dict[_Labels, list[tuple[float, int]]] = {}
    for each in _named(family, "_bucket"):
        labels = _labels(each, but="le")
        buckets.setdefault(labels, []).append((float(each.labels["le"]), int(each.value)))
    sums = {_labels(each): each.value for each in _named(family, "_sum")}
    points = []
    for labels, cumulated in buckets.items():
        bounds, counts = zip(*sorted(cumulated), strict=True)
        points.append(
            HistogramDataPoint(
                attributes=dict(labels),
                start_time_unix_nano=created.get(labels, began),
                time_unix_nano=now,
                count=counts[-1],
                sum=sums.get(labels, 0.0),
                bucket_counts=[later - earlier for earlier, later in pairwise((0, *counts))],
                explicit_bounds=list(bounds[:-1]),  # the last is infinity
                min=_UNKNOWN,
                max=_UNKNOWN,
            )
        )
    return points


def _number(sample: Sample, start: int | None, now: int) -> NumberDataPoint:
    return NumberDataPoint(
        attributes=dict(sample.labels),
        start_time_unix_nano=start or 0,
        time_unix_nano=now,
        value=sample.value,
    )


def _named(family: Family, end: str) -> Iterable[Sample]:
    return (each for each in family.samples if each.name == family.name + end)


def _labels(sample: Sample, but: str = "") -> _Labels:
    return tuple((name, value) for name, value in sample.labels.items() if name != but)


def _now(clock: Clock) -> int:
    return 1000 * to_micros(clock.now())
