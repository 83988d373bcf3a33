"""Prometheus metrics: instruments that listen to the hub, and hooks where there is no event.

Operators build on names and labels: they are listed in docs/operations.md and only ever added to.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

from schedule_grpc.domain.access.namespace import TaskKey
from schedule_grpc.domain.execution import Execution, State, Trigger
from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.events import Abandoned, Event, TaskChanged, Transition

L = TypeVar("L", bound=Hashable)

_SECONDS = (0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800, 3600)
_LATENESS = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 3600)
_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})

MOST_LABELS = 1000
"""Tasks, and handlers, that have series of their own."""
OTHER = "(other)"
"""The label of all others, and of a task's executions that end after its deletion. No name has brackets."""
_REMEMBERED = 10_000
"""Deleted tasks that are known to be gone: their last executions may end later."""


class _Capped(Generic[L]):
    """Labels that callers can make: `MOST_LABELS` of them, all others share one."""

    def __init__(self) -> None:
        self._known: set[L] = set()

    def has_room(self, label: L) -> bool:
        """Return whether a label has series of its own; if there is room, it has from now on."""
        if label not in self._known and len(self._known) >= MOST_LABELS:
            return False
        self._known.add(label)
        return True

    def forget(self, label: L) -> None:
        """Make room for another one."""
        self._known.discard(label)


class _TaskSeries:
    """The series of tasks; a deleted task has none."""

    def __init__(self) -> None:
        self._keys: _Capped[TaskKey] = _Capped()
        self._series: dict[TaskKey, dict[tuple[Counter, tuple[str, ...]], Counter]] = {}
        self._gone: dict[str, None] = {}

    def label(self, execution: Execution) -> TaskKey:
        """Return the labels of an execution's task: its namespace and its name."""
        is_own = execution.task_uid not in self._gone and self._keys.has_room(execution.task_key)
        return execution.task_key if is_own else (execution.namespace, OTHER)

    def count(self, counter: Counter, label: TaskKey, *labels: str, by: int) -> None:
        """Add to a task's counter; the task's namespace and name are the counter's first labels."""
        series = self._series.setdefault(label, {})
        key = counter, labels
        if (one := series.get(key)) is None:
            one = series[key] = counter.labels(*label, *labels)
        one.inc(by)

    def remove(self, label: TaskKey, uid: str) -> None:
        """Remove the series of a task that was deleted."""
        for counter, labels in self._series.pop(label, ()):
            counter.remove(*label, *labels)
        self._keys.forget(label)
        self._gone[uid] = None
        if len(self._gone) > _REMEMBERED:
            del self._gone[next(iter(self._gone))]


class _Sums:
    """The sums of one batch of events, so that each series is written once."""

    def __init__(self, label: Callable[[Execution], TaskKey]) -> None:
        self._label = label
        self.queued = 0
        self.running = 0
        self.covered = 0
        self.handed_back = 0
        self.rescued = 0
        self.abandoned = 0
        self.ends: dict[tuple[TaskKey, State, Trigger], int] = {}
        """Numbers of executions, by the task's label."""
        self.failed: dict[tuple[TaskKey, FailureKind], int] = {}
        """Attempts, by the task's label."""
        self.late: list[float] = []
        """Seconds of each start."""
        self.took: list[tuple[str, float]] = []
        """The handler and the seconds of each execution that ran and ended."""

    def add(self, event: Transition) -> None:
        """Add a transition."""
        execution, before, state = event.execution, event.previous_state, event.execution.state
        self.queued += (state is State.PENDING) - (before is State.PENDING)
        self.running += (state is State.RUNNING) - (before is State.RUNNING)
        if before is None and execution.covers is not None:
            self.covered += execution.covers.count
        if before is State.RUNNING:
            self._add_attempt(execution)
        if state is State.RUNNING and execution.attempt_start_time == execution.start_time:
            self._add_start(execution)
        if state.is_terminal:
            self._add_end(execution)

    def _add_attempt(self, execution: Execution) -> None:
        if execution.newest_attempt_failed:
            kind = execution.failed_attempts[-1].failure_kind
            key = self._label(execution), kind
            self.failed[key] = self.failed.get(key, 0) + 1
            self.rescued += kind is FailureKind.LEASE_LOST
        elif execution.state is State.PENDING:
            self.handed_back += 1

    def _add_start(self, execution: Execution) -> None:
        scheduled, started = execution.scheduled_time, execution.start_time
        backfilled = execution.trigger is Trigger.BACKFILL  # the past was asked for: that is not late
        if scheduled is not None and started is not None and not backfilled:
            self.late.append(max((started - scheduled).total_seconds(), 0))

    def _add_end(self, execution: Execution) -> None:
        key = self._label(execution), execution.state, execution.trigger
        self.ends[key] = self.ends.get(key, 0) + 1
        if execution.start_time is not None and (duration := execution.duration) is not None:
            self.took.append((execution.handler, duration.total_seconds()))


