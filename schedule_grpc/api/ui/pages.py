"""All routes of the dashboard, added to the HTTP application."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import Response

from schedule_grpc.api.http.envelope import refusal
from schedule_grpc.api.ui import execution_pages, now_page, server_pages, task_pages, upcoming_page
from schedule_grpc.api.ui.dashboard import Dashboard
from schedule_grpc.api.ui.feed import Feed
from schedule_grpc.api.ui.files import FileRoutes
from schedule_grpc.api.ui.login import LoginRoutes
from schedule_grpc.api.ui.page_route import PageRoute, add_route
from schedule_grpc.api.ui.viewer import operates
from schedule_grpc.api.ui.views.now import numbers_of
from schedule_grpc.api.ui.visit import DASHBOARD, FEED
from schedule_grpc.domain.access.permit import Permit
from schedule_grpc.errors import ScheduleError
from schedule_grpc.service import Service


def add_pages(app: FastAPI, service: Service, dashboard: Dashboard) -> None:
    """Add the routes of all pages to an application."""
    setattr(app.state, DASHBOARD, dashboard)

    async def numbers(permit: Permit) -> Mapping[str, Any] | None:
        with suppress(ScheduleError):  # the database is away: pages say so when they are asked for
            return asdict(numbers_of(await service.seen_by(permit).summary()))
        return None

    def health(permit: Permit) -> Sequence[str] | None:
        return tuple(dashboard.troubles()) if operates(permit.caller) else None

    feed = Feed(service.hub, dashboard.clock, numbers, health)
    setattr(app.state, FEED, feed)
    FileRoutes(dashboard).add_to(app)
    LoginRoutes(dashboard).add_to(app)
    now_page.add_to(app)
    task_pages.add_to(app)
    execution_pages.add_to(app)
    server_pages.add_to(app)
    upcoming_page.add_to(app)
    add_route(app, "/ui/{rest:path}", _nothing)


async def _nothing(request: Request, rest: str) -> Response:  # noqa: ARG001 (the path has it)
    """Answer that there is no such page."""
    route: PageRoute = request.scope["route"]
    return route.refused(request, refusal(404, "There is no such page"))
