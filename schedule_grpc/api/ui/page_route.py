"""Routes of pages: what other routes refuse with JSON, these refuse with a page."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from schedule_grpc.api.http.target import ApiRoute
from schedule_grpc.api.ui.html import Html
from schedule_grpc.api.ui.kept_parts import answering
from schedule_grpc.api.ui.render import render
from schedule_grpc.api.ui.visit import DASHBOARD, PART, links_of, viewer_of

if TYPE_CHECKING:
    from schedule_grpc.api.ui.dashboard import Dashboard

UNAUTHENTICATED = 401
HEADINGS = {
    400: "This address cannot be read",
    403: "This needs another permission",
    404: "Not here",
    429: "Too many at once",
    500: "Something failed in the server",
    503: "The server cannot answer now",
}


class PageRoute(ApiRoute):
    """The route of a page."""

    is_page: ClassVar[bool] = True

    def refused(self, request: Request, refusal: Response) -> Response:
        """Return a refusal as a page that says the same; a stranger is led to the page where one logs in."""
        links = links_of(request)
        if refusal.status_code == UNAUTHENTICATED and PART not in request.headers:
            back = request.scope["path"].strip("/")
            query = request.scope["query_string"].decode("latin-1")
            return RedirectResponse(links.to("login", back=back + (f"?{query}" if query else "")), 303)
        told = _told(refusal)
        dashboard: Dashboard = getattr(request.app.state, DASHBOARD)
        content = render(
            "refused.html",
            part=request.headers.get(PART) == "main",
            title=HEADINGS.get(refusal.status_code, "This was refused"),
            here="",
            viewer=viewer_of(request, links.namespace or "default"),
            link=links,
            server=dashboard.shown,
            namespaces=(),
            numbers=None,
            health=(),
            seen="",
            now=dashboard.clock.now(),
            path=request.scope["path"],
            status=refusal.status_code,
            error=told.get("error", ""),
            details=told.get("details", ()),
            error_id=told.get("errorId", ""),
        )
        page = Html(content, refusal.status_code, policy=dashboard.policy).to(request)
        for name in ("retry-after", "www-authenticate", "connection"):
            if name in refusal.headers:
                page.headers[name] = refusal.headers[name]
        return page


def add_route(
    app: FastAPI, path: str, page: Callable[..., Any], *, method: str = "GET", kind: type[ApiRoute] = PageRoute
) -> None:
    """Add the route of a page, or of what pages need beside themselves, to an application."""
    app.router.add_api_route(
        path,
        answering(page),
        methods=[method],
        include_in_schema=False,
        response_class=Response,
        route_class_override=kind,
    )


def _told(refusal: Response) -> dict[str, Any]:
    """Return what a refusal in JSON says."""
    try:
        told = json.loads(bytes(refusal.body))
    except ValueError:
        return {}
    found = told if isinstance(told, dict) else {}
    details = found.get("details")
    return found | {"details": details if isinstance(details, list) else ()}
