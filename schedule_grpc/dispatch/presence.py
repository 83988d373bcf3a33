"""Which workers' leases are over, as this server saw them renewed, by its own monotonic clock."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from schedule_grpc.domain.worker import LAPSES_AFTER
from schedule_grpc.store import Key

UNBROKEN = 6.0
"""Seconds between two readings at most. A longer pause shows that this server was suspended, or that the database was
away: the workers could not renew their leases either, and get the whole time again."""
BEYOND = timedelta(seconds=30)
"""How long beyond its timeout an attempt of a worker is waited for."""


@dataclass(frozen=True, slots=True)
class _Sighting:
    beat: int
    since: float


class Presence:
    """The leases of workers, and how long ago each was seen renewed."""

    def __init__(self) -> None:
        self._seen: dict[str, _Sighting] = {}
        self._latest: float | None = None

    def saw(self, living: Mapping[str, tuple[int, timedelta]], *, now: float) -> Mapping[str, int]:
        """Note the renewals of the sessions that live, read at monotonic seconds.

        Returns:
            The sessions whose leases are over: id → the number of renewals.
        """
        unbroken = self._latest is not None and now - self._latest <= UNBROKEN
        self._latest = now
        self._seen = {
            session: former
            if unbroken and (former := self._seen.get(session)) is not None and former.beat == beat
            else _Sighting(beat, now)
            for session, (beat, _) in living.items()
        }
        return {
            session: beat
            for session, (beat, lease) in living.items()
            if now - self._seen[session].since >= (lease + LAPSES_AFTER).total_seconds()
        }


class Overtime:
    """Attempts of workers, and how long each was seen in progress: no wall clock plays a part."""

    def __init__(self) -> None:
        self._since: dict[Key, float] = {}

    def saw(self, attempts: Mapping[Key, timedelta], *, now: float) -> list[Key]:
        """Note the attempts in progress with their timeouts; return those that are waited for no longer."""
        self._since = {key: self._since.get(key, now) for key in attempts}
        return [
            key for key, timeout in attempts.items() if now - self._since[key] >= (timeout + BEYOND).total_seconds()
        ]
