"""Events that one server committed, published to its peers on the same database: ids only, the rows hold the rest."""

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

import structlog

from schedule_grpc.domain.execution import Execution, State
from schedule_grpc.errors import Unavailable
from schedule_grpc.events import (
    AlertsChanged,
    Audited,
    CancelRequested,
    Event,
    Hub,
    KeysChanged,
    TaskChanged,
    Transition,
)
from schedule_grpc.runtime.clock import from_micros, to_micros

log = structlog.get_logger(__name__)

Item = list[Any]
Find = Callable[[Sequence[str]], Awaitable[Sequence[Execution]]]

_ENCODER = json.JSONEncoder()
MOST_BYTES = 7500
"""PostgreSQL takes less than 8,000 in one message."""


class Notifications(Protocol):
    """A connection that carries messages to the other servers."""

    def publish(self, message: str) -> None:
        """Send a message, soon."""

    async def close(self) -> None:
        """Send what is unsent, and disconnect."""


class PeerNotifier(Protocol):
    """The way to the other servers of the same database."""

    def publish(self, events: Sequence[Event]) -> None:
        """Send committed events to the peers."""

    async def close(self) -> None:
        """Send what is unsent, and receive no more."""


class Relay:
    """Publishes this server's events to its peers, and theirs in this server's hub."""

    def __init__(self, hub: Hub, *, find: Find, connect: Callable[["Relay"], Notifications]) -> None:
        """Connect.

        Args:
            hub: Publishes the peers' events here.
            find: Returns the executions of these ids, as they are.
            connect: Opens a connection that hands messages to `receive`, and calls `gap` when some may be missing.
        """
        self._hub = hub
        self._find = find
        self._name = secrets.token_hex(4)
        self._reading: set[asyncio.Task[None]] = set()
        self._notifications = connect(self)

    def publish(self, events: Sequence[Event]) -> None:
        """See PeerNotifier."""
        for message in self._messages(events):
            self._notifications.publish(message)

    async def close(self) -> None:
        """See PeerNotifier."""
        await self._notifications.close()
        for reading in self._reading:
            reading.cancel()

    def _messages(self, events: Sequence[Event]) -> Iterator[str]:
        """Return a batch of events as messages, each with as many as fit."""
        items: list[str] = []
        size = 0
        for item in map(_ENCODER.encode, map(_item, _of_interest(events))):
            length = len(item) + 2
            if items and size + length > MOST_BYTES:
                yield self._message(items)
                items, size = [], 0
            items.append(item)
            size += length
        if items:
            yield self._message(items)

    def _message(self, items: Iterable[str]) -> str:
        """Return the message with these items, which are JSON already."""
        return f'["{self._name}", [{", ".join(items)}]]'

    def receive(self, message: str) -> None:
        """Publish the events of a peer's message here; this server's own messages are skipped."""
        try:
            name, items = json.loads(message)
            if name != self._name:
                self._publish_here(items)
        except (ValueError, TypeError, KeyError, IndexError):
            log.warning("channel.not_understood", word=message[:200])  # of a newer server: hints may be missed

    def gap(self) -> None:
        """Make every listener read the database again: messages may have been missed."""
        self._hub.gap()
        any_task = TaskChanged(namespace="", name="")
        self._hub.relay([any_task, CancelRequested(execution_id=""), AlertsChanged(), KeysChanged()])

    def _publish_here(self, items: Iterable[Item]) -> None:
        moved = [item for item in items if item[0] == "t"]
        self._hub.note_ends(item[1] for item in moved if State(item[3]).is_terminal)
        hints: list[Event] = [event for item in items if (event := _hint(item)) is not None]
        if hints:
            self._hub.relay(hints)
        if moved and self._hub.watched:
            reading = asyncio.create_task(self._publish_transitions(moved), name="read what others did")
            self._reading.add(reading)
            reading.add_done_callback(self._reading.discard)

    async def _publish_transitions(self, moved: Sequence[Item]) -> None:
        """Read the rows, for watchers. A row that has moved on since is left out: its own message is on its way."""
        try:
            found = {execution.id: execution for execution in await self._find([item[1] for item in moved])}
        except Unavailable:
            self._hub.gap()
            return
        transitions = [
            Transition(
                previous_state=State(before) if before else None,
                execution=found[execution_id],
                time=from_micros(micros),
            )
            for _, execution_id, before, after, micros in moved
            if execution_id in found and found[execution_id].state == after
        ]
        if transitions:
            self._hub.relay(transitions)


def _of_interest(events: Sequence[Event]) -> Iterator[Event]:
    """Return the events that mean something to peers."""
    return (event for event in events if not isinstance(event, Audited))


def _item(event: Event) -> Item:
    if isinstance(event, Transition):
        return ["t", event.execution.id, event.previous_state, event.execution.state, to_micros(event.time)]
    if isinstance(event, TaskChanged):
        named = ["n", event.namespace, event.name]
        return [*named, event.deleted_uid] if event.deleted_uid else named
    if isinstance(event, CancelRequested):
        return ["x", event.execution_id]
    return ["k"] if isinstance(event, KeysChanged) else ["a"]


def _hint(item: Item) -> Event | None:
    """Return the event that an item means to listeners; None if it means nothing to them."""
    if item[0] == "x":
        return CancelRequested(execution_id=item[1])
    if item[0] == "a":
        return AlertsChanged()
    if item[0] == "k":
        return KeysChanged()
    if item[0] == "n":
        _, namespace, name, *deleted_uid = item
        return TaskChanged(namespace=namespace, name=name, deleted_uid=deleted_uid[0] if deleted_uid else "")
    if State(item[3]) is State.PENDING:
        return TaskChanged(namespace="", name="")
    return None
