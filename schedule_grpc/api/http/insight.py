"""Routes that show a namespace at a glance, what comes, and why a task ran or did not."""

from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Any

from fastapi import FastAPI, Query
from starlette.responses import Response

from schedule_grpc.api.http import shown_insight
from schedule_grpc.api.http.bodies import Instant
from schedule_grpc.api.http.envelope import success
from schedule_grpc.api.http.namespaces import Namespaced
from schedule_grpc.api.http.routing import described, execution_shown, named_as_asked
from schedule_grpc.domain.upcoming import LONGEST
from schedule_grpc.formats.json_insight import (
    explanation_json,
    failures_json,
    pulse_json,
    summary_json,
    upcoming_json,
)

TAGS: list[str | Enum] = ["insight"]
At = Annotated[
    Instant | None, Query(description="Only the occurrences in this minute; else those beside it. Not with from or to")
]
From = Annotated[Instant | None, Query(alias="from", description="The start of the range; unset: 24 hours before to")]
To = Annotated[Instant | None, Query(alias="to", description="The end of the range, inclusive; unset: now")]


def add_insight_routes(app: FastAPI) -> None:
    """Add the routes to an application."""
    app.get("/summary", tags=TAGS, responses=described(shown_insight.SummaryAnswer))(get_summary)
    app.get("/upcoming", tags=TAGS, responses=described(shown_insight.UpcomingAnswer))(get_upcoming)
    app.get("/tasks/{name}/why", tags=TAGS, responses=described(shown_insight.WhyAnswer, 404))(explain_task)


async def get_summary(service: Namespaced) -> Response:
    """Show what fails, runs, waits, has ended and comes next, as it was at most a second ago."""
    summary, pulse, failures = await service.summary(), await service.pulse(), await service.failures()

    def written() -> Mapping[str, Any]:
        more = {} if pulse is None else {"pulse": pulse_json(pulse)}
        return (
            summary_json(summary, shown=execution_shown)
            | more
            | {"failures": failures_json(failures), "moreFailures": failures.more_count}
        )

    return success(**await service.aside.compute(written))


async def get_upcoming(
    service: Namespaced,
    *,
    hours: Annotated[int, Query(ge=1, le=LONGEST, description="Hours from now on")] = 24,
    handler: Annotated[str, Query(description="Only tasks of this handler")] = "",
    category: Annotated[str, Query(description="Only tasks with this metadata.category")] = "",
) -> Response:
    """Count the occurrences of enabled tasks within the next hours, at their scheduled times, whatever their jitter."""
    upcoming = await service.upcoming(hours=hours, handler=handler, category=category)
    return success(**await service.aside.compute(lambda: upcoming_json(upcoming)))


async def explain_task(
    service: Namespaced, name: str, *, at: At = None, start_time: From = None, end_time: To = None
) -> Response:
    """Explain what became of a task's occurrences: each beside its execution, or the reason that it has none."""
    with named_as_asked({"at_time": "at", "start_time": "from", "end_time": "to"}):
        explanation = await service.why(name, at=at, start_time=start_time, end_time=end_time)
    fields = await service.aside.compute(lambda: explanation_json(explanation, shown=execution_shown))
    return success(**fields)
