"""Namespaces: a task is identified by its namespace and its name; nothing of one namespace is seen in another one."""

import re
from collections.abc import Iterator

from schedule_grpc.errors import InvalidArgument, Violation

DEFAULT_NAMESPACE = "default"
"""The namespace that always exists: of callers that name none, and of everything older than namespaces."""

NAMESPACE = re.compile(r"[a-z][a-z0-9-]{0,62}")
SHOWN = 70
"""How many characters of a refused name an error repeats."""


def checked_namespace(field: str, text: str) -> str:
    """Return a caller's name of a namespace if it is one.

    Raises:
        InvalidArgument: as `namespace_violations`.
    """
    violations = tuple(namespace_violations(field, text))
    if violations:
        raise InvalidArgument(*violations)
    return text


def namespace_violations(field: str, text: str) -> Iterator[Violation]:
    """Yield the violation of a text that is no namespace's name."""
    if not text:
        yield Violation(field=field, reason="is required")
    elif NAMESPACE.fullmatch(text) is None:
        shown = text if len(text) <= SHOWN else text[:SHOWN] + "…"
        yield Violation(
            field=field,
            reason=f"{shown!r} is not a small letter followed by up to 62 small letters, digits or '-'",
        )
