"""Events, and the hub that hands them to listeners: the store publishes after its commit, handlers report progress.

Events are hints. A listener may receive one late, twice, or (a slow one) not at all; so a waiter also reads
the store again now and then. Where servers share a database, each also receives the commits of the others.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, TypeAlias

from msgspec import Struct

from schedule_grpc.domain.access.audit import AuditEvent
from schedule_grpc.domain.access.namespace import DEFAULT_NAMESPACE
from schedule_grpc.domain.execution import Execution, State
from schedule_grpc.domain.execution.log_lines import LogLine
from schedule_grpc.runtime.clock import Clock

ENDS_KNOWN = 4096
"""The newest ends that the hub remembers: a waiter may come just after the end of its execution."""
KEPT = 1000
"""Events that a subscription keeps for a slow reader."""
HEARTBEAT = timedelta(seconds=15)
"""The pause after which a watcher is sent a heartbeat: proxies close silent connections."""


class Transition(Struct, frozen=True, kw_only=True):
    """An execution changed its state; ``previous_state`` is None where it was just recorded."""

    previous_state: State | None
    execution: Execution
    time: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """A running handler reported its progress: ``fraction`` from 0 to 1, and the present step."""

    execution_id: str
    namespace: str = DEFAULT_NAMESPACE
    task_name: str
    fraction: float
    text: str
    time: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Logged:
    """A running handler logged lines: in the order of their sequence, on the server that runs it or hears its worker.

    Only subscriptions that ask for log lines receive it.
    """

    execution_id: str
    namespace: str = DEFAULT_NAMESPACE
    task_name: str
    attempt: int
    lines: tuple[LogLine, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Lost:
    """Events were dropped at this place because the reader was slow; 0: their number is not known, and may be none."""

    count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskChanged:
    """A task was registered, changed, or had an execution let through its gate: there may be something to do.

    An empty name: any task may have changed.
    """

    namespace: str
    name: str
    deleted_uid: str = ""
    """The uid of the task, if the change was its deletion."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CancelRequested:
    """The end of a running execution was requested; an empty id: perhaps that of any execution."""

    execution_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Abandoned:
    """A handler that was asked to stop did not, and was left running here."""

    execution_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class AlertsChanged:
    """A condition started or ended: there may be an alert to send."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KeysChanged:
    """A key was made, rotated or revoked: who may do what is another than before."""


@dataclass(frozen=True, slots=True)
class Audited:
    """Rows were written to the audit log, by this server: others have their own."""

    rows: tuple[AuditEvent, ...]


Event: TypeAlias = (
    Transition | Progress | Logged | TaskChanged | CancelRequested | Abandoned | AlertsChanged | KeysChanged | Audited
)
Listener: TypeAlias = Callable[[Sequence[Event]], None]
Watched: TypeAlias = Transition | Progress | Logged
"""The events that a subscription may receive."""
WatchEvent: TypeAlias = Watched | Lost


class Subscription:
    """The events for one reader, in order, kept until it reads them; iterating ends when the hub is closed."""

    def __init__(
        self,
        wanted: Callable[[Watched], bool],
        shown: Callable[[Watched], Watched] | None = None,
        *,
        log_lines: bool = False,
    ) -> None:
        self._kinds = (Transition, Progress, Logged) if log_lines else (Transition, Progress)
        self._wanted = wanted
        self._shown = shown
        self._kept: deque[WatchEvent] = deque()
        self._changed = asyncio.Event()
        self._closed = False

    def notice(self, events: Sequence[Event]) -> None:
        """Keep the events that the reader accepts; where too many are kept already, count the lost ones instead."""
        for event in events:
            if not isinstance(event, self._kinds) or not self._wanted(event):
                continue
            if len(self._kept) < KEPT:
                self._kept.append(event if self._shown is None else self._shown(event))
            elif isinstance(last := self._kept[-1], Lost):
                self._kept[-1] = Lost(count=last.count + 1)
            else:
                self._kept.append(Lost(count=1))
            self._changed.set()

    def gap(self) -> None:
        """Report to the reader that events may be missing here."""
        if len(self._kept) < KEPT:
            self._kept.append(Lost(count=0))
            self._changed.set()

    def close(self) -> None:
        """End the reader's iteration, once it has read what is kept."""
        self._closed = True
        self._changed.set()

    async def __aiter__(self) -> AsyncIterator[WatchEvent]:
        while True:
            self._changed.clear()
            while self._kept:
                yield self._kept.popleft()
            if self._closed:
                return
            await self._changed.wait()

    async def beating(self, clock: Clock, every: timedelta) -> AsyncIterator[WatchEvent | None]:
        """Iterate in the same way, and yield None after each ``every`` without an event."""
        while True:
            self._changed.clear()
            while self._kept:
                yield self._kept.popleft()
            if self._closed:
                return
            silent_until = clock.now() + every
            while not self._changed.is_set() and clock.now() < silent_until:
                await clock.wait_until(silent_until, self._changed)
            if not self._changed.is_set():
                yield None


