"""Keeps from a forked child the signals, sockets, locks and event loop of its server.

A handler may fork: `multiprocessing`, `os.fork`, a subprocess with ``preexec_fn``. The child is a copy of the server.
Kept as it is, its SIGTERM would be read by the server's event loop, and its descriptors would hold the server's address
and the lock on its database for as long as the child lives, longer than the server itself.

Descriptors are not closed in the child but pointed to the null device: their numbers stay taken, so that a copied
object which closes its own later closes nothing else.
"""

import asyncio
import os
import selectors
import signal
import socket
import stat
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

Descriptors: TypeAlias = Callable[[], Iterable[int]]
"""Returns the present descriptors of an event loop that a child must not have."""

LEFT = 70
"""Exit code of a child that came back into the server's event loop: sysexits' EX_SOFTWARE."""
OPEN = Path("/dev/fd")
ABOUT = Path("/proc/self/fdinfo")


@dataclass(slots=True)
class _Server:
    """The resources that belong to the server of this process alone."""

    signals: Mapping[signal.Signals, Any] = field(default_factory=dict)
    """The signals that the server handles, with their handlers from before."""
    descriptors: set[int] = field(default_factory=set)
    ports: set[int] = field(default_factory=set)
    """Ports whose sockets are all the server's, in whichever library they were made."""
    loops: dict[int, tuple[asyncio.AbstractEventLoop, Descriptors]] = field(default_factory=dict)
    """Event loops with their descriptors, by the thread that they run in."""

    def clear(self) -> None:
        """Own nothing: this process is a child."""
        self.signals = {}
        self.descriptors.clear()
        self.ports.clear()
        self.loops.clear()


_server = _Server()
_forking = threading.local()


def keep(descriptor: int) -> None:
    """Keep a descriptor from forked children, until `forget`."""
    _server.descriptors.add(descriptor)


def forget(descriptor: int) -> None:
    """Undo `keep`: the descriptor is about to be closed."""
    _server.descriptors.discard(descriptor)


def keep_port(port: int) -> None:
    """Keep every socket of a port from forked children, until `forget_port`: those that listen and those accepted."""
    _server.ports.add(port)


def forget_port(port: int) -> None:
    """Undo `keep_port`."""
    _server.ports.discard(port)


@contextmanager
def keeping_loop(loop: asyncio.AbstractEventLoop, own: Descriptors) -> Iterator[None]:
    """Within this context forked children get neither this thread's event loop nor the descriptors that are its own.

    A child that was forked in the loop's own thread and does not end by itself would go on with it, as a second server
    with the same work: it is ended instead, once it comes back into the loop. Where the loop is uvloop, in which
    nothing forks but by mistake, it is ended at once: libuv in two processes breaks the one in the parent.
    """
    thread = threading.get_ident()
    _server.loops[thread] = (loop, own)
    try:
        yield
    finally:
        del _server.loops[thread]


def sockets_of(selector: selectors.BaseSelector) -> list[int]:
    """Return the sockets that a selector waits for."""
    return [key.fd for key in (selector.get_map() or {}).values() if _is_socket(key.fd)]


def descriptors_of(epoll: int) -> list[int]:
    """Return the descriptors of an epoll object and of all that it waits for; of this process, or of its parent."""
    try:
        lines = (ABOUT / str(epoll)).read_text().splitlines()
    except OSError:
        return [epoll]
    return [epoll, *(int(line.split()[1]) for line in lines if line.startswith("tfd:"))]


@contextmanager
def keeping_signals(before: Mapping[signal.Signals, Any]) -> Iterator[None]:
    """Within this context forked children handle these signals as they were handled before."""
    _server.signals = before
    try:
        yield
    finally:
        _server.signals = {}


def _before() -> None:
    # Until the child has its own handlers, a signal to it would be read by the server.
    _forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _server.signals) if _server.signals else None


def _after_in_parent() -> None:
    if _forking.mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, _forking.mask)


def _after_in_child() -> None:
    if _server.signals:
        signal.set_wakeup_fd(-1)
    for number, handler in _server.signals.items():
        signal.signal(number, handler)
    _let_go()
    if threading.get_ident() in _server.loops:
        _end_in(_server.loops[threading.get_ident()][0])
    _server.clear()
    if _forking.mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, _forking.mask)


def _end_in(loop: asyncio.AbstractEventLoop) -> None:
    """End this child when it comes back into a loop, before what is ready there: that is the parent's work."""
    ready = getattr(loop, "_ready", None)  # asyncio offers no other way
    if not isinstance(ready, deque):
        os._exit(LEFT)
    with suppress(RuntimeError):  # it is closed
        loop.call_soon(os._exit, LEFT)
        ready.rotate(1)


def _let_go() -> None:
    held = set(_server.descriptors)
    for _, own in _server.loops.values():
        held |= set(own())
    if _server.ports:
        held |= {descriptor for descriptor in _open_descriptors() if _port(descriptor) in _server.ports}
    if not held:
        return
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for descriptor in held:
        os.dup2(null, descriptor, inheritable=False)
    os.close(null)


def _open_descriptors() -> Iterator[int]:
    try:
        names = os.listdir(OPEN)  # noqa: PTH208 (names, not paths)
    except OSError:
        return
    yield from filter(_is_socket, map(int, names))


def _is_socket(descriptor: int) -> bool:
    try:
        return stat.S_ISSOCK(os.fstat(descriptor).st_mode)
    except OSError:
        return False


def _port(descriptor: int) -> int | None:
    """Return the local port of a socket; None where it has none."""
    try:
        borrowed = socket.socket(fileno=descriptor)
    except OSError:
        return None
    try:
        name = borrowed.getsockname()
        return name[1] if borrowed.family in (socket.AF_INET, socket.AF_INET6) else None
    finally:
        borrowed.detach()


os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
