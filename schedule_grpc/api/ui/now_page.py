"""The first page, and the failures of a day."""

from datetime import timedelta

from fastapi import FastAPI
from starlette.responses import Response

from schedule_grpc.api.ui.page_route import add_route
from schedule_grpc.api.ui.views.failures import failures_view
from schedule_grpc.api.ui.views.now import now_view
from schedule_grpc.api.ui.visit import Visited

DAY = timedelta(hours=24)


def add_to(app: FastAPI) -> None:
    """Add the routes to an application."""
    add_route(app, "/ui", now)
    add_route(app, "/ui/failures", failures)


async def now(visit: Visited) -> Response:
    """Show what needs a person, what runs, what ended and what comes."""
    view = now_view(await visit.service.summary(), await visit.service.pulse())
    return await visit.page(
        "now.html",
        title="Now",
        here="now",
        view=view,
        watch="*",
        rpc=("GetSummary", {}),
        api=visit.links.api("summary"),
    )


async def failures(visit: Visited) -> Response:
    """Show the failures of the last 24 hours, those alike together."""
    view = failures_view(await visit.service.failures(), visit.now)
    return await visit.page(
        "failures.html",
        title="Failures",
        here="failures",
        view=view,
        watch="*",
        rpc=("ListExecutions", {"states": ["FAILED"]}),
        api=visit.links.api("executions", states="FAILED"),
    )
