"""Daemon threads, which neither the event loop nor the end of the process waits for. All are started here.

`in_thread` is for work that blocks, `Aside` for work that computes, `start_daemon` for a thread that works on its own.
Not an executor's threads: concurrent.futures joins those when the process ends, and waits for one that is stuck.
"""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Generic, TypeVar

T = TypeVar("T")


LIGHT = 4096
"""Work of at most this weight takes about a millisecond, and is done on the loop: a thread would cost more."""


class Stopped(Exception):
    """Raised by work that has seen that it should stop."""


def start_daemon(run: Callable[[], object], *, name: str) -> threading.Thread:
    """Start a daemon thread; return it.

    Raises:
        RuntimeError: if the machine has no thread left to give.
    """
    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread


def start_beside(work: Callable[[], T], deliver: Callable[[T], None], *, name: str) -> None:
    """Start ``work`` in a daemon thread and a copy of this context; ``deliver`` gets its result in this event loop.

    The result is lost if the loop has closed by then: the server stopped without this thread.

    Raises:
        RuntimeError: as `start_daemon`.
    """
    loop = asyncio.get_running_loop()

    def call() -> None:
        result = work()
        with suppress(RuntimeError):  # the loop has closed
            loop.call_soon_threadsafe(deliver, result)

    start_daemon(partial(contextvars.copy_context().run, call), name=name)


async def in_thread(work: Callable[[threading.Event], T], *, name: str, abandon: bool = False) -> T:
    """Return what ``work`` returns, or raise what it raises.

    A caller that is cancelled sets the event, at which ``work`` should look now and then, and waits for it to end: so
    the next caller finds what it was doing undone.

    Args:
        work: What to do, given the event.
        name: The thread's.
        abandon: A caller that is cancelled leaves without waiting: for work that cannot look at the event, and where
            nothing depends on its end.
    """
    stop = threading.Event()
    future: asyncio.Future[_End[T]] = asyncio.get_running_loop().create_future()

    def deliver(end: _End[T]) -> None:
        if not future.done():
            future.set_result(end)

    start_beside(lambda: _End(partial(work, stop)), deliver, name=name)
    try:
        end = await asyncio.shield(future)
    except asyncio.CancelledError:
        stop.set()
        if not abandon:
            await asyncio.wait([future])
        raise
    return end()


class Aside:
    """Computes beside the event loop where a caller's request decides how long it takes.

    On the loop it would hold up every other call, and due tasks. One work is computed at a time: the interpreter
    computes no faster with more threads, and each of them would take its turns from the loop.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def compute(self, work: Callable[[], T], *, weight: int | None = None) -> T:
        """Return what ``work`` returns, or raise what it raises.

        Args:
            work: Pure computing: it neither waits nor touches values that the loop may change meanwhile.
            weight: The approximate size of its input in bytes; up to `LIGHT` it is done at once. None: large.
        """
        if weight is not None and weight <= LIGHT:
            return work()
        async with self._turn:
            return await in_thread(lambda _: work(), name="aside")


def weight_of(*values: object) -> int:
    """Return the approximate size of JSON values as text, in bytes; counting stops beyond `LIGHT`."""
    weight, heap = 0, list(values)
    while heap and weight <= LIGHT:
        value = heap.pop()
        weight += 4
        if isinstance(value, str):
            weight += len(value)
        elif isinstance(value, dict):
            weight += 7 * len(value)
            heap += islice(value, LIGHT)
            heap += islice(value.values(), LIGHT)
        elif isinstance(value, list | tuple):
            weight += len(value)
            heap += islice(value, LIGHT)
    return weight


class _End(Generic[T]):
    """The result or the error of work. Kept as a value: a future logs an exception that is never retrieved."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._error: BaseException | None = None
        try:
            self._value = work()
        except BaseException as error:  # noqa: BLE001 (SystemExit in a thread would vanish without a trace)
            self._error = error

    def __call__(self) -> T:
        if self._error is not None:
            raise self._error
        return self._value
