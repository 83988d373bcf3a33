"""The call that is being answered: its caller and what it needs, known since the edge."""

from collections.abc import Callable
from contextvars import ContextVar

from msgspec import Struct

from schedule_grpc.access.rules import Rule
from schedule_grpc.domain.access.caller import ANYBODY, Caller
from schedule_grpc.domain.access.grant import ALL
from schedule_grpc.domain.access.namespace import checked_namespace
from schedule_grpc.domain.access.permit import Permit
from schedule_grpc.domain.access.scope import Scope
from schedule_grpc.errors import PermissionDenied


def _unnoted(_: object) -> None:
    pass


class Call(Struct, frozen=True):
    """A call whose caller is known, and has the scope that it needs somewhere."""

    caller: Caller
    rule: Rule
    denied: Callable[[PermissionDenied], None] = _unnoted
    """Called by the edge if the call is refused after its request was read."""
    reads: Callable[[str], None] = _unnoted
    """Called with the namespace in which the call reads."""

    def permit(self, namespace: str = "") -> Permit:
        """Return what the call may touch in the namespace that its request names; empty: in the caller's own.

        Raises:
            InvalidArgument: if that is no namespace's name.
            PermissionDenied: if the caller lacks the scope there, whether or not there is such a namespace.
        """
        scope = self.rule.scope or Scope.OBSERVE
        if namespace:
            place = checked_namespace("namespace", namespace)
        else:
            place = self.rule.namespace if self.rule.namespace not in ("", ALL) else self.caller.home
        if not self.caller.reaches(scope, place):
            raise PermissionDenied(scope, place)
        if self.rule.scope is Scope.OBSERVE:
            self.reads(place)
        return Permit(self.caller, place, scope)


OUTSIDE = Call(ANYBODY, Rule(scope=Scope.ADMIN))
"""What code that answers no call may do: everything."""
_CALL: ContextVar[Call] = ContextVar("call", default=OUTSIDE)


def begin(call: Call) -> None:
    """Note the call that the current task answers from now on. Each call has a task of its own, at both edges."""
    _CALL.set(call)


def current_call() -> Call:
    """Return the call that the current task answers; outside of any, one that may do everything."""
    return _CALL.get()
