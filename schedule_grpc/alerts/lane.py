"""The queue of one target: a target that is down or slow delays no other."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from schedule_grpc.alerts.message import Message
from schedule_grpc.alerts.targets import Target
from schedule_grpc.errors import BindingError
from schedule_grpc.runtime.clock import Clock

log = structlog.get_logger(__name__)

AGAIN_AFTER = timedelta(seconds=10)
AT_MOST_AFTER = timedelta(minutes=15)
"""Backoff for a message that was not taken: doubled each time between these two."""
GIVEN_UP_AFTER = timedelta(days=3)
"""A message that a target did not take for so long is dropped for it: it would be news of the week before."""


@dataclass(slots=True)
class _Trying:
    """A message that was not taken yet."""

    first_time: datetime
    next_time: datetime
    pause: timedelta = AGAIN_AFTER


class Lane:
    """One target's messages."""

    def __init__(self, target: Target, clock: Clock) -> None:
        self.target = target
        self.woken = asyncio.Event()
        """Set when there may be a new alert."""
        self._clock = clock
        self._taken: set[str] = set()
        self._trying: dict[str, _Trying] = {}

    def has(self, message: Message) -> bool:
        """Return whether the target has received a message, or it was given up."""
        return message.id in self._taken

    def remember_only(self, ids: Collection[str]) -> None:
        """Forget all other messages: they need not be sent any more."""
        self._taken.intersection_update(ids)
        self._trying = {name: trying for name, trying in self._trying.items() if name in ids}

    def next_time(self) -> datetime | None:
        """Return when a message is tried again, if there is one."""
        return min((trying.next_time for trying in self._trying.values()), default=None)

    async def send(self, messages: Sequence[Message]) -> bool:
        """Send the due messages of one condition, in order; return whether the target has received all of them."""
        for message in messages:
            if not self.has(message) and not await self._took(message):
                return False  # the end is not sent before the start
        return True

    async def _took(self, message: Message) -> bool:
        now = self._clock.now()
        trying = self._trying.setdefault(message.id, _Trying(now, now))
        if trying.next_time > now:
            return False
        about = {
            "target": self.target.name,
            "namespace": message.namespace,
            "task": message.task,
            "key": message.key,
        }
        failure = await self._failure(message)
        if failure is not None:
            log.warning("alert.not_taken", **about, type=message.type, error=failure)
            trying.next_time = self._clock.now() + trying.pause
            trying.pause = min(2 * trying.pause, AT_MOST_AFTER)
            if now - trying.first_time <= GIVEN_UP_AFTER:
                return False
            log.error("alert.given_up", **about, type=message.type)
        else:
            log.warning(message.type, **about, title=message.title)
        del self._trying[message.id]
        self._taken.add(message.id)
        return True

    async def _failure(self, message: Message) -> str | None:
        """Send a message; return why it was not taken, None if it was."""
        try:
            await self.target.send(message)
        except BindingError as error:
            return str(error)
        except Exception as error:
            log.exception("alert.failed", target=self.target.name)
            return str(error)
        return None
