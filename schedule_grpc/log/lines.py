"""Text for a reader who may be slow, stuck or gone: written by a thread of its own, and lost rather than waited for."""

import io
import os
import select
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

MOST_LINES = 10_000
MOST_BYTES = 8 * 1024 * 1024
"""What waits for a reader at most."""
AT_ONCE = 64 * 1024
"""Bytes in one write, so that a reader who is not there holds up no more than that."""
LAST_SECONDS = 2.0
"""How long the reader gets for what is left at the end."""


class Lines:
    """Pieces of text, a line each as a rule, on their way to a descriptor: in order, or not at all.

    A line is written in the midst of the service's work, by the database's writer too. So nothing here waits or
    raises: what a full disk or a reader that has gone does not take is lost, and what a reader that does not read
    leaves no room for is counted, and told in its place once there is room again.
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
        """Begin to write.

        Args:
            descriptor: Where to.
            notice: Makes the line that stands for so many which were dropped.
            dropped: Is told of each number of lines that were dropped, in whatever thread.
            most_lines: How many may wait.
            most_bytes: How many bytes of them may wait.
        """
        self._descriptor = descriptor
        self._notice = notice
        self.dropped = dropped
        self._most = most_lines, most_bytes
        self._begin()
        os.register_at_fork(after_in_child=_Weakly(self._write_here))

    def put(self, *texts: str) -> None:
        """Take lines, each with its line break, and return at once."""
        data = [text.encode("utf-8", "backslashreplace") for text in texts]
        if self._own:
            with self._changed:
                lost = len(data) - sum(map(self._take, data))
                self._changed.notify_all()
            if lost:
                self.dropped(lost)
        else:
            _write(self._descriptor, b"".join(data))

    def flush(self, seconds: float = LAST_SECONDS) -> None:
        """Return once all is written that was put, or after so many seconds."""
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
        """Put data into the queue, behind the notice of what is missing before it; return whether there is room."""
        lines, size = self._most
        if len(self._waiting) + bool(self._missing) >= lines or self._bytes + len(data) > size:
            self._missing += 1
            return False
        self._tell_what_is_missing()
        self._add(data)
        return True

    def _add(self, data: bytes) -> None:
        self._waiting.append(data)
        self._bytes += len(data)

    def _tell_what_is_missing(self) -> None:
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
                self._tell_what_is_missing()
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
        """Write in the thread that asks: a forked child has no other one, and a lock that nobody may ever give back."""
        self._waiting = deque()
        self._bytes = self._missing = 0
        self._writing = self._own = False
        self._changed = threading.Condition()


class Stream(io.RawIOBase):
    """Lines as a file: for ``print``, for tracebacks, for loggers of others."""

    def __init__(self, lines: Lines, descriptor: int) -> None:
        self._lines = lines
        self._descriptor = descriptor

    def writable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return where the lines go."""
        return self._descriptor

    def isatty(self) -> bool:
        """Tell whether a person reads them."""
        return os.isatty(self._descriptor)

    def write(self, data: "ReadableBuffer", /) -> int:
        """Put a text; all of it is taken, or counted as dropped."""
        view = memoryview(data)
        self._lines.put(view.tobytes().decode("utf-8", "backslashreplace"))
        return view.nbytes


class _Weakly:
    """A method that is called as long as its object is there: what is registered at fork stays for good."""

    def __init__(self, method: Callable[[], None]) -> None:
        self._method = weakref.WeakMethod(method)

    def __call__(self) -> None:
        method = self._method()
        if method is not None:
            method()


def text_of(lines: Lines, descriptor: int) -> io.TextIOWrapper:
    """Return a text file whose every write is put into lines."""
    return io.TextIOWrapper(Stream(lines, descriptor), "utf-8", "backslashreplace", write_through=True)  # type: ignore[arg-type]


def _write(descriptor: int, data: bytes) -> None:
    """Write all of it, as long as that takes; what cannot be written is lost."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:  # whoever shares the descriptor has made it so
            poll = select.poll()
            poll.register(descriptor, select.POLLOUT)
            poll.poll()
        except OSError:
            return
