"""The feed of ticks: which tasks and executions changed, told to browsers at most once a second.

A browser that was sent every transition of a burst would be sent thousands of bodies for a page that shows fifty rows.
A tick only names what changed; the page then asks again for its own part, and gets it in one answer. A tick is encoded
once for all browsers that may see the same names.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from schedule_grpc.api.http.envelope import encoded
from schedule_grpc.domain.access.permit import Permit
from schedule_grpc.errors import ResourceExhausted
from schedule_grpc.events import HEARTBEAT, Event, Hub, Logged, Progress, TaskChanged, Transition
from schedule_grpc.runtime.clock import Alarm, Clock

BETWEEN_TICKS = 1.0
"""Seconds between two ticks, at least."""
MOST_NAMES = 50
"""Tasks or executions that a tick names; if more have changed, it says that any may have."""
MOST_STREAMS = 200
SILENCE = b": nothing happened\n\n"
Health: TypeAlias = Callable[[Permit], Sequence[str] | None]
"""Returns why the server is not healthy, for callers with a permit; None: they may not know."""
Numbers: TypeAlias = Callable[[Permit], Awaitable[Mapping[str, Any] | None]]
"""Returns what the head of every page counts, for callers with a permit; None: it is not known now."""


class Names:
    """Names that have changed since the last tick; None once there are too many to tell."""

    def __init__(self) -> None:
        self._names: set[str] | None = set()

    def add(self, name: str) -> None:
        """Note a name; the empty one stands for any."""
        if self._names is None:
            return
        if not name or len(self._names) == MOST_NAMES:
            self._names = None
        else:
            self._names.add(name)

    def taken(self) -> list[str] | None:
        """Return the names in order, None for any; and forget them."""
        names, self._names = self._names, set()
        return None if names is None else sorted(names)

    def __bool__(self) -> bool:
        return self._names is None or bool(self._names)


class Stream:
    """The ticks for one browser. One that it has not read yet is replaced: the newer one then stands for both."""

    def __init__(self) -> None:
        self._next: bytes | None = None
        self._changed = asyncio.Event()
        self._closed = False

    def put(self, message: bytes, *, instead: bytes) -> None:
        """Hand over a message; ``instead`` if the one before was not read yet."""
        unread = self._next is not None and self._next is not SILENCE
        self._next = instead if unread else message
        self._changed.set()

    def rest(self) -> None:
        """Hand over a comment, by which the browser and proxies between see that the connection lives."""
        if self._next is None:
            self._next = SILENCE
            self._changed.set()

    def close(self) -> None:
        """End the iteration."""
        self._closed = True
        self._changed.set()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while not self._closed:
            self._changed.clear()
            if self._next is None:
                await self._changed.wait()
            message, self._next = self._next, None
            if message is not None:
                yield message


@dataclass(kw_only=True, slots=True)
class Group:
    """The browsers that may see the same tasks: they are sent the same ticks."""

    permit: Permit
    health: Sequence[str] | None = None
    """What the browsers were told of the server's health last."""
    streams: set[Stream] = field(default_factory=set)
    tasks: Names = field(default_factory=Names)
    executions: Names = field(default_factory=Names)

    def notice(self, event: Event) -> None:
        """Note what an event says has changed, if the browsers may see it."""
        if isinstance(event, Transition):
            namespace, task, execution = event.execution.namespace, event.execution.task_name, event.execution.id
        elif isinstance(event, Progress | Logged):
            namespace, task, execution = event.namespace, event.task_name, event.execution_id
        elif isinstance(event, TaskChanged):
            namespace, task, execution = event.namespace, event.name, ""
        else:
            return
        if task and (namespace != self.permit.namespace or not self.permit.covers(task)):
            return
        self.tasks.add(task)
        if execution:
            self.executions.add(execution)


def _unknown(_: Permit) -> None:
    """Tell nobody of the server's health."""


