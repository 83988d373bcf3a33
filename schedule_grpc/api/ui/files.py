"""Routes of what pages need beside themselves: static files, and the feed."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, FastAPI, Request
from starlette.responses import Response, StreamingResponse

from schedule_grpc.api.http.envelope import refusal
from schedule_grpc.api.http.namespaces import Namespaced
from schedule_grpc.api.http.target import ApiRoute, StreamRoute
from schedule_grpc.api.ui.assets import Assets
from schedule_grpc.api.ui.feed import Feed, Stream
from schedule_grpc.api.ui.html import POLICY
from schedule_grpc.api.ui.page_route import add_route
from schedule_grpc.api.ui.visit import FEED

FOREVER = "public, max-age=31536000, immutable"
"""The path of a file changes with its content."""


async def _joined(request: Request, service: Namespaced) -> AsyncIterator[Stream]:
    """Join the feed before the answer begins, so that one browser too many is refused, until the answer ends."""
    feed: Feed = getattr(request.app.state, FEED)
    with feed.joined(service.permit) as stream:
        yield stream


class FileRoutes:
    """The routes of static files and of the feed."""

    def __init__(self, assets: Assets) -> None:
        self._assets = assets

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

    async def feed(self, stream: Annotated[Stream, Depends(_joined)]) -> Response:
        """Stream ticks."""
        headers = {"x-accel-buffering": "no"}  # nginx, for one, would buffer some kilobytes
        return StreamingResponse(_ticks(stream), media_type="text/event-stream", headers=headers)


async def _ticks(stream: Stream) -> AsyncIterator[bytes]:
    yield b"retry: 1000\n\n"
    async for message in stream:
        yield message
