"""Reads of one connection: those that arrive while it is busy share its next turn.

A turn on a connection's thread costs two changes of thread, several times what most reads cost.
"""

import asyncio
import sqlite3
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

from schedule_grpc.database.operation import Factory
from schedule_grpc.database.sqlite_batch import Done, Refused, run_reads

T = TypeVar("T")

TOGETHER = 32
"""Reads in one turn at most: the first of them is answered with the last."""


class Connection(Protocol):
    """A connection, and the thread on which it runs functions."""

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Return what a function of the connection returns."""

    def look_at(self, error: Exception) -> None:
        """Notice an error of this connection."""


class SharedReads:
    """The reads of one connection."""

    def __init__(self, connection: Callable[[], Awaitable[Connection]]) -> None:
        """``connection`` gives it, or another one in its place."""
        self._connection = connection
        self._waiting: deque[tuple[Factory[Any], asyncio.Future[Any]]] = deque()
        self._reading: asyncio.Task[None] | None = None
        self.unanswered = 0

    async def read(self, factory: Factory[T]) -> T:
        """Run an operation that only reads, on one consistent state of the database.

        Raises:
            sqlite3.Error: if the file cannot be read.
        """
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((factory, answer))
        self.unanswered += 1
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read_waiting(), name="sqlite reader")
        try:
            return await answer
        finally:
            self.unanswered -= 1

    async def finish(self) -> None:
        """Return when all is read that waits."""
        if self._reading is not None:
            await self._reading

    async def _read_waiting(self) -> None:
        while self._waiting:
            together = [self._waiting.popleft() for _ in range(min(len(self._waiting), TOGETHER))]
            wanted = [(factory, answer) for factory, answer in together if not answer.cancelled()]
            results = await self._results([factory for factory, _ in wanted])
            for (_, answer), result in zip(wanted, results, strict=True):
                if answer.cancelled():
                    continue
                if isinstance(result, Done):
                    answer.set_result(result.value)
                else:
                    answer.set_exception(result.error)

    async def _results(self, factories: Sequence[Factory[Any]]) -> Sequence[Done | Refused]:
        try:
            connection = await self._connection()
            try:
                results = await connection.run(run_reads, factories)
            except sqlite3.Error as error:
                connection.look_at(error)
                raise
        except Exception as error:  # noqa: BLE001 (who waits for a read must hear of it, whatever went wrong)
            return [Refused(error) for _ in factories]
        for result in results:
            if isinstance(result, Refused):
                connection.look_at(result.error)
        return results
