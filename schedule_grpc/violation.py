"""Violations: which field of a request cannot be accepted, and why."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Violation:
    """One field of a request that cannot be accepted (google.rpc.BadRequest.FieldViolation)."""

    field: str
    reason: str

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}"


MOST_VIOLATIONS = 20
"""Violations that one error names; the others are counted. A caller can send a hundred thousand wrong fields."""


def listed(violations: Iterable[str], more: int) -> str:
    """Return violations as one text, with the number of those that were left out."""
    return "; ".join(violations) + (f"; and {more} more" if more else "")
