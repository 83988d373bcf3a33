"""Blocking calls of a library, one after another, on a thread of their own."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeAlias, TypeVar

from schedule_grpc.runtime.threads import start_daemon

T = TypeVar("T")

_Call: TypeAlias = "tuple[asyncio.Future[Any], Callable[[], Any]]"


class WorkerThread:
    """Runs what it is given in order. A daemon thread: a call that never returns does not keep the process alive."""

    def __init__(self, name: str) -> None:
        """Start the thread."""
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._waiting: set[asyncio.Future[Any]] = set()
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._thread = start_daemon(self._work, name=name)

    async def run(self, function: Callable[[], T]) -> T:
        """Return what a function returns; where the caller has gone before it begins, it is left out."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._waiting.add(future)
        future.add_done_callback(self._waiting.discard)
        self._calls.put((future, function))
        return await future

    async def aclose(self, last: Callable[[], None]) -> None:
        """Give up the calls that wait, run a last function, and wait for the thread to end."""
        for future in list(self._waiting):
            future.set_exception(ConnectionAbortedError("is closed"))
        self._calls.put((self._loop.create_future(), last))
        self._calls.put(None)
        await self._ended.wait()
        self._thread.join()  # it has nothing left to do

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            future, function = call
            if future.done():
                continue
            try:
                answer = function()
            except BaseException as error:  # noqa: BLE001 (it is raised in the caller)
                self._report(_fail, future, error)
            else:
                self._report(_answer, future, answer)
        self._report(self._ended.set)

    def _report(self, *call: Any) -> None:
        with suppress(RuntimeError):  # the loop has been closed: no caller waits any more
            self._loop.call_soon_threadsafe(*call)


def _answer(future: "asyncio.Future[Any]", answer: object) -> None:
    if not future.done():
        future.set_result(answer)


def _fail(future: "asyncio.Future[Any]", error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
