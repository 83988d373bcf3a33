"""The keys of the service in memory: a call is checked without asking the database.

A change that this server makes is known at once, one of another server within a second: notifications between servers
can be lost, so each server asks every second whether the keys have a newer version.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from typing import Protocol

from schedule_grpc.access.proven import Proven
from schedule_grpc.domain.access.caller import Caller
from schedule_grpc.domain.access.keys import Key
from schedule_grpc.errors import Unavailable
from schedule_grpc.runtime.clock import Clock

KNOWN_FOR = 60.0
"""Seconds for which keys are accepted while the database does not answer: one may have been revoked meanwhile."""


class KeySource(Protocol):
    """Where keys are kept."""

    @property
    def is_shared(self) -> bool:
        """Whether other servers can change keys."""

    async def access_version(self) -> int:
        """Return a number that is another one after each change of who may do what; 0: there never was a key."""

    async def keys_in_use(self) -> tuple[int, Sequence[Key]]:
        """Return all keys that are not revoked, and an access version that is not newer than they are."""

    async def note_keys_used(self, key_ids: Sequence[str], *, now: datetime) -> None:
        """Write that keys were used; at most once a minute for each key."""


class KeyRing:
    """The keys of the service, as they were within the last second."""

    def __init__(self, source: KeySource, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._keys: dict[str, Key] = {}
        self._by_digest: dict[bytes, tuple[Key, Proven]] = {}
        self._version = 0
        self._read_at = clock.monotonic()
        self._used: set[str] = set()

    @property
    def is_empty(self) -> bool:
        """Whether there never was a key; a service whose keys were all revoked stays closed."""
        return not self._version

    def expiries(self) -> Mapping[tuple[str, str], float]:
        """Return the seconds that each valid key has left which expires, by the key's namespace and name."""
        now = self._clock.now()
        valid = (key for key in self._keys.values() if key.is_valid(now))
        return {
            (key.namespace, key.name): (key.expire_time - now).total_seconds()
            for key in valid
            if key.expire_time is not None
        }

    def proven(self, token: str) -> Proven | None:
        """Return the proof of the caller whose key this is, if it is valid now; None for every other text.

        The key is looked up by the digest of the whole text: how long that takes tells nothing of any key's digest that
        a caller could use, for it cannot choose the digest of what it sends.

        Raises:
            Unavailable: if the database has not answered for `KNOWN_FOR`: the key may be revoked by now.
        """
        return self.proven_by(sha256(token.encode("utf-8", "surrogateescape")).digest())

    def proven_by(self, digest: bytes) -> Proven | None:
        """Return the proof of the caller whose key's text has this digest, if it is valid now.

        Raises:
            Unavailable: as `proven`.
        """
        found = self._by_digest.get(digest)
        if found is None:
            return None
        key, proven = found
        if not key.matches(digest, self._clock.now()):
            return None
        if self._source.is_shared and self._clock.monotonic() - self._read_at > KNOWN_FOR:
            raise Unavailable("The database does not answer, and keys may have been revoked meanwhile")
        self._used.add(key.id)
        return proven

    def still_accepts(self, digest: bytes) -> bool:
        """Return whether the text of this digest would be accepted now: its key is valid, and it is not replaced."""
        found = self._by_digest.get(digest)
        return found is not None and found[0].matches(digest, self._clock.now())

    async def refresh(self) -> None:
        """Read the keys if one has changed.

        Raises:
            DatabaseUnavailable: if the database does not answer.
        """
        asked_at = self._clock.monotonic()
        if await self._source.access_version() != self._version:
            self._version, keys = await self._source.keys_in_use()
            self._keys = {key.id: key for key in keys}
            self._by_digest = {digest: (key, _proven(key, digest)) for key in keys for digest in _digests(key)}
        self._read_at = asked_at

    async def keep_fresh(self, *, ask: bool = False) -> None:
        """Read what others changed, if there are others or ``ask`` says so, and write which keys were used.

        Raises:
            DatabaseUnavailable: if the database does not answer.
        """
        if ask or self._source.is_shared:
            await self.refresh()
        now = self._clock.now()
        used = [key for key in map(self._keys.get, self._used) if key is not None]
        due = {key.id: replace(key, last_used_time=now) for key in used if key.is_due_to_be_noted(now)}
        self._used = set()
        if due:
            await self._source.note_keys_used(list(due), now=now)
            self._keys |= due


def _proven(key: Key, digest: bytes) -> Proven:
    return Proven(Caller(name=f"key:{key.name}", grants=key.grants, key_id=key.id), key_digest=digest)


def _digests(key: Key) -> list[bytes]:
    return [key.digest] if key.replaced is None else [key.digest, key.replaced.digest]
