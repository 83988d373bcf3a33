"""Callers: whatever proves who they are, the service sees a name and grants."""

from dataclasses import dataclass, field

from schedule_grpc.domain.access.grant import ALL, Grant
from schedule_grpc.domain.access.namespace import DEFAULT_NAMESPACE
from schedule_grpc.domain.access.scope import Scope

ANONYMOUS = "anonymous"
EVERYTHING = (Grant(Scope.ADMIN, ALL), Grant(Scope.WORKER, ALL))
"""The grants of a caller that may do everything."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """A caller, as its credentials prove it."""

    name: str
    """``key:NAME``, ``spiffe://...``, ``cn:NAME``, ``jwt:SUBJECT``, ``socket`` or ``anonymous``."""
    grants: tuple[Grant, ...]
    key_id: str = ""
    """The id of its key, if it has one."""
    peer: str = field(default="", compare=False)
    """The address from which it calls."""
    agent: str = field(default="", compare=False)
    """The program that it says it is."""

    @property
    def is_identified(self) -> bool:
        """Whether the caller has proven who it is."""
        return self.name != ANONYMOUS

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


ANYBODY = Caller(name=ANONYMOUS, grants=EVERYTHING)
"""The caller of a server that asks nobody who they are."""
