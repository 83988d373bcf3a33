"""Durations as people write and read them: ``500ms``, ``30s``, ``5m``, ``2h``, ``7d``, and ``90`` for seconds."""

import re
from datetime import timedelta
from fractions import Fraction

from schedule_grpc.runtime.clock import MICROSECOND

MILLISECOND = timedelta(milliseconds=1)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

_UNITS = {"d": DAY, "h": HOUR, "m": MINUTE, "s": SECOND, "ms": MILLISECOND}
_TEXT = re.compile(r"(?P<number>\d{1,15}(?:\.\d{1,15})?)\s*(?P<unit>ms|[smhd])?", re.ASCII)


def read(text: str) -> timedelta:
    """Return the duration of a number and its unit, of seconds where it has none; rounded to 1 µs.

    Raises:
        ValueError: for any other text, in words for its author.
    """
    match = _TEXT.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text[:40]!r} is not a duration such as 500ms, 30s, 5m, 2h or 7d")
    unit = _UNITS[match["unit"] or "s"]
    try:
        return round(Fraction(match["number"]) * (unit // MICROSECOND)) * MICROSECOND
    except OverflowError:
        raise ValueError(f"{text[:40]!r} is longer than {timedelta.max.days} days") from None


def written(duration: timedelta) -> str:
    """Return the shortest text that `read` takes for exactly this duration: 29s, 90m, 30d, 1500ms; 0s for none."""
    for unit, length in _UNITS.items():
        count, rest = divmod(duration, length)
        if count and not rest:
            return f"{count}{unit}"
    seconds, rest = divmod(duration, SECOND)
    return f"{seconds}.{rest // MICROSECOND:06}".rstrip("0").rstrip(".") + "s"


def human(duration: timedelta) -> str:
    """Return a rounded duration, for people: 500ms, 2.50s, 2.00m, 2.00h."""
    if duration < SECOND - MILLISECOND / 2:
        return f"{round(duration / MILLISECOND)}ms"
    for unit, longer in (("s", MINUTE), ("m", HOUR)):
        length = _UNITS[unit]
        if duration < longer - length / 200:  # nearer to it, two decimals would show 60.00s and not 1.00m
            return f"{duration / length:.2f}{unit}"
    return f"{duration / HOUR:.2f}h"


def brief(duration: timedelta) -> str:
    """Return a duration in one number, for lists: 3 ms, 1.2 s, 41 s, 6 min, 3 h, 12 days; 0 ms for a negative one."""
    if duration < SECOND:
        return f"{max(round(duration / MILLISECOND), 0)} ms"
    if duration < 10 * SECOND:
        return f"{duration / SECOND:.1f} s"
    for unit, length, longest in (("s", SECOND, MINUTE), ("min", MINUTE, HOUR), ("h", HOUR, 2 * DAY)):
        if duration < longest:
            return f"{duration // length} {unit}"
    return f"{duration // DAY} days"
