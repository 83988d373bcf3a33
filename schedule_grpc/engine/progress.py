"""Progress that running handlers report, published to watchers."""

import asyncio

from schedule_grpc.events import Hub, Progress
from schedule_grpc.runtime.clock import Clock
from schedule_grpc.store import Claim

PAUSE = 0.1
"""Seconds between two published reports of one attempt at least: a handler may report every row it reads."""


class Reporter:
    """Publishes the progress of one attempt; may be called from the event loop's thread and from a handler's own."""

    def __init__(self, claim: Claim, *, hub: Hub, clock: Clock, loop: asyncio.AbstractEventLoop) -> None:
        """Take a claim; ``loop`` is the hub's."""
        self._execution = claim.execution
        self._hub = hub
        self._clock = clock
        self._loop = loop
        self._published_time = float("-inf")

    def __call__(self, fraction: float, text: str) -> None:
        """Publish the progress; a report too soon after the last one is dropped, unless it is the end."""
        now = self._clock.monotonic()
        if now - self._published_time < PAUSE and fraction < 1:
            return
        self._published_time = now
        event = Progress(
            execution_id=self._execution.id,
            namespace=self._execution.namespace,
            task_name=self._execution.task_name,
            fraction=fraction,
            text=text,
            time=self._clock.now(),
        )
        self._loop.call_soon_threadsafe(self._hub.publish, [event])
