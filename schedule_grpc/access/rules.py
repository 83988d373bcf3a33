"""The one table of what each rpc needs. A route of HTTP stands for an rpc, so there is no second table.

An rpc that is not in the table is refused, and the server does not start with one (`unruled`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from schedule_grpc.domain.access.grant import ALL
from schedule_grpc.domain.access.namespace import DEFAULT_NAMESPACE
from schedule_grpc.domain.access.scope import Scope


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """What a call needs."""

    scope: Scope | None = None
    """None: no scope, but a caller that the server knows; or nobody in particular, if it is ``open``."""
    namespace: str = ""
    """The namespace in which the scope is needed; empty: the one that the request names; ``*``: all."""
    open: bool = False
    """Whether strangers may call."""
    proven: bool = False
    """Whether the caller must have proven who it is, even where the server asks nobody: it is handed a key."""
    lasts: bool = False
    """Whether the call may go on for long: it is ended when its caller's credentials are."""
    safe_to_get: bool = True
    """Whether a GET may make this call on a server that knows its callers."""

    def __str__(self) -> str:
        if self.scope is None:
            return "open" if self.open else "any caller"
        return f"{self.scope}@{self.namespace or 'NAMESPACE'}"


def _in_request(scope: Scope, *, lasts: bool = False, safe_to_get: bool = True) -> Rule:
    return Rule(scope=scope, lasts=lasts, safe_to_get=safe_to_get)


SCHEDULE = "/schedule.v1.ScheduleService/"
ACCESS = "/schedule.v1.AccessService/"
WORKERS = "/schedule.v1.WorkerService/"
HEALTH = "/grpc.health.v1.Health/"
REFLECTION = "/grpc.reflection.v1.ServerReflection/"
REFLECTION_V1ALPHA = "/grpc.reflection.v1alpha.ServerReflection/"
"""The same for older clients."""
PAGES = "pages of HTTP"
"""Stands for an rpc where HTTP has a page that gRPC has not: documentation and the root."""
METRICS = "metrics"
"""Likewise, /metrics."""
DASHBOARD = "dashboard"
"""Likewise, what the pages of a browser need before anybody has logged in: files, the page that asks for a key."""

_OBSERVE, _RUN, _WRITE = _in_request(Scope.OBSERVE), _in_request(Scope.RUN), _in_request(Scope.WRITE)

_OPERATOR = Rule(scope=Scope.ADMIN, namespace=ALL)

RULES: Mapping[str, Rule] = {
    SCHEDULE + "ListTasks": _OBSERVE,
    SCHEDULE + "GetTask": _OBSERVE,
    SCHEDULE + "GetTaskHistory": _OBSERVE,
    SCHEDULE + "ListExecutions": _OBSERVE,
    SCHEDULE + "GetExecution": _OBSERVE,
    SCHEDULE + "WatchExecutions": _in_request(Scope.OBSERVE, lasts=True),
    SCHEDULE + "ListHandlers": _OBSERVE,
    SCHEDULE + "PreviewSchedule": _OBSERVE,
    SCHEDULE + "GetSummary": _OBSERVE,
    SCHEDULE + "GetUpcomingRuns": _OBSERVE,
    SCHEDULE + "ExplainTask": _OBSERVE,
    SCHEDULE + "RunTaskNow": _in_request(Scope.RUN, lasts=True),
    SCHEDULE + "CancelExecution": _RUN,
    SCHEDULE + "BackfillTask": _RUN,
    SCHEDULE + "TriggerCron": _in_request(Scope.RUN, safe_to_get=False),
    SCHEDULE + "EnableTask": _RUN,
    SCHEDULE + "DisableTask": _RUN,
    SCHEDULE + "RegisterTask": _WRITE,
    SCHEDULE + "BatchRegisterTasks": _WRITE,
    SCHEDULE + "UpdateTask": _WRITE,
    SCHEDULE + "DeleteTask": _WRITE,
    SCHEDULE + "InitializeDefaultTasks": Rule(scope=Scope.ADMIN, namespace=DEFAULT_NAMESPACE),
    ACCESS + "CreateKey": Rule(scope=Scope.ADMIN, proven=True),
    ACCESS + "ListKeys": Rule(scope=Scope.ADMIN),
    ACCESS + "RotateKey": Rule(scope=Scope.ADMIN, proven=True),
    ACCESS + "RevokeKey": Rule(),
    ACCESS + "WhoAmI": Rule(),
    ACCESS + "CreateNamespace": _OPERATOR,
    ACCESS + "UpdateNamespace": _OPERATOR,
    ACCESS + "ListNamespaces": _OPERATOR,
    ACCESS + "DeleteNamespace": _OPERATOR,
    ACCESS + "ListAuditEvents": Rule(scope=Scope.ADMIN),
    WORKERS + "RegisterWorker": _in_request(Scope.WORKER),
    WORKERS + "Pull": _in_request(Scope.WORKER, lasts=True),
    WORKERS + "Report": _in_request(Scope.WORKER),
    WORKERS + "UnregisterWorker": _in_request(Scope.WORKER),
    WORKERS + "ListWorkers": _OBSERVE,
    HEALTH + "Check": Rule(open=True),
    HEALTH + "Watch": Rule(open=True),
    HEALTH + "List": Rule(open=True),
    REFLECTION + "ServerReflectionInfo": Rule(),
    REFLECTION_V1ALPHA + "ServerReflectionInfo": Rule(),
    PAGES: Rule(),
    DASHBOARD: Rule(open=True),
    METRICS: Rule(scope=Scope.OBSERVE, namespace=ALL),
}
"""By the full name of the rpc, as gRPC sends it."""

PUBLIC: Mapping[str, frozenset[str]] = {
    "reflection": frozenset({REFLECTION + "ServerReflectionInfo", REFLECTION_V1ALPHA + "ServerReflectionInfo"}),
    "docs": frozenset({PAGES}),
}
"""Parts of the service that an operator can open to strangers ([auth] public): they are the same for everybody."""


def is_reading(rpc: str) -> bool:
    """Return whether an rpc changes nothing: those that observe, and the lists for administrators."""
    rule, name = RULES[rpc], rpc.rpartition("/")[2]
    return rule.scope is Scope.OBSERVE or rule.open or name.startswith("List") or name == "WhoAmI"


def rules_with(public: Iterable[str]) -> Mapping[str, Rule]:
    """Return the table of a server that opens these parts to strangers."""
    opened = frozenset(rpc for part in public for rpc in PUBLIC[part])
    return {rpc: Rule(open=True) if rpc in opened else rule for rpc, rule in RULES.items()}


def unruled(rpcs: Iterable[str]) -> tuple[str, ...]:
    """Return the rpcs that have no entry in the table."""
    return tuple(sorted(set(rpcs) - set(RULES)))
