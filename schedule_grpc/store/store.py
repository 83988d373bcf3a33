"""What the application and the engine ask of the database: operations, each a whole, not SQL."""

from collections.abc import Collection
from datetime import datetime
from functools import partial

from schedule_grpc.domain.census import Census
from schedule_grpc.domain.offers import Offers
from schedule_grpc.domain.task import Handler
from schedule_grpc.domain.worker import Worker
from schedule_grpc.store.audit_store import AuditStore
from schedule_grpc.store.browser_session_store import BrowserSessionStore
from schedule_grpc.store.execution_store import ExecutionStore
from schedule_grpc.store.key_store import KeyStore
from schedule_grpc.store.lease_line import LeaseLine
from schedule_grpc.store.log_store import LogStore
from schedule_grpc.store.namespace_store import NamespaceStore
from schedule_grpc.store.operations import census, replicas, workers_read
from schedule_grpc.store.replica import Replica
from schedule_grpc.store.summary_store import SummaryStore
from schedule_grpc.store.task_store import TaskStore
from schedule_grpc.store.worker_store import WorkerStore


class Store(
    TaskStore,
    ExecutionStore,
    WorkerStore,
    LogStore,
    KeyStore,
    BrowserSessionStore,
    NamespaceStore,
    AuditStore,
    SummaryStore,
):
    """The durable state of the service, in a SQLite file or a PostgreSQL database.

    Every operation is one transaction: it happened whole, and is on disk when the call returns, or it did not happen.
    A caller that is cancelled leaves no half of it behind. ``now`` is always an argument: SQL never asks the time.

    All operations raise DatabaseUnavailable where the database does not answer or refuses the write.
    """

    async def renew_lease(self, replica: Replica, *, now: datetime) -> tuple[Replica, ...]:
        """Renew a server's lease, or take it anew, with the count 0, where it has none.

        Returns:
            Every server that holds a lease, the one that has been there longest first.
        """
        return await self._write(replicas.renew_lease, replica, now)

    async def replicas(self) -> tuple[Replica, ...]:
        """Return every server that holds a lease, the one that has been there longest first; none of a file."""
        return await self._database.read(replicas.replicas) if self.is_shared else ()

    def lease_line(self) -> LeaseLine:
        """Return a dedicated connection on which one thread can renew a lease."""
        if self._lease_line is None:
            raise AssertionError("a database that nobody shares knows no leases")
        return self._lease_line()

    async def leave(self, replica_id: str) -> None:
        """End the lease of a server that stops."""
        await self._write(replicas.leave, replica_id)

    async def offers(self, *, now: datetime) -> Offers:
        """Return the handlers that workers offer and, in a database that servers share, those that servers offer."""
        return await self._database.read(partial(workers_read.offers, now, is_shared=self.is_shared))

    async def offered_elsewhere(self, namespace: str, *, now: datetime) -> frozenset[str]:
        """Return the handlers that workers and servers of this database offer to the tasks of a namespace.

        A server that alone can use its database knows its own handlers, and is not among them.
        """
        return (await self.offers(now=now)).within(namespace)

    async def offering_workers(self, *, now: datetime) -> tuple[Worker, ...]:
        """Return the workers that can be given attempts now; of their handlers the names alone."""
        return await self._database.read(partial(workers_read.offering_workers, now))

    async def handlers_of_workers(self, namespace: str, *, now: datetime) -> tuple[Handler, ...]:
        """Return the handlers that workers offer to a namespace, by name, as the newest worker describes each."""
        return await self._database.read(partial(workers_read.handlers_of_workers, namespace, now))

    async def list_workers(self, namespace: str, *, handler: str, since: datetime) -> tuple[Worker, ...]:
        """Return at most 1,000 workers of a namespace and of all, newest first, with the attempts that each has.

        Those that live, and those that ended ``since`` a moment; where there are more, those that live come first.
        ``handler``: only workers that offer it; empty: all.
        """
        return await self._database.read(partial(workers_read.list_workers, namespace, handler, since))

    async def census(self, *, now: datetime, own: frozenset[str]) -> Census:
        """Count for metrics: how long work waits, what is wrong with tasks, which workers there are.

        ``own`` are the handlers that the asking server offers.
        """
        return await self._database.read(partial(census.census, now, own, is_shared=self.is_shared))

    async def gone(
        self, *, tasks: Collection[str], namespaces: Collection[str]
    ) -> tuple[frozenset[str], frozenset[str]]:
        """Return which of these tasks, by uid, and which of these namespaces are deleted."""
        return await self._database.read(partial(census.gone, tasks, namespaces))

    async def time(self) -> datetime | None:
        """Return the time by the database's own clock; None where it has none."""
        return await self._database.time()

    @property
    def refused_writes(self) -> int:
        """How many writes the database has refused since the start."""
        return self._database.refused_writes

    async def try_write(self) -> None:
        """Return if a write can be committed, with room on the disk for more; stored data stays unchanged."""
        await self._database.try_write()

    async def ping(self) -> None:
        """Return if the database answers."""
        await self.known_handlers()

    async def close(self) -> None:
        """Finish the operations under way and close the database."""
        await self._database.close()
        if self._peers is not None:
            await self._peers.close()
