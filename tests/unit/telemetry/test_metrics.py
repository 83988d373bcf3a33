"""The instruments of Prometheus's registry as OTLP has them."""

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics.export import MetricsData, ResourceMetrics, ScopeMetrics
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

from schedule_grpc.telemetry.metrics import metric_of

BEGAN, NOW = 1_000, 2_000


def _encoded(registry: CollectorRegistry):
    metrics = [metric for family in registry.collect() if (metric := metric_of(family, BEGAN, NOW)) is not None]
    scoped = ScopeMetrics(scope=InstrumentationScope("tests"), metrics=metrics, schema_url="")
    whole = ResourceMetrics(resource=Resource({}), scope_metrics=[scoped], schema_url="")
    encoded = encode_metrics(MetricsData(resource_metrics=[whole]))
    return {each.name: each for each in encoded.resource_metrics[0].scope_metrics[0].metrics}


def test_counters_are_cumulative_sums_since_their_series_began():
    """Each series with its labels, and without Prometheus's ending."""
    registry = CollectorRegistry()
    counter = Counter("schedule_rpcs", "Calls answered.", ["code"], registry=registry)
    counter.labels("OK").inc(3)
    found = _encoded(registry)["schedule_rpcs"]
    [point] = found.sum.data_points
    assert (point.as_double, found.sum.is_monotonic, found.sum.aggregation_temporality) == (3, True, 2)
    assert [(pair.key, pair.value.string_value) for pair in point.attributes] == [("code", "OK")]
    assert point.start_time_unix_nano > BEGAN  # that of the series
    assert point.time_unix_nano == NOW


def test_histograms_have_counts_of_each_bucket_alone():
    """Prometheus counts each bucket with those below it; the least and the greatest value are left out."""
    registry = CollectorRegistry()
    histogram = Histogram("schedule_lateness_seconds", "Late.", ["x"], buckets=(1, 2, 4), registry=registry)
    for value in (0.5, 0.7, 3, 9):
        histogram.labels("a").observe(value)
    found = _encoded(registry)["schedule_lateness_seconds"]
    [point] = found.histogram.data_points
    assert list(point.explicit_bounds) == [1, 2, 4]
    assert list(point.bucket_counts) == [2, 0, 1, 1]
    assert (point.count, point.sum, found.unit) == (4, 13.2, "s")
    assert not point.HasField("min")
    assert not point.HasField("max")


def test_gauges_have_values_and_what_has_no_value_is_left_out():
    """Also instruments of kinds that the service has none of."""
    registry = CollectorRegistry()
    Gauge("schedule_healthy", "1 while healthy.", registry=registry).set(1)
    Counter("never_counted", "Nothing.", ["label"], registry=registry)
    Info("of_no_use", "A kind that is not sent.", registry=registry)
    found = _encoded(registry)
    assert list(found) == ["schedule_healthy"]
    assert found["schedule_healthy"].gauge.data_points[0].as_double == 1
