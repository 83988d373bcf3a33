"""Which other servers' leases are over? Judged by what was seen of them, and by this server's own monotonic clock."""

from collections.abc import Mapping
from dataclasses import dataclass, field

LEASE = 10.0
"""Seconds for which a server that does not renew its lease keeps it."""
UNBROKEN = 6.0
"""Seconds between two sightings at most. A longer pause says that this server was suspended, or that the database took
no writes: then the others could not renew either, and get the whole time again."""


@dataclass(frozen=True, slots=True)
class _Sighting:
    beat: int
    since: float


@dataclass(slots=True)
class Presence:
    """The leases of other servers, as this one saw them renewed."""

    _seen: dict[str, _Sighting] = field(default_factory=dict)
    _latest: float | None = None

    def saw(self, beats: Mapping[str, int], *, asked: float, answered: float) -> None:
        """Take note of how often each lease was renewed, asked and answered at monotonic seconds.

        Only sightings that came with a renewal of one's own count: they show that the database took writes.
        """
        unbroken = self._latest is not None and asked - self._latest <= UNBROKEN
        self._latest = answered
        self._seen = {
            replica: former
            if unbroken and (former := self._seen.get(replica)) is not None and former.beat == beat
            else _Sighting(beat, answered)
            for replica, beat in beats.items()
        }

    def lapsed(self, now: float) -> Mapping[str, int]:
        """Return the leases that were not renewed for `LEASE` seconds: server id → its count."""
        return {replica: sighting.beat for replica, sighting in self._seen.items() if now - sighting.since >= LEASE}
