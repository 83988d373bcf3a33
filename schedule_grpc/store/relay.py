"""What one server committed, told to the others that share its database: ids only, for the rows say the rest."""

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

import structlog

from schedule_grpc.domain.execution import Execution, State
from schedule_grpc.errors import Unavailable
from schedule_grpc.events import AlertsChanged, CancelRequested, Event, Hub, TaskChanged, Transition
from schedule_grpc.runtime.clock import from_micros, to_micros

log = structlog.get_logger(__name__)

Item = list[Any]
Find = Callable[[Sequence[str]], Awaitable[Sequence[Execution]]]

_ENCODER = json.JSONEncoder()
MOST_BYTES = 7500
"""PostgreSQL takes less than 8,000 in one word."""


class Channel(Protocol):
    """Where words are said to the other servers."""

    def say(self, word: str) -> None:
        """Say a word, soon."""

    async def close(self) -> None:
        """Say what is left to say, and leave."""


class PeerNotifier(Protocol):
    """The other servers of the same database."""

    def tell(self, events: Sequence[Event]) -> None:
        """Tell them of what is committed."""

    async def close(self) -> None:
        """Tell what is left to tell, and hear no more."""


class Relay:
    """Says this server's events to the others, and tells this server's hub of theirs."""

    def __init__(self, hub: Hub, *, find: Find, connect: Callable[["Relay"], Channel]) -> None:
        """``connect`` opens the channel, which hands what it hears to `heard` and `gap`."""
        self._hub = hub
        self._find = find
        self._name = secrets.token_hex(4)
        self._reading: set[asyncio.Task[None]] = set()
        self._channel = connect(self)

    def tell(self, events: Sequence[Event]) -> None:
        """See PeerNotifier."""
        for word in self._words(events):
            self._channel.say(word)

    async def close(self) -> None:
        """See PeerNotifier."""
        await self._channel.close()
        for reading in self._reading:
            reading.cancel()

    def _words(self, events: Sequence[Event]) -> Iterator[str]:
        """Return what is to be said of a batch of events."""
        items: list[str] = []
        size = 0
        for item in map(_ENCODER.encode, map(_item, events)):
            length = len(item) + 2
            if items and size + length > MOST_BYTES:
                yield self._word(items)
                items, size = [], 0
            items.append(item)
            size += length
        if items:
            yield self._word(items)

    def _word(self, items: Iterable[str]) -> str:
        """Return the word of items that are JSON already."""
        return f'["{self._name}", [{", ".join(items)}]]'

    def heard(self, word: str) -> None:
        """Take a word from the channel; one's own are passed over."""
        try:
            name, items = json.loads(word)
            if name != self._name:
                self._tell(items)
        except (ValueError, TypeError, KeyError, IndexError):
            log.warning("channel.not_understood", word=word[:200])  # of a newer server: hints may be missed

    def gap(self) -> None:
        """Words may have been missed: whoever waits looks for himself."""
        self._hub.gap()
        self._hub.relay([TaskChanged(name=""), CancelRequested(execution_id=""), AlertsChanged()])

    def _tell(self, items: Iterable[Item]) -> None:
        moved = [item for item in items if item[0] == "t"]
        self._hub.note_ends(item[1] for item in moved if State(item[3]).is_terminal)
        hints: list[Event] = [event for item in items if (event := _hint(item)) is not None]
        if hints:
            self._hub.relay(hints)
        if moved and self._hub.watched:
            reading = asyncio.create_task(self._tell_watchers(moved), name="read what others did")
            self._reading.add(reading)
            reading.add_done_callback(self._reading.discard)

    async def _tell_watchers(self, moved: Sequence[Item]) -> None:
        """Read the rows. One that has moved on since is left out: the word of that is on its way."""
        try:
            found = {execution.id: execution for execution in await self._find([item[1] for item in moved])}
        except Unavailable:
            self._hub.gap()
            return
        told = [
            Transition(
                previous_state=State(before) if before else None,
                execution=found[execution_id],
                time=from_micros(micros),
            )
            for _, execution_id, before, after, micros in moved
            if execution_id in found and found[execution_id].state == after
        ]
        if told:
            self._hub.relay(told)


def _item(event: Event) -> Item:
    if isinstance(event, Transition):
        return ["t", event.execution.id, event.previous_state, event.execution.state, to_micros(event.time)]
    if isinstance(event, TaskChanged):
        return ["n", event.name, event.deleted_uid] if event.deleted_uid else ["n", event.name]
    if isinstance(event, CancelRequested):
        return ["x", event.execution_id]
    return ["a"]


def _hint(item: Item) -> Event | None:
    """Return what the engine and the sender of alerts want to know of, if an item is that."""
    if item[0] == "x":
        return CancelRequested(execution_id=item[1])
    if item[0] == "a":
        return AlertsChanged()
    if item[0] == "n":
        return TaskChanged(name=item[1], deleted_uid=item[2] if len(item) > 2 else "")  # noqa: PLR2004 (kind, name)
    if State(item[3]) is State.PENDING:
        return TaskChanged(name=item[1])
    return None
