"""Namespaces: a task is identified by its namespace and its name; nothing of one namespace is seen in another one."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import TypeAlias

from schedule_grpc.errors import InvalidArgument, Violation

DEFAULT_NAMESPACE = "default"
"""The namespace that always exists: of callers that name none, and of everything older than namespaces."""

NAMESPACE = re.compile(r"[a-z][a-z0-9-]{0,62}")
EVERY_HANDLER = "*"
PATTERN = re.compile(r"\*|[A-Za-z0-9][A-Za-z0-9._-]{0,127}\*?")
"""A handler's name, the beginning of one and ``*``, or ``*`` alone."""
MAX_PATTERNS = 100
MAX_LIMIT = 2**31 - 1
"""The contract's int32."""
SHOWN = 70
"""How many characters of a refused text an error repeats."""

TaskKey: TypeAlias = tuple[str, str]
"""What identifies a living task: its namespace and its name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How much a namespace may have and do; None is no limit."""

    max_tasks: int | None = 1_000
    max_open_executions: int | None = 10_000
    """Executions that are PENDING or RUNNING."""
    runs_per_minute: int | None = 600
    """Executions that callers ask for: runs by hand, triggered ones, and those of backfills."""
    writes_per_minute: int | None = 300
    """Calls that register, update, delete, enable or disable tasks; a batch is one call."""
    max_streams: int | None = 50
    """Streams of events that are open on each server at a time: calls of WatchExecutions, and GET /events."""
    running_share: float | None = 0.5
    """The part of a server's slots that attempts may have at once: more than 0, at most 1."""

    def violations(self) -> Iterator[Violation]:
        """Yield a violation for each limit that is out of bounds."""
        for name in (each.name for each in fields(self)):
            value = getattr(self, name)
            if value is None:
                continue
            if name == "running_share":
                if not 0 < value <= 1:
                    yield Violation(field=f"limits.{name}", reason="must be more than 0 and at most 1")
            elif not 0 <= value <= MAX_LIMIT:
                yield Violation(field=f"limits.{name}", reason=f"must be 0 to {MAX_LIMIT}")


DEFAULT_LIMITS = Limits()
"""What a new namespace has."""
NO_LIMITS = Limits(
    max_tasks=None,
    max_open_executions=None,
    runs_per_minute=None,
    writes_per_minute=None,
    max_streams=None,
    running_share=None,
)
"""What the namespace ``default`` has until it is changed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Namespace:
    """The settings of a namespace."""

    name: str
    handlers: tuple[str, ...] = (EVERY_HANDLER,)
    """Patterns of the handlers that its tasks may name: ``send-report``, ``reports.*``, ``*``."""
    limits: Limits = DEFAULT_LIMITS
    create_time: datetime
    version: int = 1
    """Counts the changes of the settings."""

    @property
    def etag(self) -> str:
        """Changes with every change of the settings (AIP-154)."""
        return str(self.version)

    def allows(self, handler: str, *, builtin: bool) -> bool:
        """Return whether tasks may name a handler. A built-in one outside ``default`` only if its whole name is given.

        Built-in handlers work with the service's own files, databases and secrets.
        """
        if builtin and self.name != DEFAULT_NAMESPACE:
            return handler in self.handlers
        return any(_matches(pattern, handler) for pattern in self.handlers)


@dataclass(frozen=True, kw_only=True, slots=True)
class NamespaceUpdate:
    """A call of UpdateNamespace: handlers that are None stay as they are, and so does a limit that is not given."""

    name: str
    handlers: tuple[str, ...] | None = None
    limits: Mapping[str, float | None] = field(default_factory=dict)
    """By their names; None is no limit."""
    etag: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class NamespacePage:
    """One page of namespaces, ordered by name; an empty token marks the last one."""

    namespaces: tuple[Namespace, ...]
    next_page_token: str = ""


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
        yield Violation(
            field=field,
            reason=f"{_shown(text)!r} is not a small letter followed by up to 62 small letters, digits or '-'",
        )


def defined_namespace(name: str, *, handlers: Sequence[str], limits: Limits, create_time: datetime) -> Namespace:
    """Return a new namespace with valid settings.

    Raises:
        InvalidArgument: with a violation for every field that is wrong.
    """
    violations = [*namespace_violations("name", name), *pattern_violations(handlers), *limits.violations()]
    if violations:
        raise InvalidArgument(*violations)
    return Namespace(name=name, handlers=tuple(sorted(set(handlers))), limits=limits, create_time=create_time)


def pattern_violations(handlers: Sequence[str]) -> Iterator[Violation]:
    """Yield the violations of patterns of handlers' names."""
    if len(handlers) > MAX_PATTERNS:
        yield Violation(field="handlers", reason=f"has {len(handlers)} patterns, at most {MAX_PATTERNS} are allowed")
        return
    for number, pattern in enumerate(handlers):
        if PATTERN.fullmatch(pattern) is None:
            yield Violation(
                field=f"handlers[{number}]",
                reason=f"{_shown(pattern)!r} is not a handler's name, nor the beginning of names followed by '*'",
            )


def _matches(pattern: str, handler: str) -> bool:
    return handler.startswith(pattern[:-1]) if pattern.endswith("*") else handler == pattern


def _shown(text: str) -> str:
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"
