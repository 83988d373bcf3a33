"""Sends what is to be told, tries again what could not be, and forgets nothing over a restart."""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

import structlog

from schedule_grpc.alerts.message import message_of
from schedule_grpc.alerts.targets import Target
from schedule_grpc.clock import Clock
from schedule_grpc.condition import Alert
from schedule_grpc.errors import BindingError, Unavailable
from schedule_grpc.events import AlertsChanged, Event, Hub

log = structlog.get_logger(__name__)

T = TypeVar("T")

AGAIN_AFTER = timedelta(seconds=10)
AT_MOST_AFTER = timedelta(minutes=15)
"""Backoff for a target that is down: doubled each time between these two."""
GIVEN_UP_AFTER = timedelta(days=3)
"""A message that a target did not take for so long is dropped for it: it would be news of the week before."""


class AlertStates(Protocol):
    """What is kept of alerts; the store's part in this."""

    async def untold_alerts(self) -> tuple[Alert, ...]:
        """Return alerts of which the start or the end is still to be told, the oldest first."""

    async def alert_told(self, alert: Alert) -> None:
        """Note that what was to be told of an alert, as it was read, has been told."""


@dataclass(slots=True)
class _Trying:
    """How far a message is: who still waits for it, and when they are tried again."""

    waiting: list[Target]
    first_time: datetime
    next_time: datetime
    pause: timedelta = AGAIN_AFTER


class Sender:
    """One server's alerts; without targets, a line of the log is all that tells of them."""

    def __init__(self, *, states: AlertStates, targets: Sequence[Target], clock: Clock) -> None:
        self._states = states
        self._targets = tuple(targets)
        self._clock = clock
        self._woken = asyncio.Event()
        self._trying: dict[str, _Trying] = {}

    async def run(self, hub: Hub, stopping: asyncio.Event) -> None:
        """Send until stopping; what is not sent by then is sent by the next server.

        A send that is under way is given up at once: a target that is slow must not hold a stopping server. It may have
        arrived all the same, and is sent again under the same id.
        """
        with hub.listening(self._notice):
            while not stopping.is_set():
                self._woken.clear()
                next_time = await self._look(stopping)
                while not stopping.is_set() and not self._woken.is_set() and self._clock.now() < next_time:
                    await self._clock.wait_until(next_time, self._woken)

    async def send_all(self) -> datetime | None:
        """Send what is to be told and due; return when the next try is, if anything is left."""
        alerts = await self._states.untold_alerts()
        known = {message_of(alert).id for alert in alerts}
        self._trying = {name: trying for name, trying in self._trying.items() if name in known}
        for alert in alerts:
            if await self._sent(alert):
                await self._states.alert_told(alert)
                self._trying.pop(message_of(alert).id, None)
        return min((trying.next_time for trying in self._trying.values()), default=None)

    async def aclose(self) -> None:
        """Let go of the targets."""
        for target in self._targets:
            await target.aclose()

    def _notice(self, events: Sequence[Event]) -> None:
        if any(isinstance(event, AlertsChanged) for event in events):
            self._woken.set()

    async def _look(self, stopping: asyncio.Event) -> datetime:
        """Send what there is until stopping, whatever happens; return when to look again."""
        latest = self._clock.now() + AT_MOST_AFTER
        try:
            return await _unless(stopping, self.send_all()) or latest
        except Unavailable as error:
            log.warning("alerts.not_read", error=str(error))
        except Exception:
            log.exception("alerts.not_sent")
        return min(self._clock.now() + AGAIN_AFTER, latest)

    async def _sent(self, alert: Alert) -> bool:
        """Try whoever still waits for an alert's message and is due; return whether nobody waits any more."""
        message, now = message_of(alert), self._clock.now()
        if message.id not in self._trying:
            log.warning(message.type, task=alert.task_name, key=alert.key, title=alert.title)
            self._trying[message.id] = _Trying(list(self._targets), now, now)
        trying = self._trying[message.id]
        if trying.next_time > now:
            return False
        results = await asyncio.gather(*(target.send(message) for target in trying.waiting), return_exceptions=True)
        waiting = []
        for target, result in zip(trying.waiting, results, strict=True):
            if result is None:
                log.info("alert.sent", target=target.name, task=alert.task_name, key=alert.key, type=message.type)
                continue
            if not isinstance(result, BindingError):
                log.error("alert.failed", target=target.name, exc_info=result)
            log.warning("alert.not_taken", target=target.name, task=alert.task_name, key=alert.key, error=str(result))
            waiting.append(target)
        trying.waiting = waiting
        trying.next_time = now + trying.pause
        trying.pause = min(2 * trying.pause, AT_MOST_AFTER)
        if waiting and now - trying.first_time > GIVEN_UP_AFTER:
            log.error("alert.given_up", targets=[target.name for target in waiting], task=alert.task_name)
            return True
        return not waiting


async def _unless(stopping: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """Return what the work returns; None, with the work cancelled, if stopping comes first."""
    working, stopped = asyncio.create_task(work), asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait([working, stopped], return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        for task in (working, stopped):
            task.cancel()
        await asyncio.gather(working, stopped, return_exceptions=True)
