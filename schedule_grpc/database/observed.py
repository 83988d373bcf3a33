"""A database that counts the operations that it refused."""

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from schedule_grpc.database.operation import Database, Factory, Lane
from schedule_grpc.errors import DatabaseUnavailable

T = TypeVar("T")


class ObservedDatabase:
    """Passes operations to a database; calls ``on_error`` with ``read`` or ``write`` for each that it refuses."""

    def __init__(self, database: Database, on_error: Callable[[str], None]) -> None:
        self._database = database
        self._on_error = on_error
        self.refused_writes = 0

    async def write(self, factory: Factory[T], *, committed: Callable[[T], None] | None = None) -> T:
        """See Database."""
        try:
            return await self._database.write(factory, committed=committed)
        except DatabaseUnavailable:
            self.refused_writes += 1
            self._on_error("write")
            raise

    async def read(self, factory: Factory[T], *, lane: Lane = Lane.CALLERS) -> T:
        """See Database."""
        try:
            return await self._database.read(factory, lane=lane)
        except DatabaseUnavailable:
            self._on_error("read")
            raise

    async def try_write(self) -> None:
        """See Database."""
        try:
            await self._database.try_write()
        except DatabaseUnavailable:
            self._on_error("write")
            raise

    async def time(self) -> datetime | None:
        """See Database."""
        return await self._database.time()

    async def close(self) -> None:
        """See Database."""
        await self._database.close()
