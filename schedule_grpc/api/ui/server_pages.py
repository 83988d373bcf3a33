"""The pages of handlers and workers, and of the server itself."""

import platform

from fastapi import FastAPI
from starlette.responses import Response

from schedule_grpc.api.ui.page_route import add_route
from schedule_grpc.api.ui.views.handlers import handlers_view
from schedule_grpc.api.ui.views.words import duration_text
from schedule_grpc.api.ui.visit import Visited
from schedule_grpc.domain.summary import MOST_DURATIONS
from schedule_grpc.store import NEWEST


def add_to(app: FastAPI) -> None:
    """Add the routes to an application."""
    add_route(app, "/ui/handlers", handlers)
    add_route(app, "/ui/system", system)


async def handlers(visit: Visited) -> Response:
    """Show the handlers, who offers them, and the workers."""
    service = visit.service
    handlers, workers = await service.handlers(), await service.workers()
    view = handlers_view(handlers, workers, await service.summary(), await service.durations())
    return await visit.page(
        "handlers.html",
        title="Handlers and workers",
        here="handlers",
        view=view,
        most_durations=MOST_DURATIONS,
        watch="*",
        rpc=("ListHandlers", {}),
        api=visit.links.api("handlers"),
    )


async def system(visit: Visited) -> Response:
    """Show the server's health and figures; to callers that may see the whole server, its settings and peers too."""
    summary = await visit.service.summary()
    dashboard, operates = visit.dashboard, visit.viewer.operates
    read = dashboard.replicas
    return await visit.page(
        "system.html",
        title="System",
        here="system",
        summary=summary,
        lag="" if summary.lag is None else duration_text(summary.lag),
        troubles=visit.health,
        is_healthy=not dashboard.troubles(),
        facts=dashboard.facts() if operates else {},
        replicas=await read() if operates and read is not None else (),
        versions={
            "schedule-grpc": dashboard.shown.version,
            "Python": platform.python_version(),
            "database schema": str(NEWEST),
        },
        operates=operates,
        watch="*",
        rpc=("grpc.health.v1.Health/Check", {}),
        api=visit.links.api("health"),
    )
