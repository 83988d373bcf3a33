"""One request for a page: who looks, at what, and the answer that it gets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Request

from schedule_grpc.access.current import current_call
from schedule_grpc.api.http.namespaces import HEADER, PARAMETER, Namespaced
from schedule_grpc.api.ui.dashboard import Dashboard
from schedule_grpc.api.ui.grpcurl import command
from schedule_grpc.api.ui.html import Html
from schedule_grpc.api.ui.links import Links
from schedule_grpc.api.ui.render import render
from schedule_grpc.api.ui.viewer import Viewer
from schedule_grpc.api.ui.views.now import numbers_of
from schedule_grpc.service import Service

PART = "x-part"
"""The request header of a script that wants the page's main part only."""
DASHBOARD = "dashboard"
"""The attribute of the application's state that holds the `Dashboard`."""
FEED = "feed"
"""The attribute of the application's state that holds the `Feed`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Visit:
    """A request for a page, as its route sees it."""

    request: Request
    service: Service
    viewer: Viewer
    links: Links
    dashboard: Dashboard
    seen: str
    """The mark of the feed before anything was read for the page."""

    @property
    def now(self) -> datetime:
        """The server's time."""
        return self.service.clock.now()

    @property
    def health(self) -> Sequence[str]:
        """Why the server is not healthy, if the viewer may know."""
        return tuple(self.dashboard.troubles()) if self.viewer.operates else ()

    async def page(self, template: str, *, title: str, here: str, status: int = 200, **values: Any) -> Html:
        """Return a page, or its main part if the request asks for that.

        Args:
            template: The file of the template.
            title: The page's title and heading.
            here: The page's entry in the navigation.
            status: The status of the answer.
            values: What the template shows; ``rpc``: the rpc and the fields of its request that show the same.
        """
        if "rpc" in values:
            values["grpcurl"] = self._grpcurl(*values.pop("rpc"))
        part = self.request.headers.get(PART) == "main"
        namespaces = () if part else await self.dashboard.namespaces_for(self.service, self.viewer)
        numbers = None if part else numbers_of(await self.service.summary())
        content = render(
            template,
            part=part,
            title=title,
            here=here,
            viewer=self.viewer,
            link=self.links,
            server=self.dashboard.shown,
            namespaces=namespaces,
            numbers=numbers,
            health=self.health,
            seen=self.seen,
            now=self.now,
            path=self.request.scope["path"],
            **values,
        )
        return Html(content, status, policy=self.dashboard.policy)

    def _grpcurl(self, rpc: str, request: Mapping[str, Any]) -> str:
        return command(
            rpc if "/" in rpc else f"schedule.v1.ScheduleService/{rpc}",
            request,
            bound=self.dashboard.grpc,
            host=self.request.url.hostname or "",
            namespace="" if "/" in rpc else self.links.namespace,
            has_key=self.viewer.caller.is_identified,
        )


def viewer_of(request: Request, namespace: str) -> Viewer:
    """Return who looks at a page: the one place that decides it."""
    dashboard: Dashboard = getattr(request.app.state, DASHBOARD)
    return Viewer(
        caller=current_call().caller,
        namespace=namespace,
        changes=dashboard.changes,
        has_session=dashboard.sessions.has_met(request.headers.getlist("cookie")),
    )


def links_of(request: Request) -> Links:
    """Return the links of the page that a request asks for."""
    dashboard: Dashboard = getattr(request.app.state, DASHBOARD)
    asked = request.query_params.get(PARAMETER) or request.headers.get(HEADER) or ""
    return Links.of(request.scope, namespace=asked, version=dashboard.assets.version)


async def _visit(request: Request, service: Namespaced) -> Visit:
    return Visit(
        request=request,
        service=service,
        viewer=viewer_of(request, service.namespace),
        links=links_of(request),
        dashboard=getattr(request.app.state, DASHBOARD),
        seen=getattr(request.app.state, FEED).mark,
    )


Visited = Annotated[Visit, Depends(_visit)]
"""The request for a page, as FastAPI hands it to the page's function."""
