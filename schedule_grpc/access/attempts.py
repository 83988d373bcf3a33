"""Failed attempts to call, by peer: who fails often is answered slowly, and never locked out.

A lock would be a weapon: whoever shares an address with another caller could keep that one out.
"""

from schedule_grpc.access.credentials import host_of
from schedule_grpc.runtime.clock import Clock

MOST = 20
"""Failures of one peer within `PERIOD` that are answered at once."""
PERIOD = 60.0
"""Seconds."""
PEERS_KEPT = 10_000


class FailedAttempts:
    """Counts failures of the last minute."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counts: dict[str, int] = {}
        self._began = clock.monotonic()

    def is_too_many(self, peer: str) -> bool:
        """Count a failure, and return whether the peer has failed too often; the port of an address does not matter."""
        now = self._clock.monotonic()
        if now - self._began >= PERIOD or len(self._counts) >= PEERS_KEPT:
            self._counts, self._began = {}, now
        host = host_of(peer)
        self._counts[host] = self._counts.get(host, 0) + 1
        return self._counts[host] > MOST
