"""Columns of a row read one by one: an unreadable column is named, and gets a harmless value."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar

from schedule_grpc.domain.canonical_json import decode, normalise
from schedule_grpc.errors import Violation
from schedule_grpc.runtime.clock import EPOCH, from_micros, to_micros

E = TypeVar("E", bound=StrEnum)

EARLIEST = datetime.min.replace(tzinfo=UTC)
LATEST = datetime.max.replace(tzinfo=UTC)
FIRST, LAST = to_micros(EARLIEST), to_micros(LATEST)
"""The instants that a datetime can hold, in microseconds; a column can hold more."""
MAX_COUNT = 2**53
"""One more still fits into every column."""
MAX_NUMBER = 2**31 - 1
"""The contract's int32."""
SHOWN = 40
"""How many characters of a value a trouble repeats."""


def holds_instant(stored: Any) -> bool:
    """Return whether a column holds an instant that a datetime can hold: SQLite takes any value in any column."""
    return type(stored) is int and FIRST <= stored <= LAST


class Columns:
    """Reads columns, and keeps the unreadable ones."""

    def __init__(self) -> None:
        """Begin with no trouble."""
        self.troubles: list[Violation] = []
        self.unread: dict[str, Any] = {}

    def instant(self, column: str, stored: Any) -> datetime | None:
        """Return the instant in a column that may have none; None, too, for one that cannot be read."""
        if stored is None:
            return None
        if holds_instant(stored):
            return from_micros(stored)
        self.cannot_read(column, stored, f"{_shown(stored)} is not an instant")
        return None

    def required_instant(self, column: str, stored: Any) -> datetime:
        """Return the instant in a column that must have one; the nearest there is, so that lists keep their order."""
        if holds_instant(stored):
            return from_micros(stored)
        self.cannot_read(column, stored, f"{_shown(stored)} is not an instant")
        if not isinstance(stored, int | float):
            return EPOCH
        return from_micros(int(min(max(stored, FIRST), LAST)))

    def count(self, column: str, stored: Any, most: int = MAX_COUNT) -> int:
        """Return the number in a column; 0 for one that cannot be read."""
        if type(stored) is int and 0 <= stored <= most:
            return stored
        self.cannot_read(column, stored, f"{_shown(stored)} is not a count")
        return 0

    def text(self, column: str, stored: Any) -> str:
        """Return the text in a column that must have one."""
        if isinstance(stored, str):
            return stored
        self.cannot_read(column, stored, f"{_shown(stored)} is not a text")
        return stored.decode(errors="replace").replace("\0", "\ufffd") if isinstance(stored, bytes) else ""

    def text_or_none(self, column: str, stored: Any) -> str | None:
        """Return the text in a column that may have none."""
        return None if stored is None else self.text(column, stored)

    def json(self, column: str, text: str | None) -> Any:
        """Return the JSON in a column that may have none; None, too, for a text that is not JSON."""
        try:
            found = None if text is None else decode(text)
            # Only an escape can stand for half of a character.
            return normalise(found) if text is not None and "\\u" in text else found
        except (ValueError, TypeError, RecursionError) as error:
            self.cannot_read(column, text or "", f"the stored text is not JSON: {error}")
            return None

    def json_object(self, column: str, text: str) -> dict[str, Any]:
        """Return the JSON object in a column that must have one; an empty object if it has none."""
        found = self.json(column, text)
        if isinstance(found, dict):
            return found
        if column not in self.unread:
            self.cannot_read(column, text, "the stored JSON is not an object")
        return {}

    def word(self, words: type[E], column: str, stored: str | None) -> E | None:
        """Return the enum value in a column that may have none; None, too, for a value unknown to this program."""
        if not stored:
            return None
        try:
            return words(stored)
        except ValueError:
            self.cannot_read(column, stored, f"this program knows no {stored!r}")
            return None

    def cannot_read(self, column: str, stored: Any, reason: str, path: str = "") -> None:
        """Note a column, or a part of it by its ``path``, that cannot be read."""
        self.unread[column] = stored
        self.troubles.append(Violation(field=f"{column}.{path}" if path else column, reason=reason))


def _shown(stored: Any) -> str:
    shown = "nothing" if stored is None else repr(stored)
    return shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}…"
