"""The tracer: spans of calls that are answered, of handlers that run, and of what they call."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanKind, Status, StatusCode, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from schedule_grpc import tracing
from schedule_grpc.domain.execution import Execution
from schedule_grpc.telemetry.executions import span_context
from schedule_grpc.telemetry.ids import TraceContext, attempt_span, own_ids, read_traceparent, trace_of
from schedule_grpc.telemetry.sampling import Sampling
from schedule_grpc.tracing import Attributes, Headers, Kind, Work

_KINDS = {
    Kind.INTERNAL: SpanKind.INTERNAL,
    Kind.SERVER: SpanKind.SERVER,
    Kind.CLIENT: SpanKind.CLIENT,
    Kind.PRODUCER: SpanKind.PRODUCER,
    Kind.CONSUMER: SpanKind.CONSUMER,
}
_PROPAGATOR = TraceContextTextMapPropagator()
_CARRIED = frozenset({tracing.TRACEPARENT, "tracestate"})
_NOTHING = contexts.Context()
_NAMES = ("trace_id", "span_id")
_FAILED = Status(StatusCode.ERROR)


class LiveSpan:
    """A span in progress, over one of OpenTelemetry's; see `schedule_grpc.tracing.Span`."""

    __slots__ = ("_span", "_tracer")

    def __init__(self, span: trace.Span, tracer: trace.Tracer) -> None:
        """Take a span, and the tracer of its children."""
        self._span = span
        self._tracer = tracer

    @property
    def names(self) -> Mapping[str, str]:
        """See Span."""
        return _names_of(trace.get_current_span())

    @property
    def traceparent(self) -> str:
        """See Span; where a handler has begun a span of its own within it, that is in progress."""
        return str(_ids_of(trace.get_current_span()))

    def note(self, attributes: Attributes) -> None:
        """See Span."""
        if self._span.is_recording():
            self._span.set_attributes(attributes)

    def rename(self, name: str) -> None:
        """See Span."""
        if self._span.is_recording():
            self._span.update_name(name)

    def fail(self, kind: str) -> None:
        """See Span."""
        if self._span.is_recording():
            self._span.set_status(_FAILED)
            self._span.set_attribute("error.type", kind)

    @contextmanager
    def child(self, name: str, kind: Kind, attributes: Attributes) -> Iterator["LiveSpan"]:
        """See Span; where the handler has begun a span of its own, that is the parent."""
        span = self._tracer.start_span(name, kind=_KINDS[kind], attributes=attributes)
        with _lasting(span, self._tracer, failures=BaseException) as made:
            yield made


@contextmanager
def _lasting(
    span: trace.Span, tracer: trace.Tracer, *, failures: type[BaseException] | tuple[type[BaseException], ...] = ()
) -> Iterator[LiveSpan]:
    """Within this context a span lasts, and is the present one; ``failures`` that leave it mark it as failed."""
    made = LiveSpan(span, tracer)
    try:
        with (
            trace.use_span(span, record_exception=False, set_status_on_exception=False),
            tracing.being_present(made),
        ):
            yield made
    except failures as error:
        made.fail(type(error).__qualname__)
        raise
    finally:
        span.end()


class HandlerSpan:
    """The span of one call of a handler; see `schedule_grpc.tracing.HandlerSpan`."""

    __slots__ = ("_begin", "_span", "_tracer")

    def __init__(self, tracer: trace.Tracer, *, span: trace.Span | None, begin: Callable[[], trace.Span]) -> None:
        """Take the span, or what begins it.

        Args:
            tracer: Makes its children.
            span: A span that is not recorded; None: ``begin`` begins it.
            begin: Begins it.
        """
        self._tracer = tracer
        self._span = span
        self._begin = begin

    @property
    def traceparent(self) -> str | None:
        """See HandlerSpan."""
        return None if self._span is None else str(_ids_of(self._span))

    @property
    def names(self) -> Mapping[str, str]:
        """See HandlerSpan."""
        return {} if self._span is None else _names_of(self._span)

    def enter(self) -> None:
        """See HandlerSpan. A call that did not get its turn in one event loop enters in another."""
        span = self._span
        if span is None:
            span = self._span = self._begin()
        contexts.attach(trace.set_span_in_context(span, _NOTHING))
        tracing.set_present_span(LiveSpan(span, self._tracer))

    def end(self, failure: str | None) -> None:
        """See HandlerSpan."""
        span = self._span
        if span is None:
            return
        if failure is not None and span.is_recording():
            span.set_status(_FAILED)
            span.set_attribute("error.type", str(failure))
        span.end()


