"""Blocking work in a daemon thread of its own, which neither the loop nor the end of the process waits for."""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class Stopped(Exception):
    """Raised by work that has seen that it should stop."""


async def in_thread(work: Callable[[threading.Event], T], *, name: str, abandon: bool = False) -> T:
    """Return what ``work`` returns, or raise what it raises.

    A caller that is cancelled sets the event, at which ``work`` should look now and then, and waits for it to end: so
    whoever comes next finds what it was doing undone. Not an executor's thread: those are joined when the process ends.

    Args:
        work: What to do, given the event.
        name: The thread's.
        abandon: A caller that is cancelled leaves without waiting: for work that cannot look at the event, and where
            nothing depends on its end.
    """
    stop = threading.Event()
    future: asyncio.Future[_End[T]] = asyncio.get_running_loop().create_future()
    _start(lambda: work(stop), future, name)
    try:
        end = await asyncio.shield(future)
    except asyncio.CancelledError:
        stop.set()
        if not abandon:
            await asyncio.wait([future])
        raise
    return end()


class _End(Generic[T]):
    """What became of it. Kept as a value: a future complains of an exception that nobody asked it for."""

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


def _start(work: Callable[[], T], future: "asyncio.Future[_End[T]]", name: str) -> None:
    loop = asyncio.get_running_loop()

    def deliver(end: _End[T]) -> None:
        if not future.done():
            future.set_result(end)

    def call() -> None:
        end = _End(work)
        with suppress(RuntimeError):  # the loop has closed: the server stopped without this thread
            loop.call_soon_threadsafe(deliver, end)

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(call,), name=name, daemon=True).start()
