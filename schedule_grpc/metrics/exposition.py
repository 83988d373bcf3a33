"""The metrics as Prometheus reads them."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

_CREATED = "_created"
"""The ends of names that only OpenMetrics has a use for: in this format they are a series more for each counter."""


def exposition(registry: CollectorRegistry) -> bytes:
    """Return the metrics of a registry in Prometheus's text format."""
    return generate_latest(_WithoutBeginnings(registry))


class _WithoutBeginnings(Collector):
    """The metrics of a registry without the times at which their series began."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        """Yield each metric as it is, but for those times."""
        for metric in self._registry.collect():
            shown = Metric(metric.name, metric.documentation, metric.type, metric.unit)
            shown.samples = [each for each in metric.samples if not each.name.endswith(_CREATED)]
            yield shown
