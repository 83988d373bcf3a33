"""Logged objects as plain values of bounded size, so that no renderer can fail on them.

A log call is never worth an exception, least of all in the handler that logs. JSON knows no tuples as keys, no NaN, no
integers of ten thousand digits, and no list within itself; a foreign ``repr`` may raise, or return a gigabyte.
"""

import math
from collections.abc import Iterable, Mapping
from datetime import date
from itertools import islice
from typing import Any

from structlog.processors import format_exc_info
from structlog.typing import EventDict, WrappedLogger

from schedule_grpc.domain.access.key_text import redacted
from schedule_grpc.text.unicode import cut, unicode_of

MAX_CHARACTERS = 64 * 1024
"""Characters of all values of one line together."""
MAX_TEXT = 32 * 1024
"""Characters of one text: an error's, a traceback."""
MAX_NAME = 128
"""Characters of a field's name."""
MAX_ITEMS = 1000
"""Values of one line together, those within lists and objects included."""
MAX_DEPTH = 8
"""Lists and objects within each other."""
MAX_BITS = 256
"""Bits of an integer that is written as a number; a larger one is described."""
MAX_BYTES = 1024
"""Bytes of a bytes object that are shown."""

CUT = "…"

FIRST = frozenset({"timestamp", "level", "event", "execution", "task"})
"""Fields that come first, and are kept when others are cut."""


def presentable(logger: WrappedLogger, method: str, line: EventDict) -> EventDict:
    """Return a line as plain JSON values, its exception as text: the last structlog processor before a renderer."""
    values = _BoundedValues()
    whole = _with_traceback(logger, method, line)
    names = sorted(whole, key=lambda name: name not in FIRST)[:MAX_ITEMS]
    return {cut(unicode_of(name), MAX_NAME): values.field(whole[name]) for name in names}


def _with_traceback(logger: WrappedLogger, method: str, line: EventDict) -> EventDict:
    raised = line.get("exc_info")
    try:
        formatted = format_exc_info(logger, method, line)
        traceback = formatted.get("exception")
        return {**formatted, "exception": _both_ends(traceback)} if isinstance(traceback, str) else formatted
    except BaseException as error:  # noqa: BLE001 (an exception's class may be any program's own, or it may be none)
        kept = {name: value for name, value in line.items() if name != "exc_info"}
        return {**kept, "exception": f"{type(raised).__name__} (its traceback raised {type(error).__name__})"}


def _both_ends(traceback: str) -> str:
    """Return a traceback, without its middle if it is too long: the calls begin it, the error ends it."""
    half = MAX_TEXT // 2 - 1
    if len(traceback) <= MAX_TEXT:
        return traceback
    whole = redacted(traceback)  # the end of a key whose beginning is cut away would not be found later
    return f"{whole[:half]}{CUT}{whole[-half:]}"


class _BoundedValues:
    """Makes the values of one line plain, and counts them and their characters against the bounds."""

    def __init__(self) -> None:
        self._characters_left = MAX_CHARACTERS
        self._items_left = MAX_ITEMS

    def field(self, value: object) -> Any:
        try:
            return self._plain(value, MAX_DEPTH)
        except BaseException as error:  # noqa: BLE001 (reading a mapping of a stranger's runs its code)
            return f"{type(value).__name__} (reading it raised {type(error).__name__})"

    def _plain(self, value: object, levels_left: int) -> Any:
        self._items_left -= 1
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, int):
            bits = int.bit_length(value)
            return int(value) if bits <= MAX_BITS else f"an integer of {bits} bits"
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else float.__repr__(value)
        if isinstance(value, Mapping | list | tuple | set | frozenset):
            return self._several(value, levels_left - 1) if levels_left else CUT
        return self._text(_shown(value))

    def _several(self, value: Mapping[Any, object] | Iterable[object], levels_left: int) -> Any:
        # One more than there is room for: it becomes the mark that items are left out.
        most = max(self._items_left, 0) + 1
        if isinstance(value, Mapping):
            shown = {}
            for name, item in islice(value.items(), most):
                shown[self._text(name if isinstance(name, str) else _shown(name))] = (
                    self._plain(item, levels_left) if self._items_left > 0 else CUT
                )
            return shown
        return [self._plain(item, levels_left) if self._items_left > 0 else CUT for item in islice(value, most)]

    def _text(self, text: str) -> str:
        kept = cut(unicode_of(text), min(MAX_TEXT, self._characters_left) + 1)
        self._characters_left -= min(len(kept), self._characters_left)
        return kept


def _shown(value: object) -> str:
    try:
        if isinstance(value, date):
            return str.__str__(value.isoformat())
        if isinstance(value, bytes):
            return bytes.__repr__(value[:MAX_BYTES]) + (CUT if len(value) > MAX_BYTES else "")
        return str.__str__(repr(value))
    except BaseException as error:  # noqa: BLE001 (a handler's object may not even be printable)
        return f"{type(value).__name__} (its repr raised {type(error).__name__})"
