"""The context that a handler is given, and the exception by which it rules out a retry."""

import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from msgspec.structs import replace

from schedule_grpc.domain.condition import Condition, checked
from schedule_grpc.domain.read_only import own_copy
from schedule_grpc.domain.task import Task
from schedule_grpc.runtime.clock import Clock
from schedule_grpc.text.unicode import readable
from schedule_grpc.tracing import HandlerSpan

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger  # 65 ms to import, and handler modules do not need it


class PermanentFailure(Exception):
    """Raised by a handler whose work cannot succeed however often it is tried: the attempt is not retried."""


ReportProgress: TypeAlias = Callable[[float, str], None]
MAX_PROGRESS_TEXT = 256


def _report_nowhere(_fraction: float, _text: str) -> None:
    """Drop the progress of a context that was made by hand."""


class Env(Protocol):
    """The bindings by name: ``ctx.env.DB``. A binding that is not configured raises ConfigurationError."""

    def __getattr__(self, name: str) -> Any: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskContext:
    """The argument of a handler: its task and payload, the occurrence, the deadline, the bindings."""

    task: Task
    execution_id: str
    attempt: int
    scheduled_time: datetime | None
    """The occurrence that this execution is for; None for a manual run."""
    deadline: datetime
    """The wall time at which this attempt times out."""
    payload: Mapping[str, Any]
    env: Env
    clock: Clock
    log: "FilteringBoundLogger"
    """A logger that puts the execution's id on every line."""
    report: ReportProgress = _report_nowhere
    """Publishes what `progress` reports."""
    conditions: list[Condition] = field(default_factory=list)
    """The conditions of `alert` and `recovered`, recorded with the attempt."""
    cancelled: threading.Event = field(default_factory=threading.Event)
    """Set when this attempt should stop: a sync handler that takes long checks it now and then."""
    traceparent: str | None = None
    """The span of this call in W3C's form, to be sent along to other services; None: it is not traced."""

    @property
    def namespace(self) -> str:
        """The namespace of the task."""
        task: Task = getattr(self, "_parts", self).task  # which is no copy
        return task.namespace

    @property
    def idempotency_key(self) -> str:
        """A key that all attempts of one execution share: pass it to a service that must not do its part twice."""
        return self.execution_id

    def progress(self, fraction: float, text: str = "") -> None:
        """Report the progress of this attempt to watchers, at most ten times a second; the newest is kept.

        Args:
            fraction: From 0 to 1; what lies outside is brought inside, and NaN counts as 0.
            text: The present step; cut after 256 characters.
        """
        self.report(*bounded_progress(fraction, str(text)))

    def alert(self, title: str, body: str = "", *, key: str) -> None:
        """Report a condition that is wrong: an alert is sent when it starts, and not again while it lasts.

        Args:
            title: What is wrong, in one line.
            body: Details.
            key: Identifies the condition among those of the task.

        Lone surrogates and NUL in these texts are replaced by U+FFFD. The alert is kept with the attempt's outcome, and
        changes nothing of it.

        Raises:
            InvalidArgument: if the key or the title is missing, or a text is too long, or is not a str.
        """
        self.conditions.append(checked(Condition(key=key, title=title, body=body)))

    def recovered(self, key: str) -> None:
        """Report that the condition of `alert` with this key is over; nothing happens if there was none."""
        self.conditions.append(checked(Condition(key=key, over=True)))

    def now(self) -> datetime:
        """Return the wall time by the service's clock."""
        return self.clock.now()


class _ForHandler(TaskContext):
    """A context with JSON of its own: a handler may change it.

    A part is made when the handler first reads it: most handlers read few.
    """

    _parts: "Parts"

    def __getattr__(self, name: str) -> Any:
        """Make a part at its first read."""
        if name not in _NAMES:
            raise AttributeError(name)
        part = getattr(self._parts, name)
        object.__setattr__(self, name, part)
        return part

    @cached_property
    def task(self) -> Task:
        """The task, with copies of its JSON."""
        task, definition = self._parts.task, self._parts.task.definition
        payload, metadata = own_copy(dict(definition.payload)), own_copy(dict(definition.metadata))
        return replace(task, definition=replace(definition, payload=payload, metadata=metadata))

    @cached_property
    def payload(self) -> Mapping[str, Any]:
        """A copy of the payload."""
        copied: dict[str, Any] = own_copy(dict(self._parts.payload))
        return copied


_NAMES = frozenset(each.name for each in fields(TaskContext))


class Parts(Protocol):
    """The parts of a context, by the names of `TaskContext`; each thread reads a part at most once."""

    @property
    def task(self) -> Task:
        """See TaskContext."""

    @property
    def execution_id(self) -> str:
        """See TaskContext."""

    @property
    def payload(self) -> Mapping[str, Any]:
        """See TaskContext."""


def context_of(parts: Parts) -> TaskContext:
    """Return a context with JSON of its own: a handler may change it."""
    made = object.__new__(_ForHandler)
    object.__setattr__(made, "_parts", parts)
    return made


def with_env(ctx: TaskContext, env: Env) -> TaskContext:
    """Return the context with other bindings."""
    made = context_of(ctx)
    object.__setattr__(made, "env", env)
    return made


def span_of(ctx: TaskContext) -> HandlerSpan | None:
    """Return the span of the call of a handler; None if it is not traced."""
    span: HandlerSpan | None = getattr(getattr(ctx, "_parts", None), "span", None)
    return span


def name_of(ctx: TaskContext) -> str:
    """Return the name of an attempt's asyncio task: handler and execution."""
    parts = getattr(ctx, "_parts", ctx)  # whose task is no copy
    return f"{parts.task.handler} {parts.execution_id}"


def bounded_progress(fraction: float, text: str) -> tuple[float, str]:
    """Return a report of progress as watchers get it: from 0 to 1, its text readable and cut."""
    return _within_one(fraction), readable(text)[:MAX_PROGRESS_TEXT]


def _within_one(fraction: float) -> float:
    try:
        number = float(fraction)
    except OverflowError:  # an int or a Fraction beyond all doubles
        number = math.copysign(math.inf, 1 if fraction > 0 else -1)
    # Of max's arguments the first one stays where a comparison is false, as every comparison with NaN is.
    return min(max(0.0, number), 1.0)
