"""The spans of HTTP requests, by OpenTelemetry's conventions: https://opentelemetry.io/docs/specs/semconv/http/."""

from collections.abc import Callable
from typing import Any, TypeAlias

from starlette.types import ASGIApp, Receive, Scope, Send

from schedule_grpc.access.rules import PAGES
from schedule_grpc.api.call_spans import is_traced
from schedule_grpc.api.http.rpcs import OF_HEALTH, RPCS
from schedule_grpc.tracing import Tracer, present_span

Answered: TypeAlias = Callable[[str, str, int], None]
"""Called with each call's method, route and status."""
_UNTRACED = frozenset(path for (_, path), rpc in RPCS.items() if rpc in OF_HEALTH or rpc == PAGES)
"""Asked by probes, by Prometheus and by browsers, many times an hour."""
_FIRST_FAULT = 500


class Traced:
    """An ASGI application whose requests are spans of their callers' traces."""

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        """Take the application that answers."""
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        path = scope["path"]
        if path in _UNTRACED or (path.startswith("/schedule.v1.") and not is_traced(path)):
            await self._app(scope, receive, send)
            return
        headers = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
        attributes: dict[str, Any] = {"http.request.method": scope["method"], "url.scheme": scope["scheme"]}
        with self._tracer.call(scope["method"], headers, attributes):
            await self._app(scope, receive, send)


def noting_route(answered: Answered) -> Answered:
    """Return what counts a request as ``answered`` does, and notes its route and status in its span.

    The path itself is not noted: it holds names that callers choose.
    """

    def noted(method: str, route: str, status: int) -> None:
        answered(method, route, status)
        span = present_span()
        if span is not None:
            span.rename(f"{method} {route}")
            span.note({"http.route": route, "http.response.status_code": status})
            if status >= _FIRST_FAULT:
                span.fail(str(status))

    return noted
