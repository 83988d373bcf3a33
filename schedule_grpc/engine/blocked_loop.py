"""Detects a blocked event loop: a thread watches its pulse and names the handler that does not give way."""

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from traceback import extract_stack

import structlog

from schedule_grpc.runtime.clock import Clock
from schedule_grpc.runtime.threads import start_daemon

log = structlog.get_logger(__name__)

PULSE = 0.5
"""Seconds between two beats of the loop's pulse."""
TOO_LONG = 1.0
"""Seconds without a beat after which the loop counts as blocked."""


class Watchdog:
    """Logs ``event_loop.blocked`` with the culprit while it happens, and how long it took when it is over."""

    def __init__(self, clock: Clock, *, lagged: Callable[[float], None]) -> None:
        """Make a watchdog; ``lagged`` is called at each beat with the seconds by which it was late."""
        self._clock = clock
        self._lagged = lagged
        self._due: float | None = None
        self._beat_time = clock.monotonic()
        self._over = threading.Event()

    @property
    def silent(self) -> float:
        """The seconds since the last beat."""
        return self._clock.monotonic() - self._beat_time

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the running loop within this context."""
        loop = asyncio.get_running_loop()
        self._beat(loop)
        watcher = start_daemon(partial(self._watch, loop, threading.get_ident()), name="watchdog")
        try:
            yield
        finally:
            self._over.set()
            watcher.join()

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        self._beat_time = self._clock.monotonic()
        if self._due is not None:
            self._lagged(max(self._beat_time - self._due, 0.0))
        self._due = self._beat_time + PULSE
        if not self._over.is_set():
            loop.call_later(PULSE, self._beat, loop)

    def _watch(self, loop: asyncio.AbstractEventLoop, thread_id: int) -> None:
        blocked_since: float | None = None
        while not self._over.wait(PULSE):
            silent = self.silent
            if silent > TOO_LONG and blocked_since is None:
                blocked_since = self._beat_time
                log.error("event_loop.blocked", by=_current_task(loop), at=_place(thread_id), seconds=round(silent, 1))
            elif silent <= TOO_LONG and blocked_since is not None:
                log.warning("event_loop.free", seconds=round(self._beat_time - blocked_since, 1))
                blocked_since = None


def _current_task(loop: asyncio.AbstractEventLoop) -> str:
    task = asyncio.current_task(loop)
    return task.get_name() if task else "unknown"


def _place(thread_id: int) -> str:
    frame = sys._current_frames().get(thread_id)  # noqa: SLF001 (the documented way to see another thread's stack)
    if frame is None:
        return "unknown"
    innermost = extract_stack(frame)[-1]
    return f"{innermost.filename}:{innermost.lineno} in {innermost.name}"
