"""How many slots of this server each namespace may take at once, of those whose settings say a share."""

import math
from collections.abc import Mapping
from types import MappingProxyType

from schedule_grpc.runtime.clock import Clock
from schedule_grpc.store import Store

KNOWN_FOR = 1.0
"""Seconds for which the shares are not read again: a change is heeded by then."""
DIGITS = 6
"""0.07 of 100 is 7, though 0.07 * 100 is a little more."""
NONE: Mapping[str, int] = MappingProxyType({})


class Shares:
    """The slots of namespaces, read again by `keep_up`; a namespace without a share may take all."""

    def __init__(self, store: Store, clock: Clock, concurrency: int) -> None:
        self._store = store
        self._clock = clock
        self._concurrency = concurrency
        self._read: float | None = None
        """Monotonic seconds of the last reading."""
        self.slots = NONE
        """The number of slots, at least 1, by namespace."""

    async def keep_up(self) -> None:
        """Read the shares, if the last reading is older than `KNOWN_FOR`.

        Raises:
            DatabaseUnavailable: if the database does not answer.
        """
        now = self._clock.monotonic()
        if self._read is not None and now < self._read + KNOWN_FOR:
            return
        shares = await self._store.running_shares()
        self.slots = {namespace: slots_of(share, self._concurrency) for namespace, share in shares.items()}
        self._read = now


def slots_of(share: float, concurrency: int) -> int:
    """Return the number of slots in a share: rounded up, and at least one."""
    return max(math.ceil(round(share * concurrency, DIGITS)), 1)
