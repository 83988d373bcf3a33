"""One log line per execution, and one per attempt that will be made again."""

from collections.abc import Sequence

import structlog

from schedule_grpc.events import Event, Transition
from schedule_grpc.execution import State

log = structlog.get_logger(__name__)


def write_line(events: Sequence[Event]) -> None:
    """Log the transitions that an operator wants to see: ends, and retries."""
    for event in events:
        if isinstance(event, Transition):
            if event.execution.state.ended:
                _write_end(event)
            elif event.before is State.RUNNING:
                _write_again(event)


def _write_end(event: Transition) -> None:
    execution = event.execution
    duration = execution.duration
    write = log.warning if execution.state is State.FAILED else log.info
    write(
        "execution.recorded",
        execution=execution.id,
        task=execution.task_name,
        state=execution.state.value,
        trigger=execution.trigger.value,
        attempt=execution.attempt,
        duration_ms=None if duration is None else round(duration.total_seconds() * 1000),
        **{
            name: value
            for name, value in (("reason", execution.reason), ("kind", execution.kind), ("error", execution.error))
            if value is not None
        },
    )


def _write_again(event: Transition) -> None:
    execution = event.execution
    about = {"execution": execution.id, "task": execution.task_name}
    if not execution.newest_attempt_failed:
        log.info("execution.handed_back", **about, hand_backs=execution.hand_backs)
        return
    log.warning(
        "attempt.failed",
        **about,
        attempt=execution.attempt,
        error=execution.error,
        again_in_ms=round((execution.available_time - event.time).total_seconds() * 1000),
    )
