"""Progress that running handlers report, published to watchers and kept with the execution."""

import asyncio
from contextlib import suppress

from schedule_grpc.domain.execution import Execution
from schedule_grpc.domain.execution.log_lines import Progress
from schedule_grpc.runtime.clock import Clock
from schedule_grpc.store import LogBook
from schedule_grpc.store.logbook import PUBLISHED_EVERY


class Reporter:
    """Hands the progress of one attempt to the book; may be called from the event loop's thread and a handler's own.

    A report too soon after the last one is not published, unless it is the end; the newest of these is kept all the
    same, once the pause is over.
    """

    def __init__(self, execution: Execution, *, book: LogBook, clock: Clock, loop: asyncio.AbstractEventLoop) -> None:
        """Take the execution of the attempt; ``loop`` is the book's."""
        self._execution = execution
        self._book = book
        self._clock = clock
        self._loop = loop
        self._published_time = float("-inf")
        self._held_back: Progress | None = None
        self._will_keep = False

    def __call__(self, fraction: float, text: str) -> None:
        """Report the progress."""
        progress = Progress(
            execution_id=self._execution.id,
            attempt=self._execution.attempt,
            fraction=fraction,
            text=text,
            report_time=self._clock.now(),
        )
        now = self._clock.monotonic()
        if now - self._published_time < PUBLISHED_EVERY and fraction < 1:
            self._held_back = progress
            if not self._will_keep:
                self._will_keep = True
                with suppress(RuntimeError):  # the loop has closed
                    self._loop.call_soon_threadsafe(self._keep_after_pause)
            return
        self._published_time = now
        self._held_back = None
        self._loop.call_soon_threadsafe(self._book.publish_progress, self._execution, progress)

    def end(self) -> None:
        """Hand over the newest report, in the book's loop."""
        held_back, self._held_back = self._held_back, None
        if held_back is not None:
            self._book.keep_progress(held_back)

    def _keep_after_pause(self) -> None:
        self._clock.call_later(PUBLISHED_EVERY, self._keep)

    def _keep(self) -> None:
        self._will_keep = False
        self.end()
