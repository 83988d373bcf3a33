"""What a handler gets, and how it says that trying again is useless."""

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

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger  # 65 ms to import, and handler modules do not need it


class PermanentFailure(Exception):
    """Raised by a handler whose work cannot succeed however often it is tried: the attempt is not retried."""


Report: TypeAlias = Callable[[float, str], None]
MAX_PROGRESS_TEXT = 256


def _report_nowhere(_fraction: float, _text: str) -> None:
    """Nobody listens: a context that was made by hand."""


class Env(Protocol):
    """The bindings by name: ``ctx.env.DB``. Asking for one that is not configured raises ConfigurationError."""

    def __getattr__(self, name: str) -> Any: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskContext:
    """What a handler gets: what to do, for when, how long it may take, and what to do it with."""

    task: Task
    execution_id: str
    attempt: int
    scheduled_time: datetime | None
    """The occurrence this run stands for; None for a manual run."""
    deadline: datetime
    """The wall time at which this attempt times out."""
    payload: Mapping[str, Any]
    env: Env
    clock: Clock
    log: "FilteringBoundLogger"
    """A logger that puts the execution's id on every line."""
    report: Report = _report_nowhere
    """Where `progress` goes."""
    conditions: list[Condition] = field(default_factory=list)
    """What `alert` and `recovered` were told, for whoever records the attempt."""
    cancelled: threading.Event = field(default_factory=threading.Event)
    """Set when this attempt should stop: a sync handler that works long looks at it now and then."""

    @property
    def idempotency_key(self) -> str:
        """The same over all attempts of one execution: hand it to what must not happen twice."""
        return self.execution_id

    def progress(self, fraction: float, text: str = "") -> None:
        """Tell whoever watches how far this attempt is: a hint, not stored; at most some are shown each second.

        Args:
            fraction: From 0 to 1; what lies outside is brought inside, and NaN counts as 0.
            text: What it is doing; cut after 256 characters.
        """
        self.report(_within_one(fraction), readable(str(text))[:MAX_PROGRESS_TEXT])

    def alert(self, title: str, body: str = "", *, key: str) -> None:
        """Say that something is wrong: somebody is told when it starts, and not again while it lasts.

        Args:
            title: What is wrong, in one line.
            body: More about it.
            key: Tells this condition from the task's others.

        Lone surrogates and NUL in these texts are replaced by U+FFFD. The alert is kept with the attempt's outcome, and
        changes nothing of it.

        Raises:
            InvalidArgument: if the key or the title is missing, or one of them is too long, or no text.
        """
        self.conditions.append(checked(Condition(key=key, title=title, body=body)))

    def recovered(self, key: str) -> None:
        """Say that what `alert` told of under this key is over; nothing happens if nothing was wrong."""
        self.conditions.append(checked(Condition(key=key, over=True)))

    def now(self) -> datetime:
        """Return the wall time by the service's clock."""
        return self.clock.now()


class _ForHandler(TaskContext):
    """A context whose JSON nobody else holds: a handler may change what it is given.

    Its parts are taken when the handler first looks at them: most look at few.
    """

    _parts: "Parts"

    def __getattr__(self, name: str) -> Any:
        """Take a part that nobody has looked at yet."""
        if name not in _NAMES:
            raise AttributeError(name)
        part = getattr(self._parts, name)
        object.__setattr__(self, name, part)
        return part

    @cached_property
    def task(self) -> Task:
        """The task, with JSON of its own."""
        task, definition = self._parts.task, self._parts.task.definition
        payload, metadata = own_copy(dict(definition.payload)), own_copy(dict(definition.metadata))
        return replace(task, definition=replace(definition, payload=payload, metadata=metadata))

    @cached_property
    def payload(self) -> Mapping[str, Any]:
        """The payload, of its own."""
        copied: dict[str, Any] = own_copy(dict(self._parts.payload))
        return copied


_NAMES = frozenset(each.name for each in fields(TaskContext))


class Parts(Protocol):
    """What a context is made of: each of its parts by name, as of `TaskContext`; asked for at most once by a thread."""

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
    """Return a context whose JSON nobody else holds: a handler may change what it is given."""
    made = object.__new__(_ForHandler)
    object.__setattr__(made, "_parts", parts)
    return made


def with_env(ctx: TaskContext, env: Env) -> TaskContext:
    """Return the context for a handler that reaches the world by other bindings."""
    made = context_of(ctx)
    object.__setattr__(made, "env", env)
    return made


def name_of(ctx: TaskContext) -> str:
    """Return by what name an attempt's asyncio task goes: handler and execution."""
    parts = getattr(ctx, "_parts", ctx)  # whose task is no copy
    return f"{parts.task.handler} {parts.execution_id}"


def _within_one(fraction: float) -> float:
    try:
        number = float(fraction)
    except OverflowError:  # an int or a Fraction beyond all doubles
        number = math.copysign(math.inf, 1 if fraction > 0 else -1)
    # Of max's arguments the first one stays where a comparison says no, as every comparison with NaN does.
    return min(max(0.0, number), 1.0)
