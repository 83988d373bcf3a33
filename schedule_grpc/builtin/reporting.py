"""Payload fields and results, as all built-in tasks read and shape them."""

from collections.abc import Mapping
from typing import Any

from schedule_grpc.handlers import PermanentFailure, TaskContext

LONGEST_SHOWN = 100
"""Characters of a refused value that an error quotes."""


class Report:
    """Makes a run's result: ``success``, the task's own fields, ``duration`` (ms), ``message``.

    The duration counts from when the report is made.
    """

    def __init__(self, ctx: TaskContext) -> None:
        self._clock = ctx.clock
        self._began = ctx.clock.monotonic()

    def success(self, message: str, **fields: Any) -> dict[str, Any]:
        """Return the result of a run that succeeded."""
        return {"success": True, **fields, "duration": self._duration(), "message": message}

    def failure(self, error: str, **fields: Any) -> dict[str, Any]:
        """Return the result of a run that failed; it is retried."""
        return {"success": False, **fields, "duration": self._duration(), "message": error, "error": error}

    def _duration(self) -> int:
        return round((self._clock.monotonic() - self._began) * 1000)


def check_fields(payload: Mapping[str, Any], *known: str) -> None:
    """Refuse unknown fields of a payload: a misspelt one would silently leave its default.

    Raises:
        PermanentFailure: naming the first unknown field.
    """
    unknown = sorted(set(payload) - set(known))
    if unknown:
        raise PermanentFailure(f"payload.{unknown[0]}: there is no such field ({', '.join(known) or 'it takes none'})")


def whole_number(payload: Mapping[str, Any], name: str, default: int, most: int) -> int:
    """Return a field that must be a whole number from 1 to ``most``.

    Raises:
        PermanentFailure: if the field is something else.
    """
    value = payload.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise PermanentFailure(f"payload.{name}: {shown(value)} is not a whole number from 1 to {most}")
    return value


def fraction(payload: Mapping[str, Any], name: str, default: float) -> float:
    """Return a field that must be a number above 0, at most 1.

    Raises:
        PermanentFailure: if the field is something else.
    """
    value = payload.get(name, default)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= 1:
        raise PermanentFailure(f"payload.{name}: {shown(value)} is not a number above 0, at most 1")
    return float(value)


def shown(value: object) -> str:
    """Return a refused value as an error quotes it: of a long one only the beginning."""
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"
