"""The page of what comes."""

from typing import Annotated

from fastapi import FastAPI, Query
from starlette.responses import Response

from schedule_grpc.api.http.envelope import AsWritten
from schedule_grpc.api.ui.asked import Text, instant_of
from schedule_grpc.api.ui.page_route import add_route
from schedule_grpc.api.ui.task_pages import handler_names
from schedule_grpc.api.ui.views.upcoming import HOUR, due_view, upcoming_view
from schedule_grpc.api.ui.visit import Visited
from schedule_grpc.domain.upcoming import LONGEST
from schedule_grpc.errors import Violation

SPANS = ((24, "24 hours"), (72, "3 days"), (168, "7 days"))


def add_to(app: FastAPI) -> None:
    """Add the route to an application."""
    add_route(app, "/ui/upcoming", upcoming)


async def upcoming(
    visit: Visited,
    *,
    hours: Annotated[int, Query(ge=1, le=LONGEST)] = 24,
    handler: Text = "",
    category: Text = "",
    at: Text = "",
) -> Response:
    """Show what comes within the next hours, and the runs that are due in one of them."""
    found = await visit.service.upcoming(hours=hours, handler=handler, category=category)
    asked = {"hours": hours, "handler": handler, "category": category}
    hour = instant_of("at", at, visit.now)
    due = None
    if hour is not None:
        hour = hour.replace(minute=0, second=0, microsecond=0)
        if abs(hour - visit.now) > LONGEST * HOUR:
            raise AsWritten(Violation(field="at", reason=f"must be within {LONGEST} hours of now"))
        due = due_view(await visit.service.upcoming(hours=1, handler=handler, category=category, start=hour))
    return await visit.page(
        "upcoming.html",
        title="Upcoming",
        here="upcoming",
        view=upcoming_view(found),
        due=due,
        asked=asked,
        spans=SPANS,
        handlers=await handler_names(visit),
        watch="*",
        rpc=("GetUpcomingRuns", asked),
        api=visit.links.api("upcoming", **asked),
    )
