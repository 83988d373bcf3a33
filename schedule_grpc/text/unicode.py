r"""Texts that can be kept and sent everywhere: Unicode without lone surrogates and without NUL.

Python's strings hold more than that. File names, arguments and environment variables that are not UTF-8 arrive with
lone surrogates (PEP 383), JSON may spell them as ``"\ud800"``; neither UTF-8 nor protobuf can encode them.
PostgreSQL stores no NUL. Such a text of a caller is refused, by its field; one of a handler is made readable, because a
handler's report must not fail.
"""

import re
from collections.abc import Iterator

from schedule_grpc.errors import InvalidArgument, Violation

REPLACEMENT = "\ufffd"

_SURROGATE = re.compile("[\ud800-\udfff]")
_UNREADABLE = re.compile("[\x00\ud800-\udfff]")


def unicode_of(text: str) -> str:
    """Return a text with U+FFFD for every lone surrogate; a NUL stays, JSON can encode it."""
    # A subclass may be any program's own; of an Enum that is a text this is its value.
    return _SURROGATE.sub(REPLACEMENT, str.__str__(text))


def readable(text: str) -> str:
    """Return a text with U+FFFD for every lone surrogate and every NUL."""
    return _UNREADABLE.sub(REPLACEMENT, str.__str__(text))


def cut(text: str, most: int) -> str:
    """Return at most ``most`` characters of a text; an ellipsis marks the cut."""
    return text if len(text) <= most else text[: most - 1] + "…"


def fault_of(text: str) -> str | None:
    """Return why a text cannot be kept as it is; None if it can."""
    found = _UNREADABLE.search(text)
    if found is None:
        return None
    return "has a NUL character" if found.group() == "\x00" else "is not Unicode: it has a lone surrogate"


def checked(field: str, text: str, *, most: int) -> str:
    """Return a caller's text if it can be kept.

    Raises:
        InvalidArgument: as `text_violations`.
    """
    violations = tuple(text_violations(field, text, most=most))
    if violations:
        raise InvalidArgument(*violations)
    return text


def text_violations(field: str, text: str, *, most: int) -> Iterator[Violation]:
    """Yield the violations of a caller's text: unreadable, or longer than ``most`` characters."""
    reason = fault_of(text)
    if reason is not None:
        yield Violation(field=field, reason=reason)
    if len(text) > most:
        yield Violation(field=field, reason=f"longer than {most} characters")
