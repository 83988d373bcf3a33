"""Scopes: the kinds of calls that a caller may make."""

from enum import StrEnum


class Scope(StrEnum):
    """A kind of calls. Each scope includes those before it; ``worker`` stands apart."""

    OBSERVE = "observe"
    """See names, schedules, states, times and counts; no payload, metadata, result, error or log line."""
    READ = "read"
    """See everything of tasks and executions."""
    RUN = "run"
    """Run tasks as they are registered, cancel executions, enable and disable tasks."""
    WRITE = "write"
    """Register, change and delete tasks, and run them with another payload."""
    ADMIN = "admin"
    """Make and revoke keys, and set the quotas of a namespace."""
    WORKER = "worker"
    """Run handlers for the service."""

    def includes(self, other: "Scope") -> bool:
        """Return whether a caller with this scope may do what the other one allows."""
        return other in _INCLUDED[self]


_LADDER = (Scope.OBSERVE, Scope.READ, Scope.RUN, Scope.WRITE, Scope.ADMIN)
_INCLUDED = {scope: frozenset(_LADDER[: number + 1]) for number, scope in enumerate(_LADDER)} | {
    Scope.WORKER: frozenset({Scope.WORKER})
}
