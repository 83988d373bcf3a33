"""How the store's operations run: each in a transaction of the database, its events published after the commit."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar, cast

from schedule_grpc.database import Database, ObservedDatabase, Operation
from schedule_grpc.events import Event, Hub
from schedule_grpc.runtime import failpoints
from schedule_grpc.store.lease_line import LeaseLine
from schedule_grpc.store.operations.audit import audited
from schedule_grpc.store.relay import PeerNotifier
from schedule_grpc.store.with_events import WithEvents

T = TypeVar("T")

ALONE = "server"
"""The chain of the audit log in a file, which one server uses at a time."""


class Transactions:
    """Runs operations in a database, and publishes their events in this server's hub and to its peers."""

    def __init__(
        self,
        database: Database,
        hub: Hub,
        *,
        replica: str = ALONE,
        peers: PeerNotifier | None = None,
        lease_line: Callable[[], LeaseLine] | None = None,
        on_error: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Take a database.

        Args:
            database: Holds the state.
            hub: Publishes the events of each operation, once it is committed.
            replica: Names the chain of the audit log that this server writes; servers of one machine may share one.
            peers: Publishes them to the other servers of a shared database; None if the database has one server.
            lease_line: Opens the connection on which this server renews its lease in a shared database.
            on_error: Is called with ``read`` or ``write`` for each operation that the database refuses.
        """
        self._database = ObservedDatabase(database, on_error)
        self._hub = hub
        self._replica = replica
        self._peers = peers
        self._lease_line = lease_line

    @property
    def is_shared(self) -> bool:
        """Whether other servers may use the same database."""
        return self._peers is not None

    async def _write(self, operation: Callable[..., Operation[WithEvents[T]]], *arguments: Any) -> T:
        failpoints.reached(operation.__name__, "begun")
        factory = partial(failpoints.within(audited, operation.__name__), operation, self._replica, *arguments)
        result, _ = await self._database.write(factory, committed=self._publish)
        failpoints.reached(operation.__name__, "committed")
        return cast("T", result)

    def _publish(self, result: tuple[Any, Sequence[Event]]) -> None:
        _, events = result
        if events:
            self._hub.publish(events)
            if self._peers is not None:
                self._peers.publish(events)
