"""Logging in with a key, and out: a browser's session instead of a key in a script's hands.

A browser sends the cookie of a session only with requests of our own pages (SameSite=Strict). So who follows a link of
another site, as of a mail that is read in a browser, comes as a stranger although there is a session. Such a browser is
first shown a page that asks for the login again by itself: that request is one of a page of ours, and has the cookie.
"""

from typing import Annotated

from fastapi import FastAPI, Query, Request
from msgspec import structs
from pydantic import Field
from starlette.datastructures import Headers
from starlette.responses import RedirectResponse, Response

from schedule_grpc.access.authenticator import Mode
from schedule_grpc.access.gate import NOBODY, Gate
from schedule_grpc.access.rules import ACCESS
from schedule_grpc.api.http.bodies import Body
from schedule_grpc.api.http.connection import credentials_of
from schedule_grpc.api.http.envelope import refusal, success
from schedule_grpc.api.http.target import ApiRoute
from schedule_grpc.api.ui.dashboard import Dashboard
from schedule_grpc.api.ui.html import Html
from schedule_grpc.api.ui.page_route import add_route
from schedule_grpc.api.ui.render import render
from schedule_grpc.api.ui.viewer import Viewer
from schedule_grpc.api.ui.visit import links_of
from schedule_grpc.domain.access.namespace import DEFAULT_NAMESPACE
from schedule_grpc.errors import Unauthenticated

LONGEST_KEY = 512


class SessionRoute(ApiRoute):
    """A route that begins or ends a browser's session, and changes nothing else."""

    of_session = True


class LoginBody(Body):
    """The key with which somebody logs in."""

    key: str = Field(min_length=1, max_length=LONGEST_KEY)


class LoginRoutes:
    """The page where one logs in, and the calls that it makes."""

    def __init__(self, dashboard: Dashboard) -> None:
        self._dashboard = dashboard

    def add_to(self, app: FastAPI) -> None:
        """Add the routes to an application."""
        add_route(app, "/ui/login", self.page)
        add_route(app, "/ui/login", self.log_in, method="POST", kind=SessionRoute)
        add_route(app, "/ui/logout", self.log_out, method="POST", kind=SessionRoute)

    async def page(
        self,
        request: Request,
        back: Annotated[str, Query()] = "",
        namespace: Annotated[str, Query()] = "",
        *,
        again: Annotated[bool, Query()] = False,
    ) -> Response:
        """Return the page that asks for a key, or lead on where there is a session, or no key is asked for.

        Args:
            request: The request.
            back: The page to go on to.
            namespace: The namespace that it shows.
            again: Whether a page of ours asks. It is asked for once, whatever browsers say of that: there is no loop.

        Raises:
            Unavailable: if the session cannot be read.
        """
        links, back = links_of(request), _page_of_ours(back)
        gate = self._dashboard.gate
        if gate is None or gate.mode is Mode.OFF:
            return RedirectResponse(links.to(), 303)
        if again and await self._has_session(gate, request):
            return RedirectResponse(links.root + back, 303)
        if not again and _follows_link_of_another_site(request.headers):
            onward = render("onward.html", link=links, to=links.to("login", back=back, again="true"))
            return Html(onward, policy=self._dashboard.policy).to(request)
        content = render(
            "login.html",
            part=False,
            title="Log in",
            here="",
            viewer=Viewer(caller=NOBODY, namespace=namespace or DEFAULT_NAMESPACE),
            link=links,
            server=self._dashboard.shown,
            namespaces=(),
            numbers=None,
            health=(),
            seen="",
            now=self._dashboard.clock.now(),
            path=request.scope["path"],
            back=back,
        )
        return Html(content, policy=self._dashboard.policy).to(request)

    async def log_in(self, request: Request, body: LoginBody) -> Response:
        """Begin a session of a key's owner.

        Raises:
            Unauthenticated: if the text is no key that is accepted.
            DatabaseUnavailable: if the session cannot be written.
        """
        gate = self._dashboard.gate
        if gate is None or gate.mode is Mode.OFF:
            return refusal(400, "This server asks nobody for a key")
        shown = credentials_of(request.scope, request.headers)
        by_key = type(shown)(authorization=[f"Bearer {body.key}"], peer=shown.peer, agent=shown.agent)
        _, proven = await gate.admit(ACCESS + "WhoAmI", by_key)
        if not proven.key_digest:
            return refusal(400, "Only a key of this service can begin a session")
        answered = success(message="Logged in", caller=proven.caller.name)
        secure = self._is_secure(request)
        answered.headers["set-cookie"] = await self._dashboard.sessions.begin(proven.key_digest, secure=secure)
        return answered

    async def log_out(self, request: Request) -> Response:
        """End the browser's session.

        Raises:
            DatabaseUnavailable: if the database does not answer: the session may go on.
        """
        answered = success(message="Logged out")
        cookies, secure = request.headers.getlist("cookie"), self._is_secure(request)
        answered.headers["set-cookie"] = await self._dashboard.sessions.end(cookies, secure=secure)
        return answered

    async def _has_session(self, gate: Gate, request: Request) -> bool:
        """Return whether pages will take the session that a request's cookies name: its key is asked, as there."""
        session = await self._dashboard.sessions.session_in(request.headers.getlist("cookie"))
        if session is None:
            return False
        shown = credentials_of(request.scope, request.headers)
        try:
            await gate.admit(ACCESS + "WhoAmI", structs.replace(shown, authorization=(), key_digest=session.key_digest))
        except Unauthenticated:
            return False
        return True

    def _is_secure(self, request: Request) -> bool:
        return self._dashboard.secure or request.scope["scheme"] == "https"


def _page_of_ours(back: str) -> str:
    """Return the path of one of our pages to go on to; another text leads to the first page.

    A path with ``%`` could climb to another program on the host, for browsers read ``%2e%2e`` as two dots.
    """
    path, _, _ = back.partition("?")
    ours = back == "ui" or back.startswith(("ui/", "ui?"))
    return back if ours and "%" not in path and not any(each in back for each in ("//", "\\", "..")) else "ui"


def _follows_link_of_another_site(headers: Headers) -> bool:
    """Return whether a browser goes to a page because a page of another site led it there, in a tab of its own.

    Browsers say so to servers by TLS and on their own machine: https://www.w3.org/TR/fetch-metadata/. In a frame of
    another site no request has the cookie.
    """
    return headers.get("sec-fetch-site") == "cross-site" and headers.get("sec-fetch-dest") == "document"
