"""Tracing as the service knows it: what a tracer is told, and the span in progress.

The tracer itself is in `schedule_grpc.telemetry`, which alone knows OpenTelemetry. A server that sends no traces has
none: each part then has None in its place, and `present_span` returns None.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol, TypeAlias

from schedule_grpc.domain.execution import Execution

Attributes: TypeAlias = Mapping[str, str | int | float | bool]
Headers: TypeAlias = Iterable[tuple[str, str | bytes]]
"""Names in lower case, with their values."""
TRACEPARENT = "traceparent"
"""The header of a span, in messages, in gRPC's metadata and in HTTP: https://www.w3.org/TR/trace-context/."""


class Kind(Enum):
    """Which side of a call or of a message a span is; see OpenTelemetry's SpanKind."""

    INTERNAL = auto()
    SERVER = auto()
    CLIENT = auto()
    PRODUCER = auto()
    CONSUMER = auto()


class Span(Protocol):
    """A span in progress; to be used in the context in which it lasts."""

    @property
    def names(self) -> Mapping[str, str]:
        """The fields by which lines of the log name the span in progress; none if it is not sampled."""

    @property
    def traceparent(self) -> str:
        """The ids of the span in progress and whether it is sampled, in W3C's form."""

    def note(self, attributes: Attributes) -> None:
        """Add attributes."""

    def rename(self, name: str) -> None:
        """Give it the name that is known by now."""

    def fail(self, kind: str) -> None:
        """Mark it as failed; ``kind`` is its attribute ``error.type``."""

    def child(self, name: str, kind: Kind, attributes: Attributes) -> "AbstractContextManager[Span]":
        """Within this context a span within the present one lasts, and is the present one.

        An exception that leaves the context marks it as failed: by its type, never with its text.
        """


class HandlerSpan(Protocol):
    """The span of one call of a handler. Begun and ended in two threads, as handlers are."""

    @property
    def traceparent(self) -> str | None:
        """Its ids in W3C's form; None before it has begun."""

    @property
    def names(self) -> Mapping[str, str]:
        """The fields by which lines of the log name it: none before it has begun, and none if it is not sampled."""

    def enter(self) -> None:
        """Begin it, in the context that is the handler's own: there it is the present span."""

    def end(self, failure: str | None) -> None:
        """End it, if it has begun; ``failure`` is the kind of failure of the attempt, None if it did not fail."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """What a worker's call of a handler is for."""

    execution_id: str
    namespace: str
    task: str
    handler: str
    attempt: int
    traceparent: str | None
    """The span of the attempt; None: the server has named none."""


class Tracer(Protocol):
    """Makes spans."""

    def call(self, name: str, headers: Headers, attributes: Attributes) -> AbstractContextManager[Span]:
        """Within this context a call of somebody else is answered; its span is the present one.

        Args:
            name: The span's.
            headers: Those of the call; the caller's ``traceparent`` is among them, if it has one.
            attributes: The span's.
        """

    def handler(self, work: Work) -> HandlerSpan:
        """Return the span of a worker's call of a handler, which has not begun."""

    def handler_of(self, execution: Execution) -> HandlerSpan:
        """Return the span of the call of a handler that an execution's attempt makes here, which has not begun."""

    def attempt_of(self, execution: Execution) -> str:
        """Return the ``traceparent`` of the attempt that has begun of an execution."""

    def trace_of(self, execution: Execution) -> str | None:
        """Return the id of an execution's trace; None if it is not sampled."""


_PRESENT: ContextVar[Span | None] = ContextVar("present_span", default=None)


def present_span() -> Span | None:
    """Return the span in progress: of the call that is answered, of the handler that runs, or within them."""
    return _PRESENT.get()


def set_present_span(span: Span) -> None:
    """Make a span the present one, for the rest of this context."""
    _PRESENT.set(span)


@contextmanager
def being_present(span: Span) -> Iterator[None]:
    """Within this context a span is the present one."""
    token = _PRESENT.set(span)
    try:
        yield
    finally:
        with suppress(ValueError):  # a generator that is closed in another context than it was begun in
            _PRESENT.reset(token)
