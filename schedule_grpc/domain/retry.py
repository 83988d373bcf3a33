"""Whether and when a failed attempt is tried again. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from schedule_grpc.errors import Violation

MAX_RETRIES = 100
MAX_BACKOFF = timedelta(hours=24)
MAX_MULTIPLIER = 100.0


class FailureKind(StrEnum):
    """How an attempt failed."""

    ERROR = "ERROR"
    """The handler raised, returned ``success: False``, or returned a value that is not JSON."""
    TIMEOUT = "TIMEOUT"
    """It took longer than the task's timeout."""
    REJECTED = "REJECTED"
    """The handler raised PermanentFailure: another try would fail in the same way."""
    LEASE_LOST = "LEASE_LOST"
    """Its server died, or lost touch with the database, while it ran."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryPolicy:
    """Exponential backoff: 1 s, 2 s, 4 s, then no more, by default."""

    max_retries: int = 3
    initial_backoff: timedelta = timedelta(seconds=1)
    multiplier: float = 2.0
    max_backoff: timedelta = timedelta(seconds=10)

    def backoff(self, attempt: int) -> timedelta:
        """Return the wait after failed attempt number ``attempt`` (1 for the first)."""
        try:
            seconds = self.initial_backoff.total_seconds() * self.multiplier ** (attempt - 1)
        except OverflowError:
            return self.max_backoff
        return min(timedelta(seconds=min(seconds, MAX_BACKOFF.total_seconds())), self.max_backoff)

    def violations(self) -> Iterator[Violation]:
        """Yield a violation for each value out of bounds, by the field's name in the contract."""
        if not 0 <= self.max_retries <= MAX_RETRIES:
            yield Violation(field="policy.retry.max_retries", reason=f"must be between 0 and {MAX_RETRIES}")
        if not 1 <= self.multiplier <= MAX_MULTIPLIER:
            yield Violation(field="policy.retry.multiplier", reason=f"must be between 1 and {MAX_MULTIPLIER:.0f}")
        for name, wait in (("initial_backoff", self.initial_backoff), ("max_backoff", self.max_backoff)):
            if not timedelta(0) <= wait <= MAX_BACKOFF:
                yield Violation(field=f"policy.retry.{name}", reason="must be between 0 s and 24 h")


def next_wait(policy: RetryPolicy, *, kind: FailureKind, attempt: int) -> timedelta | None:
    """Return how long to wait before the next attempt, or None if the failed one was the last."""
    if kind is FailureKind.REJECTED or attempt > policy.max_retries:
        return None
    return policy.backoff(attempt)
