"""The lines that a handler of this server logs, from its thread into the log book."""

import asyncio
from collections import deque
from contextlib import suppress

from schedule_grpc.domain.execution import Execution
from schedule_grpc.domain.execution.log_lines import LogLine
from schedule_grpc.handlers.attempt_log import AttemptLog
from schedule_grpc.runtime.clock import Clock
from schedule_grpc.store import LogBook


class AttemptLines:
    """Hands the lines of one attempt to the book, in the engine's event loop.

    A line wakes that loop, unless one before it does so already. The end of a handler may overtake that wake-up: it
    comes by another queue. So `end` takes the lines itself; all that the handler logged are here before its end is.
    """

    def __init__(self, execution: Execution, *, book: LogBook, clock: Clock, loop: asyncio.AbstractEventLoop) -> None:
        """Take the execution of the attempt, and the loop of the book."""
        self.log = AttemptLog(self._give, clock=clock)
        self._execution = execution
        self._book = book
        self._loop = loop
        self._given: deque[LogLine] = deque()
        self._will_wake = False

    def end(self, failure: str | None) -> None:
        """Note the end of the handler, and hand over what is left; in the book's loop."""
        self.log.end(failure)
        self._hand_over()

    def _give(self, line: LogLine) -> None:
        self._given.append(line)
        if not self._will_wake:
            self._will_wake = True
            with suppress(RuntimeError):  # the loop has closed
                self._loop.call_soon_threadsafe(self._hand_over)

    def _hand_over(self) -> None:
        self._will_wake = False  # first of all: a line given from now on may not be seen here
        lines = [self._given.popleft() for _ in range(len(self._given))]
        if lines:
            self._book.add(self._execution, self._execution.attempt, lines)
