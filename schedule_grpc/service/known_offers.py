"""Which handlers are offered beyond this process, read again at most once a second."""

from schedule_grpc.domain.offers import Offers
from schedule_grpc.runtime.clock import Clock
from schedule_grpc.store import Store

KNOWN_FOR = 1.0
"""Seconds for which what is offered is not read again: a worker that comes or goes is heeded by then."""


class KnownOffers:
    """What workers and other servers offer, for answers that say so of every task in a long list."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._read: float | None = None
        """Monotonic seconds of the last reading."""
        self._offers = Offers(by_namespace={})

    async def within(self, namespace: str) -> frozenset[str]:
        """Return the handlers that are offered to the tasks of a namespace, as it was at most a second ago.

        Raises:
            DatabaseUnavailable: if the database does not answer.
        """
        now, last = self._clock.monotonic(), self._read
        if last is None or now >= last + KNOWN_FOR:
            if last is not None:
                self._read = now  # other calls go on with what was read before, while this one reads
            try:
                self._offers = await self._store.offers(now=self._clock.now())
            except BaseException:
                self._read = last
                raise
            self._read = now
        return self._offers.within(namespace)
