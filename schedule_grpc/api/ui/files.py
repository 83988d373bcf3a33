"""Routes of what pages need beside themselves: static files, and the feed."""

from collections.abc import AsyncIterator, Sequence
from typing import Annotated

from fastapi import Depends, FastAPI, Request
from starlette.responses import Response, StreamingResponse

from schedule_grpc.api.http.envelope import refusal
from schedule_grpc.api.http.namespaces import Namespaced
from schedule_grpc.api.http.target import ApiRoute, StreamRoute
from schedule_grpc.api.ui.dashboard import Dashboard
from schedule_grpc.api.ui.feed import Feed, Stream
from schedule_grpc.api.ui.html import POLICY
from schedule_grpc.api.ui.page_route import add_route
from schedule_grpc.api.ui.visit import FEED
from schedule_grpc.errors import Unavailable

FOREVER = "public, max-age=31536000, immutable"
"""The path of a file changes with its content."""
SESSION_ASKED_EVERY = 10.0
"""Seconds after which a stream asks whether its session goes on: the gate, which ends streams, knows keys only."""


async def _joined(request: Request, service: Namespaced) -> AsyncIterator[Stream]:
    """Join the feed before the answer begins, so that one browser too many is refused, until the answer ends."""
    feed: Feed = getattr(request.app.state, FEED)
    with feed.joined(service.permit) as stream:
        yield stream


class FileRoutes:
    """The routes of static files and of the feed."""

    def __init__(self, dashboard: Dashboard) -> None:
        self._assets = dashboard.assets
        self._sessions = dashboard.sessions
        self._clock = dashboard.clock

    def add_to(self, app: FastAPI) -> None:
        """Add the routes to an application."""
        add_route(app, "/ui/static/{version}/{name}", self.file, kind=ApiRoute)
        add_route(app, "/ui/feed", self.feed, kind=StreamRoute)

    async def file(self, request: Request, version: str, name: str) -> Response:
        """Return a static file, of this version only: a page of another version waits for its own server."""
        asset = self._assets.files.get(name)
        if asset is None or version != self._assets.version:
            return refusal(404, "Not found")
        # A worker obeys the policy that its own script came with, not that of the page.
        headers = {"cache-control": FOREVER, "vary": "accept-encoding", "content-security-policy": POLICY}
        if "gzip" in request.headers.get("accept-encoding", ""):
            packed = {"content-encoding": "gzip"}
            return Response(asset.packed, media_type=asset.kind, headers=headers | packed)
        return Response(asset.content, media_type=asset.kind, headers=headers)

    async def feed(self, request: Request, stream: Annotated[Stream, Depends(_joined)]) -> Response:
        """Stream ticks, while the session lasts by which the browser came."""
        headers = {"x-accel-buffering": "no"}  # nginx, for one, would buffer some kilobytes
        return StreamingResponse(self._ticks(request, stream), media_type="text/event-stream", headers=headers)

    async def _ticks(self, request: Request, stream: Stream) -> AsyncIterator[bytes]:
        yield b"retry: 1000\n\n"
        cookies = request.headers.getlist("cookie")
        is_of_session = "authorization" not in request.headers and self._sessions.has_met(cookies)
        asked_at = self._clock.monotonic()
        async for message in stream:
            if is_of_session and self._clock.monotonic() >= asked_at + SESSION_ASKED_EVERY:
                asked_at = self._clock.monotonic()
                if await self._is_logged_out(cookies):
                    return
            yield message

    async def _is_logged_out(self, cookies: Sequence[str]) -> bool:
        """Return whether the session that cookies named is over; one that cannot be read now may go on."""
        try:
            return await self._sessions.session_in(cookies) is None
        except Unavailable:
            return False
