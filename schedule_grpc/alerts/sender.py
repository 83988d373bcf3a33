"""Sends alerts, retries failed ones, and forgets none over a restart."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar

import structlog

from schedule_grpc.alerts.lane import AGAIN_AFTER, AT_MOST_AFTER, Lane
from schedule_grpc.alerts.message import messages_of
from schedule_grpc.alerts.targets import Log, Target
from schedule_grpc.domain.condition import Alert
from schedule_grpc.errors import Unavailable
from schedule_grpc.events import AlertsChanged, Event, Hub
from schedule_grpc.runtime.clock import Clock

log = structlog.get_logger(__name__)

T = TypeVar("T")


class AlertStates(Protocol):
    """The store's part in sending alerts."""

    async def unsent_alerts(self) -> tuple[Alert, ...]:
        """Return alerts whose start or end is not sent yet, the oldest first."""

    async def mark_alert_sent(self, alert: Alert) -> None:
        """Note that the start or end of an alert, as it was read, has been sent."""


class Sender:
    """Sends alerts to each target by itself; the log is a target, and without others the only one.

    An alert counts as sent once every target has received it. The server remembers in memory which targets have, so
    after a restart some may receive it again, under the same id.
    """

    def __init__(
        self,
        *,
        states: AlertStates,
        targets: Sequence[Target],
        clock: Clock,
        speaks: Callable[[], bool] = lambda: True,
    ) -> None:
        """``speaks`` returns whether this server sends: of several that share a database, one does."""
        self._states = states
        self._speaks = speaks
        self._clock = clock
        self._lanes = tuple(Lane(target, clock) for target in (Log(), *targets))

    async def run(self, hub: Hub, stopping: asyncio.Event) -> None:
        """Send until stopping; the next server sends the rest.

        A send that is under way is given up at once: a slow target must not hold a stopping server. The message may
        have arrived all the same, and is sent again under the same id.
        """
        with hub.listening(self._notice, with_peers=True):
            await asyncio.gather(*(self._run(lane, stopping) for lane in self._lanes), self._wake_at(stopping))

    async def send_all(self) -> datetime | None:
        """Send all due alerts; return the time of the next try, if an alert is left."""
        times = await asyncio.gather(*(self._send(lane) for lane in self._lanes))
        return min((time for time in times if time is not None), default=None)

    async def aclose(self) -> None:
        """Close the targets."""
        for lane in self._lanes:
            await lane.target.aclose()

    def _notice(self, events: Sequence[Event]) -> None:
        if any(isinstance(event, AlertsChanged) for event in events):
            self._wake()

    def _wake(self) -> None:
        for lane in self._lanes:
            lane.woken.set()

    async def _wake_at(self, stopping: asyncio.Event) -> None:
        await stopping.wait()
        self._wake()

    async def _run(self, lane: Lane, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            lane.woken.clear()
            next_time = await self._look(lane, stopping)
            while not stopping.is_set() and not lane.woken.is_set() and self._clock.now() < next_time:
                await self._clock.wait_until(next_time, lane.woken)

    async def _look(self, lane: Lane, stopping: asyncio.Event) -> datetime:
        """Send the due alerts until stopping, and log every error; return when to look again."""
        latest = self._clock.now() + AT_MOST_AFTER
        try:
            return await _unless(stopping, self._send(lane)) or latest
        except Unavailable as error:
            log.warning("alerts.not_read", error=str(error))
        except Exception:
            log.exception("alerts.not_sent")
        return min(self._clock.now() + AGAIN_AFTER, latest)

    async def _send(self, lane: Lane) -> datetime | None:
        """Send one target its due alerts, of all conditions at once; return the time of the next try."""
        alerts = await self._states.unsent_alerts() if self._speaks() else ()
        lane.remember_only({message.id for alert in alerts for message in messages_of(alert)})
        by_condition: dict[tuple[str, str], list[Alert]] = {}
        for alert in alerts:
            by_condition.setdefault((alert.task_uid, alert.key), []).append(alert)
        sending = (self._send_condition(lane, of_one) for of_one in by_condition.values())
        failures = [each for each in await asyncio.gather(*sending, return_exceptions=True) if each is not None]
        if failures:
            raise failures[0]
        return lane.next_time()

    async def _send_condition(self, lane: Lane, alerts: Sequence[Alert]) -> None:
        """Send one target the alerts of one condition, in order."""
        for alert in alerts:
            messages = messages_of(alert)
            has_all = await lane.send(messages)
            if all(each.has(messages[0]) for each in self._lanes):
                await self._states.mark_alert_sent(alert)
                self._wake()  # there may be more than was read
            if not has_all:
                return


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
