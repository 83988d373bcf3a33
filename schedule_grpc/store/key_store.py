"""The store's operations on keys."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from schedule_grpc.database import Lane
from schedule_grpc.domain.access.audit import Author
from schedule_grpc.domain.access.keys import Key, KeyFilter, KeyPlace
from schedule_grpc.store.operations import keys
from schedule_grpc.store.transactions import Transactions


class KeyStore(Transactions):
    """Operations on keys. A key that this program cannot read in full is in no answer, and lets nobody in."""

    async def create_key(self, key: Key, *, author: Author | None = None, now: datetime) -> Key:
        """Write a new key, and return it as it is stored; remove keys that ended long ago.

        Safe because the name is unique among the keys of a namespace that are not revoked. An old server that has read
        no key yet, and so would answer everybody, is found by its lease, in the same transaction.

        Raises:
            KeyExists: if there is a key of that name.
            FailedPrecondition: while a server that knows no keys holds a lease.
        """
        return await self._write(keys.create_key, key, author, now)

    async def change_key(self, before: Key, after: Key, *, author: Author | None = None) -> bool:
        """Write a key that is rotated or revoked; return False, and write nothing, if it is no longer as ``before``."""
        return await self._write(keys.change_key, before, after, author)

    async def note_keys_used(self, key_ids: Sequence[str], *, now: datetime) -> None:
        """Write that keys were used; at most once a minute for each key, whichever server asks."""
        await self._write(keys.note_keys_used, key_ids, now)

    async def access_version(self) -> int:
        """Return a number that is another one after each change of who may do what; a read of one row."""
        return await self._database.read(keys.access_version, lane=Lane.ENGINE)

    async def keys_in_use(self) -> tuple[int, tuple[Key, ...]]:
        """Return all keys that are not revoked, and an access version that is not newer than they are."""
        return await self._database.read(keys.keys_in_use, lane=Lane.ENGINE)

    async def find_key(self, key_id: str) -> Key | None:
        """Return the key of an id, revoked or not."""
        return await self._database.read(partial(keys.find_key, key_id))

    async def keys_named(self, name: str) -> tuple[Key, ...]:
        """Return the keys of a name that are not revoked, at most one for each namespace."""
        return await self._database.read(partial(keys.keys_named, name))

    async def list_keys(
        self, chosen: KeyFilter, *, after: KeyPlace, limit: int
    ) -> tuple[tuple[Key, ...], KeyPlace | None]:
        """Return at most ``limit`` keys that follow a place, in order, and the place to go on from; None at the end."""
        return await self._database.read(partial(keys.list_keys, chosen, after, limit))
