"""The instruments of one server: they listen to the hub, and have hooks where there is no event."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from heapq import nsmallest
from operator import itemgetter

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

from schedule_grpc.domain.census import Census
from schedule_grpc.domain.execution import State
from schedule_grpc.events import Abandoned, Event, TaskChanged, Transition
from schedule_grpc.metrics.batch import Sums
from schedule_grpc.metrics.bounds import OTHER, Bounds, Capped
from schedule_grpc.metrics.census import CensusCollector
from schedule_grpc.metrics.task_series import TaskSeries

_SECONDS = (0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800, 3600)
_LATENESS = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 3600)
_COMMITS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})

MOST_KEYS = 100
"""Keys of which a scrape says when they expire: the first ones to do so."""


class _KeyExpiries(Collector):
    """The seconds that keys have left, as they are when somebody asks: a revoked key has no series any more."""

    def __init__(self, expiries: Callable[[], Mapping[tuple[str, str], float]]) -> None:
        self._expiries = expiries

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauge."""
        gauge = GaugeMetricFamily(
            "schedule_key_expires_seconds", "Seconds until a key expires.", labels=["namespace", "key"]
        )
        for place, seconds in nsmallest(MOST_KEYS, self._expiries().items(), key=itemgetter(1)):
            gauge.add_metric(place, seconds)
        yield gauge


