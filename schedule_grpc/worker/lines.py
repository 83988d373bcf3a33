"""The lines that a handler logs, on their way to the server: several in one update, the newest if they are too many."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from schedule_grpc.domain.execution.log_lines import MAX_LINES, LogLine
from schedule_grpc.runtime.clock import Alarm, Clock

PAUSE = 0.5
"""Seconds for which lines wait for others."""
MANY_BYTES = 16 * 1024
"""Lines of so many bytes wait no longer."""


class LineNotes:
    """Takes the lines of one attempt, in any thread, and publishes them in the worker's event loop."""

    def __init__(self, clock: Clock, publish: Callable[[Sequence[LogLine]], None]) -> None:
        """Begin without a line; in the loop in which ``publish`` is to be called."""
        self._clock = clock
        self._publish = publish
        self._loop = asyncio.get_running_loop()
        self._lines: deque[LogLine] = deque(maxlen=MAX_LINES)
        """Whatever is beyond it, the oldest, counts as dropped: its number is left out."""
        self._bytes = 0
        self._is_noted = False
        self._alarm: Alarm | None = None

    def __call__(self, line: LogLine) -> None:
        """Note a line."""
        self._lines.append(line)
        before, self._bytes = self._bytes, self._bytes + line.size
        if not self._is_noted or before < MANY_BYTES <= self._bytes:
            self._is_noted = True
            with suppress(RuntimeError):  # the loop has closed: a handler outlived the worker
                self._loop.call_soon_threadsafe(self._soon)

    def flush(self) -> None:
        """Publish the lines that have not been published."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._is_noted = False  # first of all: a line that comes from now on is noted anew
        self._bytes = 0
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        if lines:
            self._publish(lines)

    def _soon(self) -> None:
        if self._bytes >= MANY_BYTES:
            self.flush()
        elif self._alarm is None:
            self._alarm = self._clock.call_later(PAUSE, self.flush)
