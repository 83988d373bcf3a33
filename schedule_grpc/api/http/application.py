"""The FastAPI application: all routes, and every error in the same envelope."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.telemetry import TelemetryConfig
from prometheus_client import CollectorRegistry
from starlette.responses import Response

from schedule_grpc.access.current import current_call
from schedule_grpc.api.call_spans import Answered
from schedule_grpc.api.http.audit import add_audit_route
from schedule_grpc.api.http.connect import Shared, rpc_routes
from schedule_grpc.api.http.docs import DocsRoutes
from schedule_grpc.api.http.envelope import Answer, AsWritten, refusal, refusal_of
from schedule_grpc.api.http.events import EventRoutes, OpenStreams
from schedule_grpc.api.http.executions import ExecutionRoutes
from schedule_grpc.api.http.insight import add_insight_routes
from schedule_grpc.api.http.json_body import Unreadable
from schedule_grpc.api.http.keys import KeyRoutes
from schedule_grpc.api.http.prefix import prefix_of
from schedule_grpc.api.http.routing import SCHEMAS, refuse_unknown_questions
from schedule_grpc.api.http.server_routes import INFORMATION, VERSION, ServerRoutes, StateRoutes, Troubles
from schedule_grpc.api.http.shown import Refusal
from schedule_grpc.api.http.target import ApiRoute, serve
from schedule_grpc.api.http.tasks import TaskRoutes
from schedule_grpc.errors import Internal, PermissionDenied, ScheduleError, Violation
from schedule_grpc.runtime.clock import Clock
from schedule_grpc.runtime.threads import Aside
from schedule_grpc.service import Service
from schedule_grpc.service.keys import KeyService

log = structlog.get_logger(__name__)


class _Application(FastAPI):
    """Describes the answers without FastAPI's own 422: a refused request is answered 400 in the envelope."""

    def openapi(self) -> dict[str, Any]:
        """Return the description at /openapi.json; the first call makes it."""
        if self.openapi_schema is None:
            description = super().openapi()
            for path in description["paths"].values():
                for operation in path.values():
                    operation["responses"].pop("422", None)
            schemas = description["components"]["schemas"]
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            refusal = Refusal.model_json_schema(ref_template=SCHEMAS, mode="serialization")
            schemas |= {**refusal.pop("$defs", {}), Refusal.__name__: refusal}
        return super().openapi()

    async def described(self, request: Request) -> Answer:
        """Answer with the description; below a prefix it says where the routes are."""
        aside: Aside = self.state.aside
        prefix = prefix_of(request.scope)
        servers = {"servers": [{"url": prefix}]} if prefix else {}
        return await aside.compute(lambda: Answer(self.openapi() | servers))


_NO_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
"""FastAPI's own would send spans of its own beside ours, and read the same variables: see `api/http/traced.py`."""


def application(
    service: Service | None,
    *,
    registry: CollectorRegistry,
    troubles: Troubles,
    unready: Troubles,
    clock: Clock,
    keys: KeyService | None = None,
    servicers: Mapping[str, Any] | None = None,
    answered: Answered = lambda *_: None,
    pages: Callable[[FastAPI, Service], None] | None = None,
) -> FastAPI:
    """Return the application.

    Args:
        service: The service that its routes call; None: it has only health, probes and metrics.
        registry: The metrics of /metrics.
        troubles: Returns why the server is not healthy; nothing if it is.
        unready: Returns why calls should go to another server; nothing if they may come here.
        clock: The clock of the times in answers.
        keys: The service of keys; None: there are no routes of keys.
        servicers: What answers the rpcs, by the full name of their service; gRPC's callers are answered by the same.
        answered: Called with the name of each rpc that was called by Connect or gRPC-Web, and its status.
        pages: Adds the routes of the pages; None: there are none.
    """
    app = _Application(
        title="Schedule Service",
        version=VERSION,
        description=INFORMATION["description"],
        docs_url=None,
        redoc_url=None,
        strict_content_type=False,  # the guard looks at it
        openapi_url=None,  # `described` answers it
        telemetry=_NO_TELEMETRY,
        dependencies=[Depends(refuse_unknown_questions)],
        generate_unique_id_function=lambda route: route.name,
    )
    app.router.route_class = ApiRoute
    app.router.middleware_stack = serve  # the guard has decided which route a request is for
    app.state.service = service
    app.state.aside = aside = service.aside if service else Aside()
    StateRoutes(registry=registry, troubles=troubles, unready=unready, clock=clock, aside=aside).add_to(app)
    if service is not None:
        TaskRoutes(service).add_to(app)
        ExecutionRoutes(service).add_to(app)
        add_insight_routes(app)
        streams = OpenStreams()
        EventRoutes(service, clock=clock, streams=streams).add_to(app)
        ServerRoutes(service, has_pages=pages is not None).add_to(app)
        add_audit_route(app)
        DocsRoutes().add_to(app)
        app.get("/openapi.json", include_in_schema=False)(app.described)
        shared = Shared(aside=aside, answered=answered, streams=streams.counted)
        app.router.routes.extend(rpc_routes(servicers or {}, shared))
        if pages is not None:
            pages(app, service)
    if keys is not None:
        KeyRoutes(keys).add_to(app)
    app.add_exception_handler(ScheduleError, _refused)
    app.add_exception_handler(RequestValidationError, _misread)
    app.add_exception_handler(Unreadable, _unreadable)
    app.add_exception_handler(Exception, _failed)
    return app


def internal_error(method: str, path: str, error: BaseException) -> Answer:
    """Log a fault of the server, and return its answer: the error id under which the log has the traceback."""
    internal = Internal(secrets.token_hex(6))
    log.error("http.failed", method=method, path=path, error_id=internal.error_id, exc_info=error)
    return refusal_of(internal)


async def _refused(request: Request, error: Exception) -> Response:
    if not isinstance(error, ScheduleError):
        raise error
    if isinstance(error, PermissionDenied):
        current_call().denied(error)
    return _in_form(request, refusal_of(error))


async def _misread(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    return _in_form(request, refusal_of(AsWritten(*map(_violation, error.errors()))))


async def _unreadable(_: Request, __: Exception) -> Response:
    return refusal(400, "The body cannot be read as JSON")


async def _failed(request: Request, error: Exception) -> Response:
    return _in_form(request, internal_error(request.method, request.url.path, error))


def _in_form(request: Request, refusal: Response) -> Response:
    """Return a refusal in the form that callers of the request's route read."""
    route: ApiRoute = request.scope["route"]
    return route.refused(request, refusal)


def _violation(error: Any) -> Violation:
    """Return an error of pydantic as a violation: the field as callers write it, and the reason."""
    return Violation(field=_field(error["loc"][1:]) or "body", reason=_reason(error["type"], error["msg"]))


def _field(place: Sequence[str | int]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")


def _reason(kind: str, message: str) -> str:
    if kind == "missing":
        return "is required"
    if kind in ("model_attributes_type", "model_type", "dict_type"):
        return "should be a JSON object"
    return message.removeprefix("Value error, ").replace("Input should", "should")
