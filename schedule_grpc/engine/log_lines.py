"""One log line per execution, and one per attempt that will be made again; those of a batch are written at once."""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import structlog

from schedule_grpc.domain.access.namespace import DEFAULT_NAMESPACE
from schedule_grpc.domain.execution import Execution, State
from schedule_grpc.events import Event, Transition
from schedule_grpc.tracing import Tracer

log = structlog.get_logger(__name__)


class Line(NamedTuple):
    """A line of the log, not rendered yet."""

    level: str
    event: str
    fields: dict[str, Any]


Write: TypeAlias = Callable[[Sequence[Line]], None]


def one_by_one(lines: Sequence[Line]) -> None:
    """Write each line by a log call of its own."""
    for line in lines:
        getattr(log, line.level)(line.event, **line.fields)


def journal(events: Sequence[Event], *, write: Write = one_by_one, tracer: Tracer | None = None) -> None:
    """Log ends and retries; with a tracer, by their traces, too. Lines that the level would drop are not made."""
    least = log.get_effective_level()
    if least > logging.WARNING:
        return
    lines = list(_lines_of(events, informs=least <= logging.INFO, tracer=tracer))
    if lines:
        write(lines)


def _lines_of(events: Sequence[Event], *, informs: bool, tracer: Tracer | None) -> Iterator[Line]:
    for event in events:
        if not isinstance(event, Transition) or (line := _line_of(event, informs=informs)) is None:
            continue
        if tracer is not None and (trace := tracer.trace_of(event.execution)) is not None:
            line.fields["trace_id"] = trace
        yield line


def _line_of(event: Transition, *, informs: bool) -> Line | None:
    state = event.execution.state
    if state is State.FAILED or (informs and state.is_terminal):
        return _end(event)
    if (
        event.previous_state is State.RUNNING
        and not state.is_terminal
        and (informs or event.execution.newest_attempt_failed)
    ):
        return _again(event)
    return None


def names_of(execution: Execution) -> dict[str, Any]:
    """Return the fields by which lines name an execution and its task; a namespace other than ``default``, too."""
    names: dict[str, Any] = {"execution": execution.id, "task": execution.task_name}
    return names if execution.namespace == DEFAULT_NAMESPACE else names | {"namespace": execution.namespace}


def _end(event: Transition) -> Line:
    execution = event.execution
    duration = execution.duration
    fields = names_of(execution) | {
        "state": execution.state.value,
        "trigger": execution.trigger.value,
        "attempt": execution.attempt,
        "duration_ms": None if duration is None else round(duration.total_seconds() * 1000),
    }
    if execution.reason is not None:
        fields["reason"] = execution.reason.value
    if execution.failure_kind is not None:
        fields["failure_kind"] = execution.failure_kind.value
    if execution.error is not None:
        fields["error"] = execution.error
    return Line("warning" if execution.state is State.FAILED else "info", "execution.recorded", fields)


def _again(event: Transition) -> Line:
    execution = event.execution
    fields = names_of(execution)
    if not execution.newest_attempt_failed:
        return Line("info", "execution.handed_back", fields | {"hand_backs": execution.hand_backs})
    wait = execution.available_time - event.time
    return Line(
        "warning",
        "attempt.failed",
        fields
        | {
            "attempt": execution.attempt,
            "error": execution.error,
            "again_in_ms": round(wait.total_seconds() * 1000),
        },
    )
