"""Callers: whatever proves who they are, the service sees a name and grants."""

from msgspec import Struct

from schedule_grpc.domain.access.grant import ALL, Grant
from schedule_grpc.domain.access.namespace import DEFAULT_NAMESPACE
from schedule_grpc.domain.access.scope import Scope

ANONYMOUS = "anonymous"
_PROOFS = {
    "key": "key",
    "spiffe": "certificate",
    "cn": "certificate",
    "jwt": "jwt",
    "socket": "socket",
    "offline": "offline",
}
"""By the beginning of a caller's name."""
EVERYTHING = (Grant(Scope.ADMIN, ALL), Grant(Scope.WORKER, ALL))
"""The grants of a caller that may do everything."""


class Caller(Struct, frozen=True, kw_only=True):
    """A caller, as its credentials prove it."""

    name: str
    """``key:NAME``, ``spiffe://...``, ``cn:NAME``, ``jwt:SUBJECT``, ``socket`` or ``anonymous``."""
    grants: tuple[Grant, ...]
    key_id: str = ""
    """The id of its key, if it has one."""
    peer: str = ""
    """The address from which it calls."""
    agent: str = ""
    """The program that it says it is."""
    is_audited: bool = True
    """Whether its changes are audited: not where the server asks nobody who they are, and it has not said so."""

    @property
    def is_identified(self) -> bool:
        """Whether the caller has proven who it is."""
        return self.name != ANONYMOUS

    @property
    def attribution(self) -> str:
        """The name to which its changes are attributed; empty: it has proven none."""
        return self.name if self.is_identified else ""

    @property
    def via(self) -> str:
        """How it proved who it is: ``key``, ``certificate``, ``jwt``, ``socket``, ``offline``; ``none``."""
        kind = self.name.partition(":")[0]
        return _PROOFS.get(kind, "none")

    @property
    def home(self) -> str:
        """The namespace of a call that names none: the only one that the grants name, else ``default``."""
        named = {grant.namespace for grant in self.grants}
        return named.pop() if len(named) == 1 and ALL not in named else DEFAULT_NAMESPACE

    def may(self, scope: Scope, namespace: str = ALL) -> bool:
        """Return whether the caller has a scope in all of a namespace; ``*``: in every one."""
        return any(
            grant.reaches(scope, namespace) and not grant.prefix and (namespace != ALL or grant.namespace == ALL)
            for grant in self.grants
        )

    def has_any(self, scope: Scope) -> bool:
        """Return whether the caller has a scope anywhere."""
        return any(grant.scope.includes(scope) for grant in self.grants)

    def reaches(self, scope: Scope, namespace: str) -> bool:
        """Return whether the caller has a scope in a namespace, or in a part of it."""
        return any(grant.reaches(scope, namespace) for grant in self.grants)


ANYBODY = Caller(name=ANONYMOUS, grants=EVERYTHING, is_audited=False)
"""The caller of a server that asks nobody who they are."""
