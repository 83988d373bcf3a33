"""The rpc that each route of HTTP stands for: what the rpc needs, the route needs."""

from collections.abc import Iterable, Mapping

from starlette.routing import BaseRoute

from schedule_grpc.access.rules import ACCESS, DASHBOARD, HEALTH, METRICS, PAGES, RULES, SCHEDULE, WORKERS
from schedule_grpc.api.http.target import ApiRoute
from schedule_grpc.errors import CannotStart

RPCS: Mapping[tuple[str, str], str] = {
    ("GET", "/tasks"): SCHEDULE + "ListTasks",
    ("POST", "/tasks"): SCHEDULE + "RegisterTask",
    ("GET", "/tasks/{name}"): SCHEDULE + "GetTask",
    ("GET", "/tasks/{name}/why"): SCHEDULE + "ExplainTask",
    ("GET", "/summary"): SCHEDULE + "GetSummary",
    ("GET", "/upcoming"): SCHEDULE + "GetUpcomingRuns",
    ("PATCH", "/tasks/{name}"): SCHEDULE + "UpdateTask",
    ("DELETE", "/tasks/{name}"): SCHEDULE + "DeleteTask",
    ("POST", "/tasks/{name}/enable"): SCHEDULE + "EnableTask",
    ("POST", "/tasks/{name}/disable"): SCHEDULE + "DisableTask",
    ("POST", "/tasks/{name}/run"): SCHEDULE + "RunTaskNow",
    ("POST", "/tasks/{name}/backfill"): SCHEDULE + "BackfillTask",
    ("GET", "/tasks/{name}/history"): SCHEDULE + "GetTaskHistory",
    ("GET", "/executions"): SCHEDULE + "ListExecutions",
    ("GET", "/executions/{id}"): SCHEDULE + "GetExecution",
    ("GET", "/executions/{id}/logs"): SCHEDULE + "GetExecution",
    ("POST", "/executions/{id}/cancel"): SCHEDULE + "CancelExecution",
    ("GET", "/__scheduled"): SCHEDULE + "TriggerCron",
    ("POST", "/__scheduled"): SCHEDULE + "TriggerCron",
    ("GET", "/events"): SCHEDULE + "WatchExecutions",
    ("GET", "/handlers"): SCHEDULE + "ListHandlers",
    ("GET", "/workers"): WORKERS + "ListWorkers",
    ("GET", "/preview"): SCHEDULE + "PreviewSchedule",
    ("GET", "/audit"): ACCESS + "ListAuditEvents",
    ("POST", "/init"): SCHEDULE + "InitializeDefaultTasks",
    ("GET", "/keys"): ACCESS + "ListKeys",
    ("POST", "/keys"): ACCESS + "CreateKey",
    ("POST", "/keys/{name}/rotate"): ACCESS + "RotateKey",
    ("DELETE", "/keys/{name}"): ACCESS + "RevokeKey",
    ("GET", "/whoami"): ACCESS + "WhoAmI",
    ("GET", "/health"): HEALTH + "Check",
    ("GET", "/livez"): HEALTH + "Check",
    ("GET", "/readyz"): HEALTH + "Check",
    ("GET", "/metrics"): METRICS,
    ("GET", "/"): PAGES,
    ("GET", "/openapi.json"): PAGES,
    ("GET", "/docs"): PAGES,
    ("GET", "/docs/start.js"): PAGES,
    ("GET", "/docs/swagger-ui-bundle.js"): PAGES,
    ("GET", "/docs/swagger-ui.css"): PAGES,
}
"""By method and path; a HEAD is a GET."""

OF_DASHBOARD: Mapping[tuple[str, str], str] = {
    ("GET", "/ui"): SCHEDULE + "ListTasks",
    ("GET", "/ui/tasks"): SCHEDULE + "ListTasks",
    ("GET", "/ui/tasks/new"): SCHEDULE + "PreviewSchedule",
    ("GET", "/ui/tasks/{name}"): SCHEDULE + "GetTask",
    ("GET", "/ui/tasks/{name}/edit"): SCHEDULE + "GetTask",
    ("GET", "/ui/tasks/{name}/why"): SCHEDULE + "GetTask",
    ("GET", "/ui/tasks/{name}/run-form"): SCHEDULE + "GetTask",
    ("GET", "/ui/executions"): SCHEDULE + "ListExecutions",
    ("GET", "/ui/executions/{id}"): SCHEDULE + "GetExecution",
    ("GET", "/ui/failures"): SCHEDULE + "ListExecutions",
    ("GET", "/ui/upcoming"): SCHEDULE + "ListTasks",
    ("GET", "/ui/handlers"): SCHEDULE + "ListHandlers",
    ("GET", "/ui/system"): SCHEDULE + "ListTasks",
    ("GET", "/ui/feed"): SCHEDULE + "WatchExecutions",
    ("GET", "/ui/login"): DASHBOARD,
    ("POST", "/ui/login"): DASHBOARD,
    ("POST", "/ui/logout"): DASHBOARD,
    ("GET", "/ui/static/{version}/{name}"): DASHBOARD,
    ("GET", "/ui/{rest:path}"): DASHBOARD,
}
"""Likewise, of the dashboard: each page needs what the rpc needs whose answer it shows."""


OF_HEALTH = frozenset({HEALTH + "Check", METRICS})
"""What a listener serves that serves health alone."""


def rpc_of(method: str, path: str) -> str:
    """Return the rpc that a route stands for; the path of Connect and gRPC-Web is the rpc's own name."""
    if path in RULES:
        return path
    key = "GET" if method == "HEAD" else method, path
    return RPCS.get(key) or OF_DASHBOARD[key]


def check_rpcs(routes: Iterable[BaseRoute]) -> None:
    """Check that every route stands for an rpc.

    Raises:
        CannotStart: naming the routes that do not.
    """
    served = [(method, route.path) for route in routes if isinstance(route, ApiRoute) for method in route.methods or ()]
    if missing := sorted(
        f"{method} {path}"
        for method, path in served
        if path not in RULES and (method, path) not in {**RPCS, **OF_DASHBOARD}
    ):
        raise CannotStart(f"no rule says who may call {', '.join(missing)}")
