"""Routes of the server itself: its version, health and metrics, its handlers, and previews."""

from collections.abc import Callable, Coroutine, Sequence
from enum import Enum
from functools import partial
from importlib.metadata import version
from typing import Annotated, Any

from fastapi import FastAPI, Query
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from schedule_grpc.access.current import current_call
from schedule_grpc.api.http import shown
from schedule_grpc.api.http.bodies import Instant
from schedule_grpc.api.http.envelope import Answer, success
from schedule_grpc.api.http.namespaces import Namespaced
from schedule_grpc.api.http.prefix import prefix_of
from schedule_grpc.api.http.routing import BODY, described
from schedule_grpc.api.http.target import ApiRoute, PodProbeRoute, ProbeRoute
from schedule_grpc.domain.access.scope import Scope
from schedule_grpc.formats.json_answers import handler_json, preview_json, time_json, worker_json
from schedule_grpc.metrics import exposition
from schedule_grpc.runtime.clock import Clock
from schedule_grpc.runtime.threads import Aside
from schedule_grpc.service import Service

NAME = "schedule"
UNAUTHENTICATED = 401
VERSION = version("schedule-grpc")
INFORMATION: dict[str, Any] = {
    "service": NAME,
    "version": VERSION,
    "description": "Runs tasks on schedules: cron expressions, intervals, single instants",
    "interfaces": {"rpc": "gRPC schedule.v1.ScheduleService", "http": "JSON", "cron": "GET /__scheduled?cron="},
    "endpoints": {
        "tasks": {
            "list": "GET /tasks",
            "get": "GET /tasks/{name}",
            "register": "POST /tasks",
            "update": "PATCH /tasks/{name}",
            "enable": "POST /tasks/{name}/enable",
            "disable": "POST /tasks/{name}/disable",
            "delete": "DELETE /tasks/{name}",
            "run": "POST /tasks/{name}/run",
            "backfill": "POST /tasks/{name}/backfill",
            "history": "GET /tasks/{name}/history",
            "why": "GET /tasks/{name}/why",
        },
        "summary": "GET /summary",
        "upcoming": "GET /upcoming",
        "handlers": "GET /handlers",
        "workers": "GET /workers",
        "executions": "GET /executions",
        "execution": "GET /executions/{id}",
        "logs": "GET /executions/{id}/logs",
        "cancel": "POST /executions/{id}/cancel",
        "events": "GET /events",
        "audit": "GET /audit",
        "init": "POST /init",
        "preview": "GET /preview",
        "keys": "GET /keys",
        "whoami": "GET /whoami",
        "health": "GET /health",
        "live": "GET /livez",
        "ready": "GET /readyz",
        "metrics": "GET /metrics",
        "openapi": "GET /openapi.json",
        "docs": "GET /docs",
    },
}

Troubles = Callable[[], Sequence[str]]
"""Returns why the server is not healthy, or not ready; nothing if it is."""


TAGS: list[str | Enum] = ["server"]


class StateRoutes:
    """The routes that every server has: health, probes and metrics."""

    def __init__(
        self, *, registry: CollectorRegistry, troubles: Troubles, unready: Troubles, clock: Clock, aside: Aside
    ) -> None:
        self._aside = aside
        self._registry = registry
        self._troubles = troubles
        self._unready = unready
        self._clock = clock

    def add_to(self, app: FastAPI) -> None:
        """Add the routes to an application."""
        app.router.add_api_route(
            "/health",
            self.health,
            methods=["GET"],
            tags=TAGS,
            responses=described(shown.Health) | {503: {"model": shown.Health}},
            route_class_override=ProbeRoute,
        )
        app.router.add_api_route(
            "/livez",
            self.live,
            methods=["GET"],
            tags=TAGS,
            responses=described(shown.Liveness),
            route_class_override=PodProbeRoute,
        )
        app.router.add_api_route(
            "/readyz",
            self.ready,
            methods=["GET"],
            tags=TAGS,
            responses=described(shown.Readiness) | {503: {"model": shown.Readiness}},
            route_class_override=PodProbeRoute,
        )
        metrics: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}
        app.get("/metrics", tags=TAGS, responses=metrics, response_class=Response)(self.metrics)

    async def health(self) -> Answer:
        """Check the server's health: 200 if it does its work, else 503, with the reasons for those who may observe."""
        reasons = list(self._troubles())
        health = {"status": "degraded" if reasons else "ok", "service": NAME, "timestamp": time_json(self._clock.now())}
        if not reasons:
            return Answer(health)
        told = reasons if current_call().caller.may(Scope.OBSERVE) else []
        return Answer(health | {"reasons": told}, status_code=503)

    async def live(self) -> Answer:
        """Check that the server's process lives: 200 from a loop that is not blocked, whatever the database does."""
        return Answer({"status": "ok"})

    async def ready(self) -> Answer:
        """Check that calls may be sent here: 200, else 503 with the reasons. It asks the database nothing."""
        if reasons := list(self._unready()):
            return Answer({"status": "unready", "reasons": reasons}, status_code=503)
        return Answer({"status": "ok"})

    async def metrics(self) -> Response:
        """Return the metrics in the text format of Prometheus."""
        text = await self._aside.compute(partial(exposition, self._registry))
        return Response(text, media_type=CONTENT_TYPE_PLAIN_0_0_4)


