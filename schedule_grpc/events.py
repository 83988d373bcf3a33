"""What happened, told to whoever listens: the store publishes after its commit, and nobody else does.

Events are hints. A listener may be told late, twice, or (a slow one) not at all; whoever waits for something also
reads the store again now and then.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

import structlog

from schedule_grpc.execution import Execution, State

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Transition:
    """An execution changed its state; ``before`` is None where it was just recorded."""

    before: State | None
    execution: Execution
    time: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskChanged:
    """A task was registered or changed, so what is due next may be another thing now."""

    name: str


Event: TypeAlias = Transition | TaskChanged
Listener: TypeAlias = Callable[[Sequence[Event]], None]


class Hub:
    """Hands each batch of events to every listener, in the event loop's thread."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []
        self._waiting: dict[str, set[asyncio.Event]] = {}

    def publish(self, events: Sequence[Event]) -> None:
        """Tell every listener of a committed batch. A listener must not block; what it raises is logged."""
        for event in events:
            if isinstance(event, Transition) and event.execution.state.ended:
                for waiter in self._waiting.get(event.execution.id, ()):
                    waiter.set()
        for listener in tuple(self._listeners):
            try:
                listener(events)
            except Exception:  # what was committed stays committed, and the others are told all the same
                log.exception("listener.failed", listener=repr(listener))

    @contextmanager
    def listening(self, listener: Listener) -> Iterator[None]:
        """Within this context ``listener`` is called with every batch."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    @contextmanager
    def ending(self, execution_id: str) -> Iterator[asyncio.Event]:
        """Within this context the event given is set when that execution ends; many may wait at no cost to others."""
        waiter = asyncio.Event()
        waiters = self._waiting.setdefault(execution_id, set())
        waiters.add(waiter)
        try:
            yield waiter
        finally:
            waiters.discard(waiter)
            if not waiters:
                self._waiting.pop(execution_id, None)
