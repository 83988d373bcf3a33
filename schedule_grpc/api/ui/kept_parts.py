"""Main parts of pages, kept for a second: twenty tabs that hear the same tick of the feed cost one rendering.

A tab names the tick after which it asks. A part that was asked for after this tick shows all that the tick told of, so
it answers every tab of the same viewer that names the same tick. A request that names no tick, as one after the
viewer's own change, is answered anew.
"""

from collections.abc import Awaitable, Callable, Hashable
from functools import wraps
from inspect import signature
from typing import Any

from starlette.responses import Response

from schedule_grpc.api.http.namespaces import HEADER
from schedule_grpc.api.ui.html import Html
from schedule_grpc.api.ui.visit import PART, Visit

TICK = "x-tick"
"""The request header with the tick that the page follows: the epoch and the version of the feed."""
LONGEST_TICK = 40

Page = Callable[..., Awaitable[Response]]


def answering(page: Page) -> Page:
    """Return the function of a route that answers with a page: its main part may be one that is kept."""
    if "visit" not in signature(page).parameters:
        return page

    @wraps(page)
    async def answer(visit: Visit, **asked: Any) -> Response:
        key = key_of(visit)
        if key is None:
            made = await page(visit, **asked)
        else:
            made = await visit.dashboard.parts.get(key, lambda: page(visit, **asked))
        return made.to(visit.request) if isinstance(made, Html) else made

    return answer


def key_of(visit: Visit) -> Hashable | None:
    """Return all that a kept part depends on; None: the request is not answered with one.

    Viewers share a part only if they are the same caller with the same grants in the same namespace.
    """
    request = visit.request
    tick = request.headers.get(TICK, "")
    if request.headers.get(PART) != "main" or not visit.seen or not 0 < len(tick) <= LONGEST_TICK:
        return None
    path = request.scope.get("raw_path") or request.scope["path"].encode()  # its slashes make the relative addresses
    return path, request.scope["query_string"], request.headers.get(HEADER, ""), visit.viewer.identity, tick