class Metrics:
    """One server's instruments, in a registry of their own."""

    def __init__(self, bounds: Bounds | None = None) -> None:
        """Make the instruments, with the default bounds unless others are given."""
        chosen = bounds or Bounds()
        self.registry = CollectorRegistry()
        self._namespaces: Capped[str] = Capped(chosen.namespaces)
        self._tasks = TaskSeries(chosen, self._namespaces)
        self._handlers: Capped[str] = Capped(chosen.handlers)
        self._census = CensusCollector(chosen)
        self._durations: dict[str, Histogram] = {}
        """Histograms by the handler's label."""
        self._answered: dict[tuple[str, str], Counter] = {}
        """Counters by their labels: to look one up costs more than to count."""
        self._quotas: dict[str, dict[str, None]] = {}
        """The quotas that refused calls, by namespace."""
        registry = self.registry
        self._executions = Counter(
            "schedule_executions",
            "Executions that ended.",
            ["namespace", "task", "state", "trigger"],
            registry=registry,
        )
        self._attempts_failed = Counter(
            "schedule_attempts_failed",
            "Attempts that failed, by kind.",
            ["namespace", "task", "kind"],
            registry=registry,
        )
        self._duration = Histogram(
            "schedule_execution_duration_seconds",
            "From the first attempt's start to the end.",
            ["handler"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._lateness = Histogram(
            "schedule_lateness_seconds",
            "From the scheduled time to the first attempt's start, but for backfills.",
            buckets=_LATENESS,
            registry=registry,
        )
        self._running = Gauge("schedule_executions_running", "Attempts in progress.", registry=registry)
        self._queue = Gauge("schedule_queue_depth", "Executions that wait.", registry=registry)
        self.lag: float | None = None
        """Seconds by which the event loop last came round late; None before it was measured."""
        self._lag = Gauge("schedule_loop_lag_seconds", "How late the event loop last came round.", registry=registry)
        self._rescued = Counter("schedule_leases_rescued", "Attempts whose lease was lost.", registry=registry)
        self._batch = Histogram(
            "schedule_commit_batch_size", "Operations in one commit.", buckets=_BATCHES, registry=registry
        )
        self._commits = Histogram(
            "schedule_commit_seconds",
            "How long the database took for one commit, from its begin to the disk.",
            buckets=_COMMITS,
            registry=registry,
        )
        self._rpcs = Counter("schedule_rpcs", "Calls answered.", ["method", "code"], registry=registry)
        self._covered = Counter(
            "schedule_occurrences_covered", "Occurrences that a later one's row stands for.", registry=registry
        )
        self._handed_back = Counter(
            "schedule_attempts_handed_back", "Attempts given back uncounted, to run again.", registry=registry
        )
        self._abandoned = Counter(
            "schedule_attempts_abandoned", "Attempts that ignored their end and were left running.", registry=registry
        )
        self._errors = Counter(
            "schedule_database_errors", "Operations that the database refused.", ["operation"], registry=registry
        )
        self._lines = Counter("schedule_log_lines_dropped", "Lines that nobody read in time.", registry=registry)
        self._kept_lines = Counter(
            "schedule_log_lines",
            "Lines of handlers, by whether the execution keeps them.",
            ["outcome"],
            registry=registry,
        )
        self._requests = Counter(
            "schedule_http_requests", "HTTP requests answered.", ["method", "route", "status"], registry=registry
        )

        self._over_quota = Counter(
            "schedule_quota_refused",
            "Calls refused for a limit of their namespace.",
            ["namespace", "quota"],
            registry=registry,
        )
        self._lapsed = Counter(
            "schedule_workers_lapsed", "Workers whose leases this server found lapsed, and ended.", registry=registry
        )
        self._unproven = Counter(
            "schedule_auth_would_refuse", "Calls that auth.mode required would refuse.", ["method"], registry=registry
        )
        for operation in ("read", "write"):
            self._errors.labels(operation)  # from 0: the first error, too, is an increase
        registry.register(self._census)
        ProcessCollector(registry=registry)

    def notice(self, events: Sequence[Event]) -> None:
        """Count transitions and abandoned attempts; a listener of the hub."""
        sums = Sums(self._tasks)
        for event in events:
            if isinstance(event, Transition):
                sums.add(event)
            elif isinstance(event, Abandoned):
                sums.abandoned += 1
        self._write(sums)

    def notice_deleted(self, events: Sequence[Event]) -> None:
        """Remove the series of tasks that were deleted, on any server; a listener of the hub, before `notice`."""
        for event in events:
            if isinstance(event, TaskChanged) and event.deleted_uid:
                self._tasks.remove([event.deleted_uid])

    @property
    def known_tasks(self) -> Sequence[str]:
        """The uids of the tasks that have series of their own."""
        return tuple(self._tasks.known)

    @property
    def known_namespaces(self) -> Sequence[str]:
        """The namespaces that have series of their own beside those of their tasks."""
        return tuple(self._namespaces.known)

    def forget(self, *, tasks: Iterable[str] = (), namespaces: Iterable[str] = ()) -> None:
        """Remove the series of tasks and namespaces that are gone, though no notice of that came."""
        self._tasks.remove(tasks)
        for namespace in namespaces:
            self._tasks.remove_namespace(namespace)
            for quota in self._quotas.pop(namespace, ()):
                self._over_quota.remove(namespace, quota)
            self._namespaces.forget(namespace)

    def note_census(self, census: Census) -> None:
        """Take what was counted in the database."""
        self._census.newest = census

    def committed(self, operations: int, seconds: float) -> None:
        """Note how many operations shared a commit, and how long it took."""
        self._batch.observe(operations)
        self._commits.observe(seconds)

    def workers_lapsed(self, count: int) -> None:
        """Count workers that did not renew their leases."""
        self._lapsed.inc(count)

    def answered(self, method: str, code: str) -> None:
        """Count a call by the method's name and the name of its status."""
        if (one := self._answered.get((method, code))) is None:
            one = self._answered[method, code] = self._rpcs.labels(method.rpartition("/")[2], code)
        one.inc()

    def answered_http(self, method: str, route: str, status: int) -> None:
        """Count an HTTP request by its method, the path of its route, and the status of the answer."""
        self._requests.labels(method if method in _METHODS else OTHER, route, str(status)).inc()

    def lagged(self, seconds: float) -> None:
        """Note how late the event loop came round."""
        self.lag = seconds
        self._lag.set(seconds)

    def refused(self, operation: str) -> None:
        """Count an operation that the database refused: ``read`` or ``write``."""
        self._errors.labels(operation).inc()

    def lines_dropped(self, count: int) -> None:
        """Count lines of the log that were dropped; in any thread."""
        self._lines.inc(count)

    def lines_kept(self, outcome: str, count: int) -> None:
        """Count lines that handlers logged: ``kept`` with their execution, or ``dropped``."""
        self._kept_lines.labels(outcome).inc(count)

    def report_health(self, healthy: Callable[[], bool]) -> None:
        """Register the gauge of health, which calls ``healthy`` at each reading."""
        gauge = Gauge("schedule_healthy", "1 while health is SERVING, else 0.", registry=self.registry)
        gauge.set_function(lambda: float(healthy()))

    def quota_refused(self, namespace: str, quota: str) -> None:
        """Count a call that was refused for a limit of its namespace."""
        named = namespace if self._namespaces.has_room(namespace) else OTHER
        self._quotas.setdefault(named, {})[quota] = None
        self._over_quota.labels(named, quota).inc()

    def would_refuse(self, method: str) -> None:
        """Count a call that only the mode ``permissive`` admits."""
        self._unproven.labels(method.rpartition("/")[2]).inc()

    def report_retention(self, age: Callable[[], float]) -> None:
        """Register the gauge of retention: ``age`` returns the seconds since its last complete round."""
        gauge = Gauge(
            "schedule_retention_age_seconds",
            "How long ago the last complete round of retention ended; before the first one, the server started.",
            registry=self.registry,
        )
        gauge.set_function(age)

    def report_keys(self, expiries: Callable[[], Mapping[tuple[str, str], float]]) -> None:
        """Register the gauge of keys that expire: ``expiries`` returns their seconds left, by namespace and name."""
        self.registry.register(_KeyExpiries(expiries))

    def begin(self, counts: Mapping[State, int]) -> None:
        """Set the gauges of open executions at the start; from then on transitions move them."""
        self._queue.set(counts.get(State.PENDING, 0))
        self._running.set(counts.get(State.RUNNING, 0))

    def _write(self, sums: Sums) -> None:
        for instrument, sum_of_batch in (
            (self._queue, sums.queued),
            (self._running, sums.running),
            (self._covered, sums.covered),
            (self._handed_back, sums.handed_back),
            (self._rescued, sums.rescued),
            (self._abandoned, sums.abandoned),
        ):
            if sum_of_batch:
                instrument.inc(sum_of_batch)
        for (series, state, trigger), number in sums.ends.items():
            series.count(self._executions, state, trigger, by=number)
        for (series, kind), number in sums.failed.items():
            series.count(self._attempts_failed, kind, by=number)
        for seconds in sums.late:
            self._lateness.observe(seconds)
        for handler, seconds in sums.took:
            self._observe_duration(handler, seconds)

    def _observe_duration(self, handler: str, seconds: float) -> None:
        label = handler if self._handlers.has_room(handler) else OTHER
        if (one := self._durations.get(label)) is None:
            one = self._durations[label] = self._duration.labels(label)
        one.observe(seconds)
