"""The store's operations on namespaces."""

from collections.abc import Mapping
from functools import partial

from schedule_grpc.database import Lane
from schedule_grpc.domain.access.audit import Author
from schedule_grpc.domain.access.namespace import Namespace
from schedule_grpc.store.operations import namespaces
from schedule_grpc.store.transactions import Transactions


class NamespaceStore(Transactions):
    """Operations on the settings of namespaces."""

    async def find_namespace(self, name: str) -> Namespace | None:
        """Return the settings of a namespace; None if there is none of that name."""
        return await self._database.read(partial(namespaces.find_namespace, name))

    async def list_namespaces(self, *, after: str, limit: int) -> tuple[Namespace, ...]:
        """Return at most ``limit`` namespaces whose names follow ``after``, in the order of their names."""
        return await self._database.read(partial(namespaces.list_namespaces, after, limit))

    async def running_shares(self) -> Mapping[str, float]:
        """Return the part of a server's slots that each namespace may take at once, of those that have such a limit."""
        return await self._database.read(namespaces.running_shares, lane=Lane.ENGINE)

    async def create_namespace(self, new: Namespace, *, author: Author | None = None) -> bool:
        """Create a namespace; return False, and write nothing, if there is one of that name."""
        return await self._write(namespaces.create_namespace, new, author)

    async def update_namespace(self, before: Namespace, after: Namespace, *, author: Author | None = None) -> bool:
        """Write new settings of a namespace.

        Safe because it is a compare-and-set: returns False, and writes nothing, if its version is no longer that of
        ``before``.
        """
        return await self._write(namespaces.update_namespace, before, after, author)

    async def delete_namespace(self, before: Namespace, *, author: Author | None = None) -> bool:
        """Delete a namespace that has neither tasks nor the history of deleted ones.

        Safe beside a registration: the first of the two stands. Returns False, and writes nothing, if its version is no
        longer that of ``before``.

        Raises:
            NamespaceInUse: if something is left in it.
        """
        return await self._write(namespaces.delete_namespace, before, author)
