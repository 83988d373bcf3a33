"""The spans of executions and of their attempts, made when their ends are committed.

They are made by the server that commits the end, of what it commits: nothing of them is held while they last. So an
attempt whose server died has its span, as the server that settled it tells; a worker may report to another server than
the one that gave it the attempt; and what is sent never disagrees with the history.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from schedule_grpc.domain.execution import Execution, State, Trigger
from schedule_grpc.events import Event, Transition
from schedule_grpc.runtime.clock import MICROSECOND, to_micros
from schedule_grpc.telemetry.ids import ExecutionTrace, TraceContext, attempt_span, trace_of
from schedule_grpc.telemetry.sampling import Sampling

_FAILED = Status(StatusCode.ERROR)
_UNSET = Status(StatusCode.UNSET)
_OF_A_TIMER = frozenset({Trigger.SCHEDULE, Trigger.CATCH_UP, Trigger.BACKFILL})
MILLISECOND = 1000 * MICROSECOND


def span_context(context: TraceContext, *, is_remote: bool) -> SpanContext:
    """Return ids as OpenTelemetry has them."""
    return SpanContext(context.trace_id, context.span_id, is_remote, TraceFlags(int(context.sampled)))


class ExecutionSpans:
    """Makes these spans; a listener of the hub."""

    def __init__(
        self,
        sampling: Sampling,
        *,
        resource: Resource,
        scope: InstrumentationScope,
        export: Callable[[ReadableSpan], None],
    ) -> None:
        """Take the sampling, what all spans share, and the queue of the exporter."""
        self._sampling = sampling
        self._resource = resource
        self._scope = scope
        self._export = export

    def notice(self, events: Sequence[Event]) -> None:
        """Make the spans of the attempts and executions that have ended."""
        for event in events:
            if not isinstance(event, Transition):
                continue
            if event.previous_state is State.RUNNING or event.execution.state.is_terminal:
                self._add(event)

    def _add(self, event: Transition) -> None:
        execution = event.execution
        trace = trace_of(execution)
        if not self._sampling.samples_execution(trace):
            return
        if event.previous_state is State.RUNNING and execution.attempt_start_time is not None:
            self._add_attempt(execution, trace, execution.attempt_start_time, event.time)
        if execution.state.is_terminal:
            self._add_execution(execution, trace, execution.end_time or event.time)

    def _add_attempt(self, execution: Execution, trace: ExecutionTrace, began: datetime, ended: datetime) -> None:
        """Add the span of an attempt that has ended. One that was given back has no number of its own."""
        failed = execution.newest_attempt_failed
        is_given_back = not failed and execution.state is State.PENDING
        attributes = _names(execution) | {"schedule.attempt": execution.attempt + is_given_back}
        if is_given_back:
            attributes["schedule.handed_back"] = True
        if execution.worker is not None:
            attributes["schedule.worker"] = execution.worker
        if failed:
            attributes["error.type"] = execution.failed_attempts[-1].failure_kind.value
        self._make(
            f"attempt {execution.task_name}",
            TraceContext(trace.trace_id, attempt_span(execution.id, began), sampled=True),
            parent=TraceContext(trace.trace_id, trace.span_id, sampled=True),
            kind=SpanKind.INTERNAL if execution.worker is None else SpanKind.PRODUCER,
            attributes=attributes,
            failed=failed,
            times=(began, ended),
        )

    def _add_execution(self, execution: Execution, trace: ExecutionTrace, ended: datetime) -> None:
        attributes = _names(execution) | {
            "schedule.state": execution.state.value,
            "schedule.attempts": execution.attempt,
        }
        if execution.reason is not None:
            attributes["schedule.reason"] = execution.reason.value
        if execution.failure_kind is not None:
            attributes["error.type"] = execution.failure_kind.value
        if execution.trigger in _OF_A_TIMER:
            attributes["faas.trigger"] = "timer"
        if (scheduled := execution.scheduled_time) is not None:
            attributes["schedule.scheduled_time"] = scheduled.isoformat().replace("+00:00", "Z")
        if (lateness := execution.lateness) is not None:
            attributes["schedule.lateness_ms"] = lateness / MILLISECOND
        if execution.covers is not None:
            attributes["schedule.covered"] = execution.covers.count
        self._make(
            f"execution {execution.task_name}",
            TraceContext(trace.trace_id, trace.span_id, sampled=True),
            parent=trace.parent,
            link=trace.link,
            attributes=attributes,
            failed=execution.state is State.FAILED,
            times=(execution.create_time, ended),
        )

    def _make(
        self,
        name: str,
        context: TraceContext,
        *,
        parent: TraceContext | None,
        attributes: dict[str, Any],
        failed: bool,
        times: tuple[datetime, datetime],
        kind: SpanKind = SpanKind.INTERNAL,
        link: TraceContext | None = None,
    ) -> None:
        began, ended = (1000 * to_micros(each) for each in times)
        span = ReadableSpan(
            name,
            context=span_context(context, is_remote=False),
            parent=None if parent is None else span_context(parent, is_remote=True),
            resource=self._resource,
            attributes=attributes,
            links=() if link is None else (Link(span_context(link, is_remote=True)),),
            kind=kind,
            status=_FAILED if failed else _UNSET,
            start_time=began,
            end_time=max(began, ended),
            instrumentation_scope=self._scope,
        )
        self._export(span)


def _names(execution: Execution) -> dict[str, Any]:
    return {
        "schedule.namespace": execution.namespace,
        "schedule.task": execution.task_name,
        "schedule.handler": execution.handler,
        "schedule.trigger": execution.trigger.value,
        "schedule.execution.id": execution.id,
    }
