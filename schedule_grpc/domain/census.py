"""What is counted now and then: how long work waits, what is wrong with tasks, which workers there are."""

from collections.abc import Sequence

from msgspec import Struct


class Waiting(Struct, frozen=True, kw_only=True):
    """Executions of one namespace and handler that could start, and wait."""

    namespace: str
    handler: str
    seconds: float
    """How long the first of them waits."""
    is_offered: bool
    """Whether a server or a worker offers the handler."""


class WorkerCount(Struct, frozen=True, kw_only=True):
    """The workers of one namespace that take attempts; `*`: of all namespaces."""

    namespace: str
    workers: int
    slots: int


class Census(Struct, frozen=True, kw_only=True):
    """What was counted at one moment."""

    overdue: float = 0
    """Seconds since the due task that waits longest should have fired."""
    waiting: Sequence[Waiting] = ()
    conditions: Sequence[tuple[str, str, str]] = ()
    """Namespace, task and key of conditions that hold."""
    workers: Sequence[WorkerCount] = ()
