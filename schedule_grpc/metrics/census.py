"""The gauges of the newest census.

A scrape reads the newest census, and no table. Servers that share a database count the same, so dashboards and rules
take the maximum over the servers.
"""

from collections.abc import Iterator, Sequence
from heapq import nlargest
from operator import attrgetter

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from schedule_grpc.domain.census import Census, Waiting, WorkerCount
from schedule_grpc.metrics.bounds import OTHER, Bounds


class CensusCollector(Collector):
    """The gauges of the newest census; none before the first one."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self.newest: Census | None = None

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges."""
        census = self.newest
        if census is None:
            return
        yield GaugeMetricFamily(
            "schedule_due_oldest_seconds", "How long the most overdue task should have fired.", value=census.overdue
        )
        yield GaugeMetricFamily(
            "schedule_queue_oldest_seconds",
            "How long the execution that waits longest could have started.",
            value=max((each.seconds for each in census.waiting), default=0),
        )
        yield _handlers_missing(census.waiting, self._bounds.handlers)
        yield _conditions(census.conditions, self._bounds.tasks)
        yield from _workers(census.workers, self._bounds.namespaces)


def _handlers_missing(waiting: Sequence[Waiting], most: int) -> Metric:
    gauge = GaugeMetricFamily(
        "schedule_handler_missing_seconds",
        "How long executions wait for a handler that no server and no worker offers.",
        labels=["namespace", "handler"],
    )
    missing = [each for each in waiting if not each.is_offered]
    own = nlargest(most, missing, key=attrgetter("seconds"))
    for each in own:
        gauge.add_metric((each.namespace, each.handler), each.seconds)
    if len(missing) > len(own):
        shown = {(each.namespace, each.handler) for each in own}
        longest = max(each.seconds for each in missing if (each.namespace, each.handler) not in shown)
        gauge.add_metric((OTHER, OTHER), longest)
    return gauge


def _conditions(conditions: Sequence[tuple[str, str, str]], most: int) -> Metric:
    gauge = GaugeMetricFamily(
        "schedule_conditions", "Conditions of tasks that hold.", labels=["namespace", "task", "key"]
    )
    for labels in conditions[:most]:
        gauge.add_metric(labels, 1)
    if len(conditions) > most:
        gauge.add_metric((OTHER, OTHER, OTHER), len(conditions) - most)
    return gauge


def _workers(counts: Sequence[WorkerCount], most: int) -> Iterator[Metric]:
    workers = GaugeMetricFamily("schedule_workers", "Workers that take attempts.", labels=["namespace"])
    slots = GaugeMetricFamily("schedule_worker_slots", "Attempts that workers can run at once.", labels=["namespace"])
    largest = sorted(counts, key=attrgetter("slots"), reverse=True)
    for each in largest[:most]:
        workers.add_metric((each.namespace,), each.workers)
        slots.add_metric((each.namespace,), each.slots)
    if rest := largest[most:]:
        workers.add_metric((OTHER,), sum(each.workers for each in rest))
        slots.add_metric((OTHER,), sum(each.slots for each in rest))
    yield workers
    yield slots