class OtelTracer:
    """Makes spans by OpenTelemetry's SDK; see `schedule_grpc.tracing.Tracer`."""

    def __init__(self, provider: TracerProvider, sampling: Sampling, *, name: str, kind: Kind) -> None:
        """Take the provider of spans.

        Args:
            provider: Makes and exports them.
            sampling: Decides about executions.
            name: The instrumentation's.
            kind: That of handlers: in a worker they receive what a server has sent.
        """
        self._tracer = provider.get_tracer(name)
        self._sampling = sampling
        self._kind = _KINDS[kind]

    @contextmanager
    def call(self, name: str, headers: Headers, attributes: Attributes) -> Iterator[LiveSpan]:
        """See Tracer."""
        carried = {key: value for key, value in headers if key in _CARRIED and isinstance(value, str)}
        parent = _PROPAGATOR.extract(carried, _NOTHING)
        span = self._tracer.start_span(name, context=parent, kind=SpanKind.SERVER, attributes=attributes)
        with _lasting(span, self._tracer) as made:
            yield made

    def handler(self, work: Work) -> HandlerSpan:
        """See Tracer."""
        attempt = read_traceparent(work.traceparent)
        if attempt is None:
            # Its server traces nothing: a trace of this worker's spans, by the ids that a server would send.
            trace_id, span_id = own_ids(work.execution_id)
            attempt = TraceContext(trace_id, span_id, self._sampling.samples(trace_id))
        return self._handler(attempt, work.handler, lambda: _names_of_work(work))

    def handler_of(self, execution: Execution) -> HandlerSpan:
        """See Tracer."""
        return self._handler(self._attempt(execution), execution.handler, lambda: _names_of_attempt(execution))

    def _handler(self, attempt: TraceContext, name: str, attributes: Callable[[], Attributes]) -> HandlerSpan:
        parent = NonRecordingSpan(span_context(attempt, is_remote=True))

        def begin() -> trace.Span:
            context = trace.set_span_in_context(parent, _NOTHING)
            return self._tracer.start_span(f"handler {name}", context, self._kind, attributes())

        is_left_out = not attempt.sampled and self._sampling.follows_callers
        return HandlerSpan(self._tracer, span=parent if is_left_out else None, begin=begin)

    def attempt_of(self, execution: Execution) -> str:
        """See Tracer."""
        return str(self._attempt(execution))

    def trace_of(self, execution: Execution) -> str | None:
        """See Tracer."""
        found = trace_of(execution)
        return f"{found.trace_id:032x}" if self._sampling.samples_execution(found) else None

    def _attempt(self, execution: Execution) -> TraceContext:
        found = trace_of(execution)
        if not self._sampling.samples_execution(found):
            return TraceContext(found.trace_id, found.span_id, sampled=False)  # nothing is sent that has the id
        began = execution.attempt_start_time or execution.create_time
        return TraceContext(found.trace_id, attempt_span(execution.id, began), sampled=True)


def _names_of_work(work: Work) -> Attributes:
    return {
        "schedule.namespace": work.namespace,
        "schedule.task": work.task,
        "schedule.handler": work.handler,
        "schedule.execution.id": work.execution_id,
        "schedule.attempt": work.attempt,
    }


def _names_of_attempt(execution: Execution) -> Attributes:
    return {
        "schedule.namespace": execution.namespace,
        "schedule.task": execution.task_name,
        "schedule.handler": execution.handler,
        "schedule.execution.id": execution.id,
        "schedule.attempt": execution.attempt,
    }


def _ids_of(span: trace.Span) -> TraceContext:
    ids = span.get_span_context()
    return TraceContext(ids.trace_id, ids.span_id, ids.trace_flags.sampled)


def _names_of(span: trace.Span) -> Mapping[str, str]:
    """Return the fields by which lines of the log name a span; none if it is not sampled."""
    ids = _ids_of(span)
    return dict(zip(_NAMES, (f"{ids.trace_id:032x}", f"{ids.span_id:016x}"), strict=True)) if ids.sampled else {}
