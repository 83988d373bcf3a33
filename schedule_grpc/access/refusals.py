"""Refused calls in the log: the first one at once, further ones like it as a number once a minute.

A flood of refused calls must not become a flood of lines.
"""

from dataclasses import dataclass

import structlog

from schedule_grpc.access.credentials import Credentials, host_of
from schedule_grpc.runtime.clock import Clock

log = structlog.get_logger(__name__)

PERIOD = 60.0
"""Seconds."""
KINDS_KEPT = 1000
"""Kinds of refused calls that are told apart within a period."""
LONGEST_AGENT = 100


@dataclass(frozen=True, slots=True)
class Refusal:
    """A kind of refused calls."""

    event: str
    """The log's event: ``auth.denied``, or ``auth.would_refuse`` while nothing is refused yet."""
    code: str
    rpc: str
    peer: str
    """An address without its port."""
    agent: str


_OTHERS = Refusal("auth.denied", "", "(other)", "(other)", "")


class Refusals:
    """Logs refused calls."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counts: dict[Refusal, int] = {}
        self._until = 0.0

    def note(self, event: str, code: str, rpc: str, credentials: Credentials) -> None:
        """Count a refused call, and log it if it is the first of its kind within the period."""
        self.flush()
        refusal = Refusal(event, code, rpc, host_of(credentials.peer), credentials.agent[:LONGEST_AGENT])
        if refusal not in self._counts and len(self._counts) >= KINDS_KEPT:
            refusal = _OTHERS
        self._counts[refusal] = self._counts.get(refusal, 0) + 1
        if self._counts[refusal] == 1:
            _log(refusal, 1)

    def flush(self) -> None:
        """Log how many calls followed the first one of each kind, if the period is over."""
        now = self._clock.monotonic()
        if now < self._until:
            return
        for refusal, count in self._counts.items():
            if count > 1:
                _log(refusal, count - 1)
        self._counts = {}
        self._until = now + PERIOD


def _log(refusal: Refusal, count: int) -> None:
    log.warning(
        refusal.event,
        code=refusal.code or None,
        method=refusal.rpc,
        peer=refusal.peer,
        agent=refusal.agent or None,
        count=count,
    )
