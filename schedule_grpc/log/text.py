"""The text of a log line: made in microseconds if its values are plain and short, else by structlog's processors.

Both ways make the same text (tests/unit/test_log_text.py). Most lines of the server are plain; a handler may log any
object.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from types import NoneType
from typing import Any, TypeAlias

from structlog.typing import EventDict, Processor, WrappedLogger

from schedule_grpc.log.values import FIRST, MAX_BITS, MAX_NAME
from schedule_grpc.text.unicode import unicode_of

MAX_PLAIN_FIELDS = 30
MAX_PLAIN_TEXT = 2000
"""Characters of one text. A line within both bounds is within all bounds of log/values.py: nothing is cut."""


Line: TypeAlias = tuple[str, str, Mapping[str, Any]]
"""A line of a batch: its level, its event, its fields."""


class Texts:
    """Makes the texts of lines: as a processor of structlog's loggers, and directly for batches of lines."""

    def __init__(self, begin: Sequence[Processor], render: Sequence[Processor], *, plain: bool) -> None:
        """Take the processors of a line.

        Args:
            begin: Processors that add the fields of every line: context, level, time.
            render: Processors that make the text.
            plain: Whether the text is JSON, so that `plain_json` may make it instead.
        """
        self._begin = begin
        self._render = render
        self._plain = plain

    def __call__(self, logger: WrappedLogger, method: str, line: EventDict) -> str:
        """Return the text of a line that has the fields of every line already."""
        text = plain_json(line) if self._plain else None
        return _processed(self._render, logger, method, line) if text is None else text

    def together(self, lines: Sequence[Line]) -> list[str]:
        """Return the texts of lines that are logged now, in this context."""
        common = {level: _processed(self._begin, None, level, {}) for level in {level for level, _, _ in lines}}
        return [self(None, level, _line(event, fields, common[level])) for level, event, fields in lines]


def plain_json(line: EventDict) -> str | None:
    """Return a line as JSON; None if one of its values is not plain, or is long."""
    if len(line) > MAX_PLAIN_FIELDS or "exc_info" in line:
        return None
    first: list[str] = []
    rest: list[str] = []
    for name, value in line.items():
        key, text = _key(name), _PLAIN.get(type(value), _none)(value)
        if key is None or text is None:
            return None
        (first if name in FIRST else rest).append(key + text)
    return f"{{{', '.join(first + rest)}}}"


def _processed(processors: Sequence[Processor], logger: WrappedLogger, method: str, line: EventDict) -> Any:
    processed: Any = line
    for process in processors:
        processed = process(logger, method, processed)
    return processed


def _line(event: str, fields: Mapping[str, Any], common: EventDict) -> EventDict:
    """Return a whole line; a field of the log call takes precedence over one of the context."""
    line = {**fields, "event": event}
    return line | {name: value for name, value in common.items() if name in _SET or name not in line}


@lru_cache(maxsize=1000)
def _key(name: str) -> str | None:
    plain = type(name) is str and len(name) <= MAX_NAME and name.isascii()
    return f"{encode_basestring_ascii(name)}: " if plain else None


def _text(value: str) -> str | None:
    if len(value) > MAX_PLAIN_TEXT:
        return None
    return encode_basestring_ascii(value if value.isascii() else unicode_of(value))


def _integer(value: int) -> str | None:
    return str(value) if value.bit_length() <= MAX_BITS else None


def _number(value: float) -> str | None:
    return repr(value) if math.isfinite(value) else None


def _none(_: object) -> None:
    return None


_SET = frozenset({"level", "timestamp"})
"""Fields that the logger sets, even if a call has fields of these names."""
_PLAIN: Mapping[type, Callable[[Any], str | None]] = {
    str: _text,
    int: _integer,
    float: _number,
    bool: {True: "true", False: "false"}.__getitem__,
    NoneType: {None: "null"}.__getitem__,
}
"""By exact type: a subclass may be a handler's own."""
