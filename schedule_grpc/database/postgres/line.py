"""A PostgreSQL connection of its own for short operations that must not wait behind others."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

import asyncpg

from schedule_grpc.database.operation import Factory
from schedule_grpc.database.postgres.database import Connection, connect_alone
from schedule_grpc.database.postgres.errors import FROM_OUTSIDE, unavailable
from schedule_grpc.database.postgres.transaction import drive, run
from schedule_grpc.runtime.clock import SystemClock

T = TypeVar("T")

STATEMENTS = 10
"""Prepared statements kept: one round trip each, where an unprepared one takes two."""


class Line:
    """Runs operations one after the other, each statement committed by itself; connects when needed.

    A connection that did not answer in time is closed without asking the server, and the next operation has another.
    """

    def __init__(self, url: str, *, pooled: Callable[[], bool]) -> None:
        """Take a database's URL; ``pooled`` returns whether it is behind a pooler in transaction mode."""
        self._url = url
        self._pooled = pooled
        self._clock = SystemClock()  # for the network's patience, which is real time whatever a test's clock shows
        self._connection: Connection | None = None

    async def run(self, factory: Factory[T], *, seconds: float) -> T:
        """Run an operation; return its result.

        Raises:
            DatabaseUnavailable: if there is no answer within ``seconds``, connecting included. The operation may still
                be committed.
        """
        try:
            async with self._clock.timeout(seconds):
                if self._connection is None:
                    self._connection = await connect_alone(self._url, statements=0 if self._pooled() else STATEMENTS)
                running = partial(run, self._connection)
                if not self._pooled():
                    return await drive(running, factory)
                # A pooler may give every statement outside of a transaction another connection.
                async with self._connection.transaction():
                    return await drive(running, factory)
        except FROM_OUTSIDE as error:
            await self.close()
            raise unavailable(error) from error

    async def close(self) -> None:
        """Close the connection, without waiting for the server."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(asyncpg.InterfaceError):
                connection.terminate()
