"""The waits of a worker: before it makes a failed call again, and how long a Pull may wait for work."""

import random
from collections.abc import Callable

FIRST = 0.2
LONGEST = 5.0
"""Seconds; of the pause before a call is made again."""
DRAINING = (0.1, 0.3)
"""Seconds, from and to; of the pause after a stopping server's answer: the next call may reach another server."""
LONGEST_WAIT = 20.0
SHORTEST_WAIT = 2.0
"""Seconds; of a Pull."""
CUT_TWICE = 2
"""Failures in a row after which a Pull waits half as long."""
FIRST_RISE = 4
LAST_RISE = 256
"""Successes in a row after which a Pull may wait twice as long again, at first and at most."""


class BackOff:
    """The pauses before a call is made again: each drawn from zero up to a bound that doubles (full jitter).

    Thousands of workers that lost one server must not return together.
    """

    def __init__(self, draw: Callable[[float, float], float] = random.uniform) -> None:
        """Begin with the shortest pause; ``draw`` returns a number between two."""
        self._draw = draw
        self._failures = 0

    def pause(self) -> float:
        """Return the seconds to wait before the next call, after one that failed."""
        bound = min(LONGEST, FIRST * 2 ** min(self._failures, 10))
        self._failures += 1
        return self._draw(0.0, bound)

    def elsewhere(self) -> float:
        """Return the seconds to wait after the answer of a server that stops."""
        return self._draw(*DRAINING)

    def reset(self) -> None:
        """Begin again with the shortest pause: a call succeeded."""
        self._failures = 0


class PullWait:
    """How long a Pull may wait for something to answer: less where something on the way cuts longer calls off.

    A longer wait is tried again after some successes, and each time that it fails after twice as many.
    """

    def __init__(self) -> None:
        self.seconds = LONGEST_WAIT
        self._failures = 0
        self._successes = 0
        self._rise_after = FIRST_RISE
        self._is_tried = False

    def cut_off(self) -> None:
        """Note a Pull that was not answered in time, or whose connection was cut."""
        self._successes = 0
        self._failures += 1
        if self._failures < CUT_TWICE:
            return
        self._failures = 0
        self.seconds = max(SHORTEST_WAIT, self.seconds / 2)
        if self._is_tried:
            self._rise_after = min(LAST_RISE, 2 * self._rise_after)
        self._is_tried = False

    def answered(self) -> None:
        """Note a Pull that was answered."""
        self._failures = 0
        self._successes += 1
        if self.seconds < LONGEST_WAIT and self._successes >= self._rise_after:
            self._successes = 0
            self._is_tried = True
            self.seconds = min(LONGEST_WAIT, 2 * self.seconds)
