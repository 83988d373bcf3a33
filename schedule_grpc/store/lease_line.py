"""The way on which a server renews its lease, apart from everything else that it asks of the database."""

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from schedule_grpc.store.operations.replicas import renew_lease, replicas
from schedule_grpc.store.replica import Replica

if TYPE_CHECKING:
    from schedule_grpc.database.postgres.line import Line


class LeaseLine:
    """A way to the database that neither the event loop nor other reads and writes can hold up.

    It is used by one thread. Each call ends within ``seconds``, and raises DatabaseUnavailable where it has no answer.
    """

    def __init__(self, line: "Line") -> None:
        self._line = line

    async def renew(self, replica: Replica, *, now: datetime, seconds: float) -> tuple[Replica, ...]:
        """Renew a server's lease; return every server that holds one. See `Store.renew_lease`."""
        holders, _ = await self._line.run(partial(renew_lease, replica, now), seconds=seconds)
        return holders

    async def look(self, *, seconds: float) -> tuple[Replica, ...]:
        """Return every server that holds a lease: reads are answered while a disk that stands still takes no writes."""
        return await self._line.run(replicas, seconds=seconds)

    async def close(self) -> None:
        """Let go of the connection."""
        await self._line.close()
