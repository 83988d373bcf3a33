"""Reads on a few connections: those that arrive while one is busy share its next turn.

A turn on a connection's thread costs two changes of thread, several times what most reads cost. So where reads come in
numbers, a turn waits for those on their way; and another connection takes part only while a turn takes long. Callers
that wait for the same operation with the same arguments are answered by one read: a turn shows them one state of
the database.
"""

import asyncio
import sqlite3
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

from schedule_grpc.database.operation import Factory
from schedule_grpc.database.sqlite.batch import Done, Refused, run_reads
from schedule_grpc.runtime.clock import nobody_comes

T = TypeVar("T")

TOGETHER = 32
"""Reads in one turn at most: the first of them is answered with the last."""
LONG = 0.01
"""Seconds of a turn after which another connection reads what waits for its end."""


class Connection(Protocol):
    """A connection, and the thread on which it runs functions."""

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Return what a function of the connection returns."""

    def look_at(self, error: Exception) -> None:
        """Notice an error of this connection."""


Connect = Callable[[], Awaitable[Connection]]
"""Gives a connection, or another one in its place."""


class SharedReads:
    """The reads of a file."""

    def __init__(self, connections: Sequence[Connect]) -> None:
        self._connections = len(connections)
        self._idle = deque(connections)
        self._waiting: deque[tuple[Factory[Any], asyncio.Future[Any]]] = deque()
        self._reading: set[asyncio.Task[None]] = set()
        self._help: asyncio.TimerHandle | None = None
        self._in_numbers = False
        """Whether several shared the last turn."""
        self._turns = 0
        """How many have ended."""

    async def read(self, factory: Factory[T]) -> T:
        """Run an operation that only reads, on one consistent state of the database.

        Raises:
            sqlite3.Error: if the file cannot be read.
        """
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((factory, answer))
        if len(self._idle) == self._connections:
            self._begin()
        else:
            self._begin_where_a_turn_takes_long()
        return await answer

    async def finish(self) -> None:
        """Return when all is read that waits."""
        while self._reading:
            await asyncio.wait(self._reading)
        if self._help is not None:
            self._help.cancel()

    def _begin_where_a_turn_takes_long(self) -> None:
        if self._waiting and self._idle and self._help is None:
            self._help = asyncio.get_running_loop().call_later(LONG, self._begin)

    def _begin(self) -> None:
        self._help = None
        if self._waiting and self._idle:
            reading = asyncio.create_task(self._read_waiting(self._idle.popleft()), name="sqlite reader")
            self._reading.add(reading)
            reading.add_done_callback(self._reading.discard)

    async def _read_waiting(self, connect: Connect) -> None:
        while self._waiting:
            if self._in_numbers:
                await nobody_comes(self._waiting, enough=TOGETHER)
            ended = self._turns
            await self._take_turn(connect)
            self._turns += 1
            if self._turns - ended > 1 and len(self._idle) < self._connections - 1:
                break  # another connection, which goes on, has ended a turn meanwhile: it reads what waits
        self._idle.append(connect)
        self._begin_where_a_turn_takes_long()

    async def _take_turn(self, connect: Connect) -> None:
        together = [self._waiting.popleft() for _ in range(min(len(self._waiting), TOGETHER))]
        self._in_numbers = len(together) > 1
        answers: dict[Hashable, list[asyncio.Future[Any]]] = {}
        factories: dict[Hashable, Factory[Any]] = {}
        for factory, answer in together:
            if not answer.cancelled():
                question = _question(factory)
                factories.setdefault(question, factory)
                answers.setdefault(question, []).append(answer)
        results = await _results(connect, list(factories.values()))
        for alike, result in zip(answers.values(), results, strict=True):
            for answer in alike:
                _give(answer, result)


def _question(factory: Factory[Any]) -> Hashable:
    """Return a value that is equal for equal reads: the operation and its arguments."""
    asked: Hashable = (factory.func, factory.args) if isinstance(factory, partial) and not factory.keywords else factory
    try:
        hash(asked)
    except TypeError:  # a list among the arguments
        return id(factory)
    return asked


def _give(answer: "asyncio.Future[Any]", result: Done | Refused) -> None:
    if answer.cancelled():
        return
    if isinstance(result, Done):
        answer.set_result(result.value)
    else:
        answer.set_exception(result.error)


async def _results(connect: Connect, factories: Sequence[Factory[Any]]) -> Sequence[Done | Refused]:
    try:
        connection = await connect()
        try:
            results = await connection.run(run_reads, factories)
        except sqlite3.Error as error:
            connection.look_at(error)
            raise
    except Exception as error:  # noqa: BLE001 (each waiting caller must get its error, whatever it is)
        return [Refused(error) for _ in factories]
    for result in results:
        if isinstance(result, Refused):
            connection.look_at(result.error)
    return results
