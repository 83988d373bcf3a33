"""Metrics in which every instrument has counted something: a scrape that shows every name with every label."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count

from schedule_grpc.domain.census import Census, Waiting, WorkerCount
from schedule_grpc.domain.execution import CoveredRange, Execution, FailedAttempt, State, Trigger
from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.events import Abandoned, Transition
from schedule_grpc.metrics import Bounds, Metrics

BEGIN = datetime(2026, 1, 31, 10, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
_NUMBERS = count()


def ended(
    task: str,
    uid: str = "",
    *,
    namespace: str = "default",
    handler: str = "fate",
    state: State = State.SUCCEEDED,
    kind: FailureKind | None = None,
) -> Transition:
    """Return the end of an execution of a task: one attempt of a second, which failed if there is a ``kind``."""
    attempt = FailedAttempt(number=1, start_time=BEGIN, duration=SECOND, failure_kind=kind, error="") if kind else None
    execution = Execution(
        id=f"e{next(_NUMBERS)}",
        task_uid=uid or f"uid-{namespace}-{task}",
        task_name=task,
        namespace=namespace,
        handler=handler,
        trigger=Trigger.SCHEDULE,
        state=state,
        create_time=BEGIN,
        available_time=BEGIN,
        scheduled_time=BEGIN,
        start_time=BEGIN,
        attempt_start_time=BEGIN,
        end_time=BEGIN + SECOND,
        attempt=1,
        failed_attempts=(attempt,) if attempt else (),
        revision=1,
    )
    return Transition(previous_state=State.RUNNING, execution=execution, time=BEGIN + SECOND)


def every_metric(bounds: Bounds | None = None, *, healthy: Callable[[], bool] = lambda: True) -> Metrics:
    """Return metrics in which nothing is missing."""
    metrics = Metrics(bounds)
    metrics.notice([ended("task"), ended("task", state=State.FAILED, kind=FailureKind.LEASE_LOST)])
    metrics.notice([Abandoned(execution_id="e"), _begun_for_five()])
    metrics.committed(3, 0.002)
    metrics.lagged(0.25)
    metrics.answered("/schedule.v1.ScheduleService/GetTask", "NOT_FOUND")
    metrics.answered_http("GET", "/tasks/{name}", 404)
    metrics.refused("write")
    metrics.lines_dropped(7)
    metrics.lines_kept("kept", 3)
    metrics.lines_kept("dropped", 2)
    metrics.workers_lapsed(1)
    metrics.would_refuse("/schedule.v1.ScheduleService/GetTask")
    metrics.quota_refused("reports", "max_tasks")
    metrics.report_keys(lambda: {("a", "ci"): 60.0, ("b", "ci"): 5.0})
    metrics.report_health(healthy)
    metrics.report_retention(lambda: 600.0)
    metrics.note_census(
        Census(
            overdue=2.0,
            waiting=(
                Waiting(namespace="default", handler="fate", seconds=3.0, is_offered=True),
                Waiting(namespace="default", handler="absent", seconds=90.0, is_offered=False),
            ),
            conditions=(("default", "task", "overdue"),),
            workers=(WorkerCount(namespace="*", workers=2, slots=20),),
        )
    )
    return metrics


def _begun_for_five() -> Transition:
    """Return the start of an execution that covers four occurrences before its own."""
    covered = CoveredRange(from_time=BEGIN - 4 * SECOND, to_time=BEGIN - SECOND, count=4)
    execution = Execution(
        id="covering",
        task_uid="uid-task",
        task_name="task",
        handler="fate",
        trigger=Trigger.CATCH_UP,
        state=State.RUNNING,
        create_time=BEGIN,
        available_time=BEGIN,
        scheduled_time=BEGIN,
        start_time=BEGIN + SECOND,
        attempt_start_time=BEGIN + SECOND,
        attempt=1,
        covers=covered,
        revision=1,
    )
    return Transition(previous_state=None, execution=execution, time=BEGIN + SECOND)
