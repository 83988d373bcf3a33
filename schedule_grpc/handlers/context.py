"""What a handler gets, and how it says that trying again is useless."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import structlog

from schedule_grpc.clock import Clock
from schedule_grpc.task import Task


class PermanentFailure(Exception):
    """Raised by a handler whose work cannot succeed however often it is tried: the attempt is not retried."""


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
    log: structlog.typing.FilteringBoundLogger
    """A logger that puts the execution's id on every line."""
    cancelled: threading.Event = field(default_factory=threading.Event)
    """Set when this attempt should stop: a sync handler that works long looks at it now and then."""

    @property
    def idempotency_key(self) -> str:
        """The same over all attempts of one execution: hand it to what must not happen twice."""
        return self.execution_id

    def now(self) -> datetime:
        """Return the wall time by the service's clock."""
        return self.clock.now()
