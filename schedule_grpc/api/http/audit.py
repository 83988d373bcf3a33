"""The route of the audit log."""

from enum import Enum
from typing import Annotated

from fastapi import FastAPI, Query, Request

from schedule_grpc.api.http import shown
from schedule_grpc.api.http.bodies import Instant
from schedule_grpc.api.http.envelope import Answer, success
from schedule_grpc.api.http.namespaces import Namespaced, namespace_of
from schedule_grpc.api.http.routing import PageToken, described, page_of
from schedule_grpc.domain.access.audit import AuditFilter
from schedule_grpc.domain.paging import MAX_PAGE_SIZE
from schedule_grpc.formats.json_answers import audit_event_json

TAGS: list[str | Enum] = ["server"]
Rows = Annotated[int, Query(ge=1, description=f"Rows in the answer, at most; above {MAX_PAGE_SIZE}: {MAX_PAGE_SIZE}")]


def add_audit_route(app: FastAPI) -> None:
    """Add the route to an application."""
    app.get("/audit", tags=TAGS, responses=described(shown.AuditAnswer))(list_audit_events)


async def list_audit_events(
    request: Request,
    service: Namespaced,
    *,
    limit: Rows = 100,
    page_token: PageToken = "",
    principal: Annotated[str, Query(description="Only rows of this caller, such as key:reports-ci")] = "",
    method: Annotated[str, Query(description="Only rows of this rpc, such as DeleteTask")] = "",
    start_time: Annotated[Instant | None, Query(alias="startTime", description="Only rows from this time on")] = None,
    end_time: Annotated[Instant | None, Query(alias="endTime", description="Only rows before this time")] = None,
) -> Answer:
    """List the audit log, newest first: of one namespace, or of all for a caller with admin@*."""
    chosen = AuditFilter(
        namespace=namespace_of(request),
        principal=principal,
        method=method,
        start_time=start_time,
        end_time=end_time,
    )
    page = await service.audit_events(chosen, page_of(limit, page_token))
    events = [audit_event_json(each) for each in page.events]
    return success(count=len(events), events=events, nextPageToken=page.next_page_token or None)