class LeadingRoute(ApiRoute):
    """The root, which leads a browser to the pages. Programs, which ask for JSON or anything, get what they know."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the function that answers a request."""
        answer = super().get_route_handler()

        async def lead_or_answer(request: Request) -> Response:
            return _led_to_pages(request) if _shows_pages(request) else await answer(request)

        return lead_or_answer

    def refused(self, request: Request, refusal: Response) -> Response:
        """Lead a browser that proves nothing to the pages, where it can log in."""
        return _led_to_pages(request) if refusal.status_code == UNAUTHENTICATED and _shows_pages(request) else refusal


def _shows_pages(request: Request) -> bool:
    return request.headers.get("accept", "").startswith("text/html")


def _led_to_pages(request: Request) -> Response:
    """Lead on by a relative address, whatever prefix a proxy has taken off.

    The root below a prefix of the settings may be asked for without its slash, where a relative address would leave it.
    """
    prefix = prefix_of(request.scope)
    return RedirectResponse(f"{prefix}/ui" if prefix else "ui", 303)


class ServerRoutes:
    """The routes of a server that answers calls: the root, handlers, built-in tasks, previews."""

    def __init__(self, service: Service, *, has_pages: bool = False) -> None:
        """Take the service, and whether a browser that asks for the root is led to the pages."""
        self._service = service
        self._root_route = LeadingRoute if has_pages else ApiRoute

    def add_to(self, app: FastAPI) -> None:
        """Add the routes to an application."""
        app.router.add_api_route(
            "/",
            self.information,
            methods=["GET"],
            tags=TAGS,
            responses=described(shown.Information),
            route_class_override=self._root_route,
        )
        app.get("/handlers", tags=TAGS, responses=described(shown.HandlersAnswer, 404))(self.handlers)
        app.get("/workers", tags=TAGS, responses=described(shown.WorkersAnswer, 404))(self.workers)
        app.post("/init", tags=TAGS, responses=described(shown.InitAnswer, *BODY))(self.init)
        app.get("/preview", tags=TAGS, responses=described(shown.PreviewAnswer))(self.preview)

    async def information(self) -> Answer:
        """Return the service's name, its version and its routes."""
        return Answer(INFORMATION)

    async def handlers(self, service: Namespaced) -> Answer:
        """List the handlers that tasks can name."""
        handlers = await service.handlers()
        names = [handler.name for handler in handlers]
        return success(count=len(names), handlers=names, details=[handler_json(each) for each in handlers])

    async def workers(
        self,
        service: Namespaced,
        handler: Annotated[str, Query(description="Only workers that offer this handler")] = "",
    ) -> Answer:
        """List the workers that live, and those whose sessions ended within 24 hours."""
        workers = await service.workers(handler)
        return success(count=len(workers), workers=[worker_json(each) for each in workers])

    async def init(self, service: Namespaced) -> Answer:
        """Register the built-in tasks that do not exist; change no existing task."""
        registered = await service.initialize_defaults()
        return success(message="Default tasks initialized", registered=[task.name for task in registered])

    async def preview(
        self,
        schedule: Annotated[str, Query(description="A schedule, such as 0 9 * * 1-5")],
        *,
        time_zone: Annotated[
            str, Query(alias="timeZone", description="IANA name of the zone of a cron expression")
        ] = "UTC",
        count: Annotated[int, Query(ge=1, le=1000, description="Occurrences in the answer, at most")] = 10,
        start_time: Annotated[
            Instant | None, Query(alias="startTime", description="Occurrences after this time; unset: after now")
        ] = None,
    ) -> Answer:
        """Compute when a schedule fires, and describe it in English; store nothing."""
        preview = await self._service.preview(schedule, time_zone, count=count, start_time=start_time)
        return success(**preview_json(preview))
