"""Prometheus metrics: instruments that listen to the hub, and hooks for what is no event.

Names and labels are part of what operators build on: they are listed in docs/operations.md and only ever added to.
"""

from collections.abc import Callable, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from schedule_grpc.events import Abandoned, Event, Transition
from schedule_grpc.execution import State, Trigger
from schedule_grpc.retry import FailureKind

_SECONDS = (0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800, 3600)
_LATENESS = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 3600)
_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Metrics:
    """One server's instruments, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
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
            ["task"],
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

    def committed(self, operations: int) -> None:
        """Note how many operations shared a commit."""
        self._batch.observe(operations)

    def answered(self, method: str, code: str) -> None:
        """Count a call by the method's name and the name of its status."""
        self._rpcs.labels(method.rpartition("/")[2], code).inc()

    def answered_http(self, method: str, route: str, status: int) -> None:
        """Count an HTTP request by its method, the path of its route, and the status of the answer."""
        self._requests.labels(method, route, str(status)).inc()

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
            self._attempts_failed.labels(execution.task_name, failure.kind.value).inc()
            self._rescued.inc(failure.kind is FailureKind.LEASE_LOST)
        if execution.state is State.RUNNING and execution.attempt_start_time == execution.start_time:
            self._observe_start(event)
        if execution.state.ended:
            self._ended.labels(execution.task_name, execution.state.value, execution.trigger.value).inc()
            if execution.start_time is not None and execution.duration is not None:
                self._duration.labels(execution.task_name).observe(execution.duration.total_seconds())

    def _observe_start(self, event: Transition) -> None:
        scheduled, started = event.execution.scheduled_time, event.execution.start_time
        backfilled = event.execution.trigger is Trigger.BACKFILL  # somebody asked for the past: that is not late
        if scheduled is not None and started is not None and not backfilled:
            self._lateness.observe(max((started - scheduled).total_seconds(), 0))