class Watcher(Protocol):
    """Is told of all events, of the times when some may be missing, and of the end."""

    def notice(self, events: Sequence[Event]) -> None:
        """Take a batch of events; must not block."""

    def gap(self) -> None:
        """Take note that events may be missing here."""

    def close(self) -> None:
        """Take note that no more events come: the server stops."""


class Ending(asyncio.Event):
    """Set when an execution has ended; now and then, when it may have ended."""

    execution: Execution | None = None
    """The execution as it ended; None where only its id is known, or not even that."""


class Hub:
    """Hands each batch of events to every listener, in the event loop's thread."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []
        self._with_peers: list[Listener] = []
        self._waiting: dict[str, set[Ending]] = {}
        self._newest_ends: OrderedDict[str, None] = OrderedDict()
        self._watchers: set[Watcher] = set()
        self._closed = False

    def publish(self, events: Sequence[Event]) -> None:
        """Call every listener with a batch. A listener must not block; its exceptions are logged."""
        for event in events:
            if isinstance(event, Transition) and event.execution.state.is_terminal:
                self._wake_waiters(event.execution.id, event.execution)
        _call_each(self._listeners, events)

    def relay(self, events: Sequence[Event]) -> None:
        """Call the listeners ``with_peers`` with events of other servers."""
        _call_each(self._with_peers, events)

    def note_ends(self, execution_ids: Iterable[str]) -> None:
        """Wake the waiters for the ends of these executions."""
        for execution_id in execution_ids:
            self._wake_waiters(execution_id, None)

    def gap(self) -> None:
        """Wake all waiters, and report a gap to all watchers: notifications of other servers were lost for a while."""
        for waiters in self._waiting.values():
            for waiter in waiters:
                waiter.set()
        for watcher in self._watchers:
            watcher.gap()

    @property
    def watched(self) -> bool:
        """Whether there are watchers."""
        return bool(self._watchers)

    @property
    def is_closed(self) -> bool:
        """Whether the server stops, and watchers get no more events."""
        return self._closed

    def awaits(self, execution_id: str) -> bool:
        """Return whether a caller waits for the end of an execution."""
        return execution_id in self._waiting

    def close(self) -> None:
        """End every subscription: the server stops. Listeners are called to the last."""
        self._closed = True
        for watcher in tuple(self._watchers):
            watcher.close()

    @contextmanager
    def listening(self, listener: Listener, *, with_peers: bool = False) -> Iterator[None]:
        """Within this context ``listener`` is called with every batch; ``with_peers``: of other servers, too."""
        lists = (self._listeners, self._with_peers) if with_peers else (self._listeners,)
        for listeners in lists:
            listeners.append(listener)
        try:
            yield
        finally:
            for listeners in lists:
                listeners.remove(listener)

    @contextmanager
    def subscribed(
        self,
        wanted: Callable[[Watched], bool],
        shown: Callable[[Watched], Watched] | None = None,
        *,
        log_lines: bool = False,
    ) -> Iterator[Subscription]:
        """Within this context the subscription receives every event that ``wanted`` accepts, as ``shown`` returns it.

        Without ``shown`` it receives them as they are. Log lines are among them only if it asks for ``log_lines``.
        """
        subscription = Subscription(wanted, shown, log_lines=log_lines)
        with self.watching(subscription):
            yield subscription

    @contextmanager
    def watching(self, watcher: Watcher) -> Iterator[None]:
        """Within this context the watcher is told of every event, also of other servers', and of the hub's end."""
        self._watchers.add(watcher)
        if self._closed:
            watcher.close()
        try:
            with self.listening(watcher.notice, with_peers=True):
                yield
        finally:
            self._watchers.discard(watcher)

    @contextmanager
    def ending(self, execution_id: str) -> Iterator[Ending]:
        """Within this context the `Ending` is set when that execution ends; many waiters cost other events nothing.

        If the execution is one of the newest ends, it is set already.
        """
        waiter = Ending()
        if execution_id in self._newest_ends:
            waiter.set()
        waiters = self._waiting.setdefault(execution_id, set())
        waiters.add(waiter)
        try:
            yield waiter
        finally:
            waiters.discard(waiter)
            if not waiters:
                self._waiting.pop(execution_id, None)

    def _wake_waiters(self, execution_id: str, execution: Execution | None) -> None:
        self._newest_ends[execution_id] = None
        if len(self._newest_ends) > ENDS_KNOWN:
            self._newest_ends.popitem(last=False)
        for waiter in self._waiting.get(execution_id, ()):
            waiter.execution = waiter.execution or execution
            waiter.set()


def _call_each(listeners: Iterable[Listener], events: Sequence[Event]) -> None:
    for listener in tuple(listeners):
        try:
            listener(events)
        except Exception:  # what was committed stays committed, and the other listeners are called all the same
            import structlog  # noqa: PLC0415 (65 ms, which clients and commands would pay that have events and no log)

            log = structlog.get_logger(__name__)
            log.exception("listener.failed", listener=repr(listener))
