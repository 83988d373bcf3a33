"""The waits of a client that tries to reach a server again: one that restarts, is replaced, or is cut off."""

import random
from collections.abc import Iterator

from schedule_grpc.runtime.clock import Clock, SystemClock

PATIENCE = 60.0
"""Seconds; a server that stops in order, and is started again, needs less."""

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0


def pauses(patience: float, clock: Clock | None = None) -> Iterator[float]:
    """Yield the seconds to wait before each attempt to reach the server again, until ``patience`` seconds have passed.

    Waits double up to five seconds, each shortened at random: many clients of one server must not return together.
    """
    time = clock or SystemClock()
    until = time.monotonic() + patience
    pause = _FIRST_PAUSE
    while (left := until - time.monotonic()) > 0:
        yield min(pause * random.uniform(0.5, 1), left)  # noqa: S311 (no secret)
        pause = min(2 * pause, _LONGEST_PAUSE)