class Feed:
    """Hears all events while a browser listens, and tells browsers what changed."""

    def __init__(self, hub: Hub, clock: Clock, numbers: Numbers, health: Health = _unknown) -> None:
        """Take what the feed works with.

        Args:
            hub: Publishes the events.
            clock: Paces the ticks.
            numbers: Returns what the head of every page counts.
            health: Returns why the server is not healthy.
        """
        self._hub = hub
        self._clock = clock
        self._numbers = numbers
        self._health = health
        self._epoch = secrets.token_hex(4)
        self._version = 0
        self._groups: dict[tuple[str, tuple[str, ...], bool], Group] = {}
        self._listening = ExitStack()
        self._told_at = clock.monotonic()
        self._alarm: Alarm | None = None
        self._heartbeat: Alarm | None = None
        self._telling: asyncio.Task[None] | None = None

    @property
    def version(self) -> int | None:
        """A number that is another one after each change; None while no browser listens, and changes are not heard."""
        return self._version if self._groups else None

    @property
    def mark(self) -> str:
        """What has been heard so far, in a word: a page that was made at another mark may be out of date."""
        return f"{self._epoch}:{self._version}" if self._groups else ""

    @property
    def stream_count(self) -> int:
        """The number of browsers that listen."""
        return sum(len(group.streams) for group in self._groups.values())

    @contextmanager
    def joined(self, permit: Permit) -> Iterator[Stream]:
        """Within this context a browser is told what changes of what the permit covers.

        Raises:
            ResourceExhausted: if `MOST_STREAMS` listen already.
        """
        if self.stream_count >= MOST_STREAMS:
            raise ResourceExhausted(f"{MOST_STREAMS} browsers listen already")
        if not self._groups:
            self._listening.enter_context(self._hub.watching(self))
            self._beat()
        health = self._health(permit)
        key = permit.namespace, permit.prefixes, health is not None
        group = self._groups.setdefault(key, Group(permit=permit, health=health))
        stream = Stream()
        group.streams.add(stream)
        stream.put(self._message(**_told(health)), instead=b"")
        if self._hub.is_closed:
            stream.close()
        try:
            yield stream
        finally:
            group.streams.discard(stream)
            if not group.streams:
                del self._groups[key]
            if not self._groups:
                self._rest()

    # -- as a watcher of the hub

    def notice(self, events: Sequence[Event]) -> None:
        """Note what has changed; browsers are told within a second."""
        self._version += 1
        for group in self._groups.values():
            for event in events:
                group.notice(event)
        self._tell_soon()

    def gap(self) -> None:
        """Note that anything may have changed."""
        self._version += 1
        for group in self._groups.values():
            group.tasks.add("")
            group.executions.add("")
        self._tell_soon()

    def close(self) -> None:
        """End all streams: the server stops."""
        for group in self._groups.values():
            for stream in group.streams:
                stream.close()

    # -- inside

    def _rest(self) -> None:
        self._listening.close()
        for alarm in (self._alarm, self._heartbeat):
            if alarm is not None:
                alarm.cancel()
        self._alarm = self._heartbeat = None

    def _tell_soon(self) -> None:
        if self._alarm is not None or not any(group.tasks or group.executions for group in self._groups.values()):
            return
        pause = max(self._told_at + BETWEEN_TICKS - self._clock.monotonic(), 0.0)
        self._alarm = self._clock.call_later(pause, self._tell)

    def _tell(self) -> None:
        self._alarm = None
        self._told_at = self._clock.monotonic()
        changed = [group for group in self._groups.values() if group.tasks or group.executions]
        self._telling = asyncio.get_running_loop().create_task(self._tell_each(changed), name="feed")

    async def _tell_each(self, groups: Sequence[Group]) -> None:
        for group in groups:
            tasks, executions = group.tasks.taken(), group.executions.taken()
            numbers = await self._numbers(group.permit)
            group.health = self._health(group.permit)
            fields = _told(group.health) | ({"n": numbers} if numbers is not None else {})
            message = self._message(t=tasks, x=executions, **fields)
            anything = self._message(t=None, x=None, **fields)
            for stream in group.streams:
                stream.put(message, instead=anything)

    def _beat(self) -> None:
        for group in self._groups.values():
            told, group.health = group.health, self._health(group.permit)
            message = self._message(**_told(group.health))
            for stream in group.streams:
                if told == group.health:
                    stream.rest()
                else:
                    stream.put(message, instead=self._message(t=None, x=None, **_told(group.health)))
        self._heartbeat = self._clock.call_later(HEARTBEAT.total_seconds(), self._beat)

    def _message(self, **fields: Any) -> bytes:
        content = {"e": self._epoch, "v": self._version, **fields}
        return f"id: {self._version}\ndata: {encoded(content)}\n\n".encode()


def _told(health: Sequence[str] | None) -> dict[str, Any]:
    """Return the field of a message that tells of the server's health."""
    return {} if health is None else {"h": list(health)}
