"""Grants: a scope in a namespace, or in the part of it whose names begin with a prefix."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from schedule_grpc.domain.access.scope import Scope
from schedule_grpc.errors import InvalidArgument, Violation

ALL = "*"
"""Stands for every namespace in a grant."""
IN_ALL = frozenset({Scope.OBSERVE, Scope.READ, Scope.ADMIN, Scope.WORKER})
"""Scopes that a grant may give in every namespace."""
MOST_GRANTS = 50
"""Grants of one caller."""

_NAMESPACE = r"[a-z][a-z0-9-]{0,62}"
_PREFIX = r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}"
_GRANT = re.compile(rf"(?P<scope>[a-z]+)@(?P<namespace>\*|{_NAMESPACE})(?:/(?P<prefix>{_PREFIX}))?")


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """A scope in a namespace, ``*`` for all; with a prefix, only for names that begin with it.

    The names are those of tasks; for ``worker``, those of handlers.
    """

    scope: Scope
    namespace: str
    prefix: str = ""

    def __str__(self) -> str:
        return f"{self.scope}@{self.namespace}" + (f"/{self.prefix}" if self.prefix else "")

    @classmethod
    def read(cls, text: str, field: str = "grants") -> "Grant":
        """Return the grant that a text means: ``SCOPE@NAMESPACE`` or ``SCOPE@NAMESPACE/PREFIX``.

        Raises:
            InvalidArgument: if it means none.
        """
        found = _GRANT.fullmatch(text)
        if found is None or found["scope"] not in frozenset(Scope):
            scopes = ", ".join(Scope)
            raise InvalidArgument.of(
                field, f"{text!r:.200} is not SCOPE@NAMESPACE or SCOPE@NAMESPACE/PREFIX (scopes: {scopes})"
            )
        grant = cls(Scope(found["scope"]), found["namespace"], found["prefix"] or "")
        if grant.namespace == ALL and (grant.scope not in IN_ALL or grant.prefix):
            raise InvalidArgument.of(field, f"{text}: * is for observe, read, admin and worker, without a prefix")
        if grant.scope is Scope.ADMIN and grant.prefix:
            raise InvalidArgument.of(field, f"{text}: admin is of a whole namespace")
        return grant

    def reaches(self, scope: Scope, namespace: str) -> bool:
        """Return whether the grant gives a scope in a namespace, or in a part of it."""
        return self.namespace in (ALL, namespace) and self.scope.includes(scope)

    def covers(self, scope: Scope, namespace: str, name: str) -> bool:
        """Return whether the grant gives a scope over a name in a namespace."""
        return self.reaches(scope, namespace) and name.startswith(self.prefix)

    def is_within(self, held: "Grant") -> bool:
        """Return whether a caller that holds another grant may give this one: it allows nothing beyond that.

        Workers' grants are given by the administrators of their namespaces.
        """
        given = Scope.ADMIN if self.scope is Scope.WORKER else self.scope
        return (
            held.namespace in (ALL, self.namespace)
            and (held.scope is self.scope or held.scope.includes(given))
            and self.prefix.startswith(held.prefix)
        )


def read_grants(texts: Sequence[str], field: str = "grants") -> tuple[Grant, ...]:
    """Return the grants that texts mean, each once, in order.

    Raises:
        InvalidArgument: naming each text that means none; or if there are too many.
    """
    if len(texts) > MOST_GRANTS:
        raise InvalidArgument.of(field, f"has {len(texts)} grants, of at most {MOST_GRANTS}")
    grants: list[Grant] = []
    violations: list[Violation] = []
    for number, text in enumerate(texts):
        try:
            grants.append(Grant.read(text, f"{field}[{number}]"))
        except InvalidArgument as error:
            violations += error.violations
    if violations:
        raise InvalidArgument(*violations)
    return tuple(dict.fromkeys(grants))


def beyond(wanted: Iterable[Grant], held: Sequence[Grant]) -> tuple[Grant, ...]:
    """Return the wanted grants that a caller with the held ones must not give."""
    return tuple(grant for grant in wanted if not any(grant.is_within(each) for each in held))
