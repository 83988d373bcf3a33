"""Who looks at a page, and what the page may offer. Drawing no button protects nothing: the routes decide again."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from schedule_grpc.domain.access.caller import Caller
from schedule_grpc.domain.access.grant import ALL
from schedule_grpc.domain.access.scope import Scope

CHANGING = frozenset({Scope.RUN, Scope.WRITE, Scope.ADMIN})
"""Scopes of calls that change something."""


def operates(caller: Caller) -> bool:
    """Return whether a caller may see what concerns the whole server, as the reasons of /health."""
    return caller.may(Scope.OBSERVE, ALL)


@dataclass(frozen=True, kw_only=True, slots=True)
class Viewer:
    """The caller that looks at a page of one namespace."""

    caller: Caller
    namespace: str
    changes: bool = True
    """Whether this port takes changes at all ([http] changes)."""
    has_session: bool = False
    """Whether the caller logged in here, and so can log out."""

    @property
    def name(self) -> str:
        """The caller's name; empty: the server asks nobody who they are."""
        return self.caller.attribution

    @property
    def identity(self) -> Hashable:
        """Who looks, and at what: viewers that differ in it may be shown different pages."""
        caller = self.caller
        return caller.name, caller.key_id, caller.grants, self.namespace, self.changes, self.has_session

    def may(self, scope: str, name: str = "") -> bool:
        """Return whether to offer what needs a scope over a task; without a name: over any task of the namespace."""
        needed = Scope(scope)
        if needed in CHANGING and not self.changes:
            return False
        if not name:
            return self.caller.reaches(needed, self.namespace)
        return any(grant.covers(needed, self.namespace, name) for grant in self.caller.grants)

    @property
    def operates(self) -> bool:
        """Whether the caller may see what concerns the whole server: its health, replicas and settings."""
        return operates(self.caller)

    @property
    def named_namespaces(self) -> Sequence[str]:
        """The namespaces that the caller's grants name, in order; those of ``*`` are not among them."""
        return sorted({grant.namespace for grant in self.caller.grants if grant.namespace != ALL})
