"""How a server leaves the others: it announces that it stops, and drains once callers were led elsewhere.

A load balancer learns from health, or from /readyz, that it should send no more calls; Kubernetes tells all its nodes
so some seconds after it asked the pod to stop. Calls that come meanwhile must be answered as before.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from schedule_grpc.api import GrpcServer
from schedule_grpc.app.edges import STREAM_GRACE
from schedule_grpc.engine import AbsentEngine, Engine
from schedule_grpc.runtime.clock import Clock
from schedule_grpc.service import Service

if TYPE_CHECKING:
    from schedule_grpc.app import Parts

log = structlog.get_logger(__name__)

CALLS_END_WITHIN = 1.0
"""Seconds for which calls on connections that are closed may go on as before: most runs that a caller waits for end in
them, and the others end with the execution's id."""


class Leaving:
    """One server's leaving: announced at the signal to stop, begun after the delay."""

    def __init__(self, delay: timedelta, clock: Clock, *, service: Service, engine: Engine | AbsentEngine) -> None:
        """Take the parts; nothing is announced yet.

        Args:
            delay: The time between the announcement and the drain.
            clock: Measures it.
            service: It may drain without an announcement, in a program that runs a server inside itself.
            engine: Its troubles are the server's.
        """
        self.delay = delay
        self._clock = clock
        self._service = service
        self._engine = engine
        self._announced = False
        self._closing: asyncio.Task[None] | None = None
        self._hurried = asyncio.Event()
        self.begun = asyncio.Event()
        """Set when the server no longer works as before."""

    def is_announced(self) -> bool:
        """Return whether callers are told to go elsewhere."""
        return self._announced or self._service.draining

    def troubles(self) -> Sequence[str]:
        """Return why the server is not healthy, or should get no more calls; empty if it is healthy."""
        return (*self._engine.troubles(), *self._stopping())

    def unready(self) -> Sequence[str]:
        """Return why calls should go to another server, in fixed words; empty if they may come here."""
        return (*self._engine.unready(), *self._stopping())

    def hurry(self) -> None:
        """End the delay."""
        self._hurried.set()

    def _stopping(self) -> Sequence[str]:
        return ("the server is stopping",) if self.is_announced() else ()

    async def closed_to_callers(self, server: GrpcServer) -> None:
        """Close gRPC's connections, if there is a delay; return when its calls have ended, or a second later.

        A delay means that there are other servers. The connections last for hours, and a caller whose runs are refused
        here would try again by the same one: so they are closed before the running work ends, and callers find another
        server. Without a delay callers may have nowhere to go, and may read until the end.
        """
        if not self.delay:
            return
        self._closing = asyncio.create_task(server.stop(STREAM_GRACE), name="close gRPC")
        with suppress(TimeoutError):
            async with self._clock.timeout(CALLS_END_WITHIN):
                await asyncio.wait([self._closing])

    async def calls_ended(self) -> None:
        """Return when the calls of gRPC's closed connections have ended, or were ended."""
        if self._closing is not None:
            await self._closing

    async def announce(self, engine: "asyncio.Task[None]") -> None:
        """Announce, and return when the delay is over, was hurried, or the engine has ended."""
        self._announced = True
        if self.delay:
            engine.add_done_callback(lambda _: self.hurry())
            with suppress(TimeoutError):
                async with self._clock.timeout(self.delay.total_seconds()):
                    await self._hurried.wait()
        self.begun.set()


async def drain(parts: "Parts", engine: "asyncio.Task[None]") -> None:
    """Announce that the server stops; after the delay, end the calls that wait and let running work end."""
    log.info("server.draining", delay=parts.leaving.delay.total_seconds())
    await parts.server.set_serving(serving=False)
    await parts.leaving.announce(engine)
    await parts.leaving.closed_to_callers(parts.server)
    parts.service.drain()
    parts.workers.drain()
    parts.engine.stop()
    await parts.leaving.calls_ended()
    await engine
