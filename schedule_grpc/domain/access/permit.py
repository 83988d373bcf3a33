"""Permits: what one call may touch, and what it may see."""

from msgspec import Struct

from schedule_grpc.domain.access.caller import ANYBODY, Caller
from schedule_grpc.domain.access.namespace import DEFAULT_NAMESPACE
from schedule_grpc.domain.access.scope import Scope
from schedule_grpc.errors import PermissionDenied


class Permit(Struct, frozen=True):
    """A caller's call that needs a scope, in one namespace."""

    caller: Caller
    namespace: str
    scope: Scope

    def covers(self, name: str, scope: Scope | None = None) -> bool:
        """Return whether the call may touch a task; ``scope``: what it needs for that, if not its own."""
        needed = scope or self.scope
        return any(grant.covers(needed, self.namespace, name) for grant in self.caller.grants)

    @property
    def covers_all(self) -> bool:
        """Whether the call may touch every task of the namespace."""
        return self.caller.may(self.scope, self.namespace)

    @property
    def prefixes(self) -> tuple[str, ...]:
        """The beginnings of the names that the call may touch, in order, none within another; ``("",)``: every name."""
        held = (g.prefix for g in self.caller.grants if g.reaches(self.scope, self.namespace))
        apart: list[str] = []
        for prefix in sorted(held):  # a prefix sorts right before the names that it begins
            if not apart or not prefix.startswith(apart[-1]):
                apart.append(prefix)
        return tuple(apart)

    @property
    def sees_all(self) -> bool:
        """Whether the call may see all of every task of the namespace: payloads, results and errors."""
        return self.caller.may(Scope.READ, self.namespace)

    def sees(self, name: str) -> bool:
        """Return whether the call may see a task's payload, and its executions' results and errors."""
        return self.covers(name, Scope.READ)

    def require(self, name: str, scope: Scope | None = None) -> None:
        """Refuse a name that the caller's grants do not cover.

        Raises:
            PermissionDenied: naming the scope, the namespace and the name.
        """
        if not self.covers(name, scope):
            raise PermissionDenied(scope or self.scope, self.namespace, name=name)


UNLIMITED = Permit(ANYBODY, DEFAULT_NAMESPACE, Scope.ADMIN)
"""The permit of the service itself, of tests and of programs that embed it."""