class _KeyExpiries(Collector):
    """The seconds that keys have left, as they are when somebody asks: a revoked key has no series any more."""

    def __init__(self, expiries: Callable[[], Mapping[tuple[str, str], float]]) -> None:
        self._expiries = expiries

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauge."""
        gauge = GaugeMetricFamily(
            "schedule_key_expires_seconds", "Seconds until a key expires.", labels=["namespace", "key"]
        )
        for place, seconds in self._expiries().items():
            gauge.add_metric(place, seconds)
        yield gauge


class Metrics:
    """One server's instruments, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._tasks = _TaskSeries()
        self._handlers: _Capped[str] = _Capped()
        self._durations: dict[str, Histogram] = {}
        """Histograms by the handler's label."""
        self._answered: dict[tuple[str, str], Counter] = {}
        """Counters by their labels: to look one up costs more than to count."""
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
        self._lag = Gauge("schedule_loop_lag_seconds", "How late the event loop last came round.", registry=registry)
        self._rescued = Counter("schedule_leases_rescued", "Attempts whose lease was lost.", registry=registry)
        self._batch = Histogram(
            "schedule_commit_batch_size", "Operations in one commit.", buckets=_BATCHES, registry=registry
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
        self._limited: _Capped[str] = _Capped()
        self._unproven = Counter(
            "schedule_auth_would_refuse", "Calls that auth.mode required would refuse.", ["method"], registry=registry
        )

    def notice(self, events: Sequence[Event]) -> None:
        """Count transitions and abandoned attempts; a listener of the hub."""
        sums = _Sums(self._tasks.label)
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
                self._tasks.remove((event.namespace, event.name), event.deleted_uid)

    def committed(self, operations: int) -> None:
        """Note how many operations shared a commit."""
        self._batch.observe(operations)

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
        self._over_quota.labels(namespace if self._limited.has_room(namespace) else OTHER, quota).inc()

    def would_refuse(self, method: str) -> None:
        """Count a call that only the mode ``permissive`` admits."""
        self._unproven.labels(method.rpartition("/")[2]).inc()

    def report_keys(self, expiries: Callable[[], Mapping[tuple[str, str], float]]) -> None:
        """Register the gauge of keys that expire: ``expiries`` returns their seconds left, by namespace and name."""
        self.registry.register(_KeyExpiries(expiries))

    def begin(self, counts: Mapping[State, int]) -> None:
        """Set the gauges of open executions at the start; from then on transitions move them."""
        self._queue.set(counts.get(State.PENDING, 0))
        self._running.set(counts.get(State.RUNNING, 0))

    def _write(self, sums: _Sums) -> None:
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
        for (task, state, trigger), number in sums.ends.items():
            self._tasks.count(self._executions, task, state.value, trigger.value, by=number)
        for (task, kind), number in sums.failed.items():
            self._tasks.count(self._attempts_failed, task, kind.value, by=number)
        for seconds in sums.late:
            self._lateness.observe(seconds)
        for handler, seconds in sums.took:
            self._observe_duration(handler, seconds)

    def _observe_duration(self, handler: str, seconds: float) -> None:
        label = handler if self._handlers.has_room(handler) else OTHER
        if (one := self._durations.get(label)) is None:
            one = self._durations[label] = self._duration.labels(label)
        one.observe(seconds)
