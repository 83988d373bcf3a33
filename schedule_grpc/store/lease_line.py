"""The way on which a server renews its lease, apart from everything else that it asks of the database."""

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from schedule_grpc.store.operations.replicas import renew_lease, replicas
from schedule_grpc.store.protocol import Replica

if TYPE_CHECKING:
    from schedule_grpc.database.postgres.line import Line


class PostgresLeaseLine:
    """Every method's promise stands in the LeaseLine protocol."""

    def __init__(self, line: "Line") -> None:
        self._line = line

    async def renew(self, replica: Replica, *, now: datetime, seconds: float) -> tuple[Replica, ...]:
        """See LeaseLine."""
        holders, _ = await self._line.run(partial(renew_lease, replica, now), seconds=seconds)
        return holders

    async def look(self, *, seconds: float) -> tuple[Replica, ...]:
        """See LeaseLine."""
        return await self._line.run(replicas, seconds=seconds)

    async def close(self) -> None:
        """See LeaseLine."""
        await self._line.close()
