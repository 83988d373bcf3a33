"""Text for a reader that may be slow, stuck or gone: a thread writes it, and callers never wait for the reader."""

import io
import os
import select
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from schedule_grpc.domain.access.key_text import redacted

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

MOST_LINES = 10_000
MOST_BYTES = 8 * 1024 * 1024
"""Bounds of the queue of unwritten text."""
AT_ONCE = 64 * 1024
"""Bytes in one write: an absent reader holds up no more than that."""
LAST_SECONDS = 2.0
"""How long the reader gets for the rest at the end."""


class Lines:
    """A queue of text (usually lines) to a descriptor: written in order, or dropped.

    Lines are logged in the midst of the service's work, by the database's writer too, so nothing here waits or raises.
    Text that a full disk or a closed pipe refuses is lost. Lines that find the queue full, because the reader does not
    read, are dropped and counted; a notice stands in their place once there is room again.
    """

    def __init__(
        self,
        descriptor: int,
        *,
        notice: Callable[[int], str],
        dropped: Callable[[int], None] = lambda _: None,
        most_lines: int = MOST_LINES,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        """Start the thread that writes.

        Args:
            descriptor: The descriptor to write to.
            notice: Returns the line that stands for a number of dropped lines.
            dropped: Called with each number of dropped lines, in the thread that logs.
            most_lines: How many lines may wait.
            most_bytes: How many bytes of lines may wait.
        """
        self._descriptor = descriptor
        self._notice = notice
        self.dropped = dropped
        self._most = most_lines, most_bytes
        self._begin()
        os.register_at_fork(after_in_child=_Weakly(self._write_here))

    def put(self, *texts: str) -> None:
        """Take lines, each with its line break, and return at once; texts of keys in them lose their secrets."""
        data = [redacted(text).encode("utf-8", "backslashreplace") for text in texts]
        if self._own:
            with self._changed:
                lost = len(data) - sum(map(self._take, data))
                self._changed.notify_all()
            if lost:
                self.dropped(lost)
        else:
            _write(self._descriptor, b"".join(data))

    def flush(self, seconds: float = LAST_SECONDS) -> None:
        """Return once all queued text is written, at the latest after ``seconds``."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting and not self._writing, seconds)

    def _begin(self) -> None:
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._missing = 0
        self._writing = False
        self._own = True
        self._changed = threading.Condition()
        from schedule_grpc.runtime.threads import start_daemon  # noqa: PLC0415 (the command line loads no asyncio)

        start_daemon(self._write_all, name="log")

    def _take(self, data: bytes) -> bool:
        """Queue data, behind the notice of lines that were dropped before it; return whether there is room."""
        lines, size = self._most
        if len(self._waiting) + bool(self._missing) >= lines or self._bytes + len(data) > size:
            self._missing += 1
            return False
        self._add_notice_of_missing()
        self._add(data)
        return True

    def _add(self, data: bytes) -> None:
        self._waiting.append(data)
        self._bytes += len(data)

    def _add_notice_of_missing(self) -> None:
        if self._missing:
            missing, self._missing = self._missing, 0
            self._add(self._notice(missing).encode("utf-8", "backslashreplace"))

    def _write_all(self) -> None:
        while True:
            _write(self._descriptor, self._next())

    def _next(self) -> bytes:
        with self._changed:
            self._writing = False
            if not self._waiting:
                self._add_notice_of_missing()
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._waiting)
            together = [self._waiting.popleft()]
            size = len(together[0])
            while self._waiting and size + len(self._waiting[0]) <= AT_ONCE:
                together.append(self._waiting.popleft())
                size += len(together[-1])
            data = b"".join(together)
            self._bytes -= size
            self._writing = True
            return data

    def _write_here(self) -> None:
        """Write in the calling thread: a forked child has no writing thread, and the lock may be held for ever."""
        self._waiting = deque()
        self._bytes = self._missing = 0
        self._writing = self._own = False
        self._changed = threading.Condition()


class Stream(io.RawIOBase):
    """Lines as a file: for ``print``, for tracebacks, for foreign loggers."""

    def __init__(self, lines: Lines, descriptor: int) -> None:
        self._lines = lines
        self._descriptor = descriptor

    def writable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the descriptor of the lines."""
        return self._descriptor

    def isatty(self) -> bool:
        """Return whether the lines go to a terminal."""
        return os.isatty(self._descriptor)

    def write(self, data: "ReadableBuffer", /) -> int:
        """Put a text; all of it is taken, or counted as dropped."""
        view = memoryview(data)
        self._lines.put(view.tobytes().decode("utf-8", "backslashreplace"))
        return view.nbytes


class _Weakly:
    """A method that is called only while its object lives: functions registered at fork are never unregistered."""

    def __init__(self, method: Callable[[], None]) -> None:
        self._method = weakref.WeakMethod(method)

    def __call__(self) -> None:
        method = self._method()
        if method is not None:
            method()


def text_of(lines: Lines, descriptor: int) -> io.TextIOWrapper:
    """Return a text file whose writes are queued in ``lines``."""
    return io.TextIOWrapper(Stream(lines, descriptor), "utf-8", "backslashreplace", write_through=True)  # type: ignore[arg-type]


def _write(descriptor: int, data: bytes) -> None:
    """Write all of the data, however long that takes; data that cannot be written is lost."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:  # another process that shares the descriptor made it non-blocking
            poll = select.poll()
            poll.register(descriptor, select.POLLOUT)
            poll.poll()
        except OSError:
            return
