"""Texts of others, made safe for terminals: characters that move the cursor, colour, hide or reorder are escaped.

A payload's keys, a handler's error, a server's answer may hold escapes (``ESC[2J``, U+009B, which is the same in one
character) and directions (U+202E, which lets a line read otherwise than it is).
"""

import io
import unicodedata
from collections.abc import MutableMapping
from types import TracebackType
from typing import Any, TextIO

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode's categories of characters that show nothing by themselves, and of unassigned ones."""


def plain(text: str) -> str:
    r"""Return a text with everything visible but its line breaks, as Python writes it: ``\x1b``, ``\u202e``."""
    return text if _is_plain(text) else "".join(map(_visible, text))


def first_line(text: str) -> str:
    """Return the first line of a text, for a cell of a table; marked if there are more."""
    line, newline, _ = plain(text).partition("\n")
    return f"{line} …" if newline else line


def plain_json(text: str) -> str:
    """Return JSON text of the same value with everything visible; line breaks stand between its values only."""
    return text if _is_plain(text) else "".join(map(_json_escape, text))


def plain_line(_logger: object, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Return a log line with everything visible but its line breaks: a processor of structlog's, before its renderer.

    Values of other types are rendered by ``repr``, which escapes the same characters.
    """
    return {_visible_in(name): _visible_in(value) for name, value in line.items()}


def plain_traceback(
    out: TextIO, exc_info: tuple[type[BaseException], BaseException, TracebackType | None] | Any
) -> None:
    """Write a traceback with everything visible: structlog's plain one, whose last line is the exception's own text."""
    import structlog  # noqa: PLC0415 (the command line needs none)

    written = io.StringIO()
    structlog.dev.plain_traceback(written, exc_info)
    out.write(plain(written.getvalue()))


def _visible_in(value: Any) -> Any:
    return plain(value) if isinstance(value, str) else value


def _is_plain(text: str) -> bool:
    return text.isprintable() or text.replace("\n", "").isprintable()


def _visible(character: str) -> str:
    if character == "\n" or unicodedata.category(character) not in _HIDDEN:
        return character
    return character.encode("unicode_escape").decode("ascii")


def _json_escape(character: str) -> str:
    if character == "\n" or unicodedata.category(character) not in _HIDDEN:
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
