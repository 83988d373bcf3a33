"""Prometheus metrics: instruments that listen to the hub, and hooks for what is no event.

Names and labels are part of what operators build on: they are listed in docs/operations.md and only ever added to.
"""

from collections.abc import Callable, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from schedule_grpc.events import Abandoned, Event, TaskChanged, Transition
from schedule_grpc.execution import Execution, State, Trigger
from schedule_grpc.retry import FailureKind

_SECONDS = (0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800, 3600)
_LATENESS = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 3600)
_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})

MOST_LABELS = 1000
"""Tasks, and handlers, that have series of their own."""
OTHER = "(other)"
"""The label of all further ones, and of what is counted of a task after it was deleted. No name has brackets."""
_REMEMBERED = 10_000
"""Deleted tasks that are known to be gone: their last executions may end later."""


class _Capped:
    """Labels that callers can make: so many of them, the rest is one."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def label(self, name: str) -> str:
        """Return a name's own label, if there is room for it or it has one."""
        if name not in self._known and len(self._known) >= MOST_LABELS:
            return OTHER
        self._known.add(name)
        return name

    def forget(self, name: str) -> None:
        """Make room for another name."""
        self._known.discard(name)


class _TaskSeries:
    """The series that tasks have, as long as they are there."""

    def __init__(self) -> None:
        self._names = _Capped()
        self._series: dict[str, set[tuple[Counter, tuple[str, ...]]]] = {}
        self._gone: dict[str, None] = {}

    def count(self, counter: Counter, execution: Execution, *labels: str) -> None:
        """Count one of an execution's task; the task's name is the counter's first label."""
        name = OTHER if execution.task_uid in self._gone else self._names.label(execution.task_name)
        if name != OTHER:
            self._series.setdefault(name, set()).add((counter, (name, *labels)))
        counter.labels(name, *labels).inc()

    def remove(self, name: str, uid: str) -> None:
        """Remove the series of a task that was deleted."""
        for counter, labels in self._series.pop(name, ()):
            counter.remove(*labels)
        self._names.forget(name)
        self._gone[uid] = None
        if len(self._gone) > _REMEMBERED:
            del self._gone[next(iter(self._gone))]


class Metrics:
    """One server's instruments, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._tasks = _TaskSeries()
        self._handlers = _Capped()
        registry = self.registry
        self._ended = Counter(
            "schedule_executions", "Executions that ended.", ["task", "state", "trigger"], registry=registry
        )
        self._attempts_failed = Counter(
            "schedule_attempts_failed", "Attempts that failed, by kind.", ["task", "kind"], registry=registry
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
        self._requests = Counter(
            "schedule_http_requests", "HTTP requests answered.", ["method", "route", "status"], registry=registry
        )

    def notice(self, events: Sequence[Event]) -> None:
        """Count transitions and abandoned attempts; a listener of the hub."""
        for event in events:
            if isinstance(event, Transition):
                self._count(event)
            elif isinstance(event, Abandoned):
                self._abandoned.inc()

    def notice_deleted(self, events: Sequence[Event]) -> None:
        """Remove the series of tasks that were deleted, on whichever server; a listener of the hub, before `notice`."""
        for event in events:
            if isinstance(event, TaskChanged) and event.deleted_uid:
                self._tasks.remove(event.name, event.deleted_uid)

    def committed(self, operations: int) -> None:
        """Note how many operations shared a commit."""
        self._batch.observe(operations)

    def answered(self, method: str, code: str) -> None:
        """Count a call by the method's name and the name of its status."""
        self._rpcs.labels(method.rpartition("/")[2], code).inc()

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

    def tell_health(self, healthy: Callable[[], bool]) -> None:
        """Have the health told that this returns at the moment of each reading."""
        gauge = Gauge("schedule_healthy", "1 while health is SERVING, else 0.", registry=self.registry)
        gauge.set_function(lambda: float(healthy()))

    def begin(self, counts: Mapping[State, int]) -> None:
        """Note what is open at the start; from there on transitions tell."""
        self._queue.set(counts.get(State.PENDING, 0))
        self._running.set(counts.get(State.RUNNING, 0))

    def _count(self, event: Transition) -> None:
        execution = event.execution
        self._queue.inc((execution.state is State.PENDING) - (event.before is State.PENDING))
        self._running.inc((execution.state is State.RUNNING) - (event.before is State.RUNNING))
        if event.before is None and execution.covers is not None:
            self._covered.inc(execution.covers.count)
        if event.before is State.RUNNING and execution.state is State.PENDING and not execution.newest_attempt_failed:
            self._handed_back.inc()
        if event.before is State.RUNNING and execution.newest_attempt_failed:
            failure = execution.attempts[-1]
            self._tasks.count(self._attempts_failed, execution, failure.kind.value)
            self._rescued.inc(failure.kind is FailureKind.LEASE_LOST)
        if execution.state is State.RUNNING and execution.attempt_start_time == execution.start_time:
            self._observe_start(event)
        if execution.state.ended:
            self._tasks.count(self._ended, execution, execution.state.value, execution.trigger.value)
            if execution.start_time is not None and execution.duration is not None:
                self._duration.labels(self._handlers.label(execution.handler)).observe(
                    execution.duration.total_seconds()
                )

    def _observe_start(self, event: Transition) -> None:
        scheduled, started = event.execution.scheduled_time, event.execution.start_time
        backfilled = event.execution.trigger is Trigger.BACKFILL  # somebody asked for the past: that is not late
        if scheduled is not None and started is not None and not backfilled:
            self._lateness.observe(max((started - scheduled).total_seconds(), 0))
