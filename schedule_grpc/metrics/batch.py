"""The sums of one batch of events, so that each series is written once."""

from schedule_grpc.domain.execution import Execution, State, Trigger
from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.events import Transition
from schedule_grpc.metrics.task_series import Series, TaskSeries


class Sums:
    """What a batch of events adds to each series."""

    def __init__(self, tasks: TaskSeries) -> None:
        self._tasks = tasks
        self.queued = 0
        self.running = 0
        self.covered = 0
        self.handed_back = 0
        self.rescued = 0
        self.abandoned = 0
        self.ends: dict[tuple[Series, State, Trigger], int] = {}
        """Numbers of executions."""
        self.failed: dict[tuple[Series, FailureKind], int] = {}
        """Numbers of attempts."""
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
        starts = state is State.RUNNING and execution.attempt_start_time == execution.start_time
        if starts and (lateness := execution.lateness) is not None:
            self.late.append(lateness.total_seconds())
        if state.is_terminal:
            self._add_end(execution)

    def _add_attempt(self, execution: Execution) -> None:
        if execution.newest_attempt_failed:
            kind = execution.failed_attempts[-1].failure_kind
            key = self._tasks.of(execution), kind
            self.failed[key] = self.failed.get(key, 0) + 1
            self.rescued += kind is FailureKind.LEASE_LOST
        elif execution.state is State.PENDING:
            self.handed_back += 1

    def _add_end(self, execution: Execution) -> None:
        key = self._tasks.of(execution), execution.state, execution.trigger
        self.ends[key] = self.ends.get(key, 0) + 1
        if execution.start_time is not None and (duration := execution.duration) is not None:
            self.took.append((execution.handler, duration.total_seconds()))
