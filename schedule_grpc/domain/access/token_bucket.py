"""A token bucket: how often something may happen in a minute. Pure."""

from dataclasses import dataclass
from datetime import timedelta

MINUTE = 60.0
ROUNDING = 1e-9
"""Tokens; sums of fractions may miss a whole number by so much."""


@dataclass(slots=True)
class TokenBucket:
    """Holds the tokens of a minute at most, and gets them back at that rate; each thing that happens takes one.

    More things at once than it can hold are let through when it is full: it then owes tokens, and the next ones wait
    the longer for it.
    """

    tokens: float
    time: float
    """Monotonic seconds up to which it was filled."""

    def take(self, count: int, per_minute: float, now: float) -> timedelta | None:
        """Take tokens, if they are there.

        Args:
            count: How many.
            per_minute: How many it gets in a minute, more than 0.
            now: Monotonic seconds.

        Returns:
            None if they were taken; else the time until they may be.
        """
        holds = max(per_minute, 1.0)
        self.tokens = min(holds, self.tokens + (now - self.time) * per_minute / MINUTE)
        self.time = now
        missing = min(count, holds) - self.tokens
        if missing > ROUNDING:
            return timedelta(seconds=missing * MINUTE / per_minute)
        self.tokens -= count
        return None

    def give_back(self, count: int) -> None:
        """Put tokens back that were taken for nothing."""
        self.tokens += count
