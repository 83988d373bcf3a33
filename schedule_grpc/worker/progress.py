"""The progress of one attempt on its way to the server: the newest report counts, and goes at most twice a second."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from schedule_grpc.runtime.clock import Alarm, Clock

PAUSE = 0.5
"""Seconds between two updates of one attempt at least: a handler may report every row it reads."""


class ProgressNotes:
    """Takes reports of a handler, in any thread, and publishes the newest in the worker's event loop."""

    def __init__(self, clock: Clock, publish: Callable[[float, str], None]) -> None:
        """Begin without a report; in the loop in which ``publish`` is to be called."""
        self.newest: tuple[float, str] | None = None
        """The fraction and the text of the newest report."""
        self._clock = clock
        self._publish = publish
        self._loop = asyncio.get_running_loop()
        self._is_noted = False
        self._not_before = 0.0
        self._alarm: Alarm | None = None

    def __call__(self, fraction: float, text: str) -> None:
        """Note a report."""
        self.newest = (fraction, text)
        if not self._is_noted:
            self._is_noted = True
            with suppress(RuntimeError):  # the loop has closed: a handler outlived the worker
                self._loop.call_soon_threadsafe(self._soon)

    def flush(self) -> None:
        """Publish a report that has not been published."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._is_noted and self.newest is not None:
            self._is_noted = False  # first of all: a report that comes from now on is noted anew
            self._not_before = self._clock.monotonic() + PAUSE
            self._publish(*self.newest)

    def _soon(self) -> None:
        if self._alarm is None:
            self._alarm = self._clock.call_later(max(self._not_before - self._clock.monotonic(), 0.0), self.flush)
