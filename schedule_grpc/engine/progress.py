"""What running handlers tell of themselves, handed on to whoever watches."""

import asyncio

from schedule_grpc.events import Hub, Progress
from schedule_grpc.runtime.clock import Clock
from schedule_grpc.store import Claim

PAUSE = 0.1
"""Seconds in which a handler is heard at most once: a loop may tell of every row it reads."""


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
        """Tell how far the attempt is; what comes too soon after the last word is dropped, but for the end."""
        now = self._clock.monotonic()
        if now - self._published_time < PAUSE and fraction < 1:
            return
        self._published_time = now
        event = Progress(
            execution_id=self._execution.id,
            task_name=self._execution.task_name,
            fraction=fraction,
            text=text,
            time=self._clock.now(),
        )
        self._loop.call_soon_threadsafe(self._hub.publish, [event])
