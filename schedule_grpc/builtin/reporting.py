"""What the built-in tasks share: fields of a payload, and the shape of a result."""

from collections.abc import Mapping
from typing import Any

from schedule_grpc.handlers import PermanentFailure, TaskContext

LONGEST_SHOWN = 100
"""How much of a refused value an error quotes."""


class Report:
    """Made when a run begins; makes its result: ``success``, the task's own fields, ``duration`` (ms), ``message``."""

    def __init__(self, ctx: TaskContext) -> None:
        self._clock = ctx.clock
        self._began = ctx.clock.monotonic()

    def success(self, message: str, **fields: Any) -> dict[str, Any]:
        """Return the result of a run that did what it should."""
        return {"success": True, **fields, "duration": self._duration(), "message": message}

    def failure(self, error: str, **fields: Any) -> dict[str, Any]:
        """Return the result of a run that did not; it is tried again."""
        return {"success": False, **fields, "duration": self._duration(), "message": error, "error": error}

    def _duration(self) -> int:
        return round((self._clock.monotonic() - self._began) * 1000)


def check_fields(payload: Mapping[str, Any], *known: str) -> None:
    """Return if a payload has no other fields: a misspelt one would silently leave its default.

    Raises:
        PermanentFailure: naming the first of the others.
    """
    unknown = sorted(set(payload) - set(known))
    if unknown:
        raise PermanentFailure(f"payload.{unknown[0]}: there is no such field ({', '.join(known) or 'it takes none'})")


def whole_number(payload: Mapping[str, Any], name: str, default: int, most: int) -> int:
    """Return a field that is a whole number from 1 on.

    Raises:
        PermanentFailure: if it is none, or too large.
    """
    value = payload.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise PermanentFailure(f"payload.{name}: {shown(value)} is not a whole number from 1 to {most}")
    return value


def fraction(payload: Mapping[str, Any], name: str, default: float) -> float:
    """Return a field that is a number above 0, at most 1.

    Raises:
        PermanentFailure: if it is none.
    """
    value = payload.get(name, default)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= 1:
        raise PermanentFailure(f"payload.{name}: {shown(value)} is not a number above 0, at most 1")
    return float(value)


def shown(value: object) -> str:
    """Return a refused value as an error quotes it: a long one only in its beginning."""
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"
