"""How many slots each namespace may take at once, of those whose settings say a share."""

import math
from collections.abc import Mapping
from types import MappingProxyType

from schedule_grpc.runtime.clock import Clock
from schedule_grpc.store.store import Store

KNOWN_FOR = 1.0
"""Seconds for which the shares are not read again: a change is heeded by then."""
DIGITS = 6
"""0.07 of 100 is 7, though 0.07 * 100 is a little more."""
NONE: Mapping[str, int] = MappingProxyType({})


class Shares:
    """The shares of namespaces, read again by `keep_up`; a namespace without a share may take all slots."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._shares: Mapping[str, float] = {}
        self._read: float | None = None
        """Monotonic seconds of the last reading."""

    def of(self, slots: int) -> Mapping[str, int]:
        """Return how many of these slots, at least 1, each namespace may take that has a share."""
        if not self._shares:
            return NONE
        return {namespace: slots_of(share, slots) for namespace, share in self._shares.items()}

    async def keep_up(self) -> None:
        """Read the shares, if the last reading is older than `KNOWN_FOR`.

        Raises:
            DatabaseUnavailable: if the database does not answer.
        """
        now = self._clock.monotonic()
        if self._read is not None and now < self._read + KNOWN_FOR:
            return
        self._shares = await self._store.running_shares()
        self._read = now


def slots_of(share: float, concurrency: int) -> int:
    """Return the number of slots in a share: rounded up, and at least one."""
    return max(math.ceil(round(share * concurrency, DIGITS)), 1)
