"""The path below which a proxy publishes the server: taken off each request, so that nothing behind this knows it.

A proxy that strips its own prefix needs nothing of this: all addresses in answers are relative. One that hands paths on
as they came asks for ``/schedule/tasks``, which no route has.
"""

from collections.abc import Callable
from typing import TypeAlias

from starlette.types import ASGIApp, Receive, Scope, Send

from schedule_grpc.api.http.answering import Answering
from schedule_grpc.api.http.envelope import refusal
from schedule_grpc.api.http.rpcs import OF_HEALTH, RPCS

PREFIX = "path_prefix"
"""The key in a request's state; the prefix that was taken off its path."""
OF_THE_SERVER_ITSELF = frozenset(path for (_, path), rpc in RPCS.items() if rpc in OF_HEALTH)
"""Answered without the prefix too: kubelets, balancers and Prometheus ask by the server's own address."""

Answered: TypeAlias = Callable[[str, str, int], None]
"""Called with each call's method, route and status."""


class BelowPrefix:
    """An ASGI application that hands on what is asked for below its prefix, and answers 404 to the rest."""

    def __init__(self, app: ASGIApp, prefix: str, answered: Answered) -> None:
        """Take the application that answers.

        Args:
            app: Answers what is asked for below the prefix, as if there were none.
            prefix: Such as ``/ops/schedule``; the settings have checked it.
            answered: Called with the method, the route and the status of each call that is answered 404 here.
        """
        self._app = app
        self._prefix = prefix
        self._raw_prefix = prefix.encode("ascii")
        self._answered = answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path: str = scope["path"]
        raw_path: bytes = scope.get("raw_path") or path.encode()
        if _is_below(self._raw_prefix, raw_path):
            stripped = {
                "path": path.removeprefix(self._prefix) or "/",
                "raw_path": raw_path.removeprefix(self._raw_prefix) or b"/",
                "state": {**scope["state"], PREFIX: self._prefix},
            }
            await self._app({**scope, **stripped}, receive, send)
        elif (path.rstrip("/") or "/") in OF_THE_SERVER_ITSELF:
            await self._app(scope, receive, send)
        else:
            answer = refusal(404, f"Not found: this server is below {self._prefix} ([http] path_prefix)")
            await answer(scope, receive, Answering(send).send)
            self._answered(scope["method"], "other", answer.status_code)


def _is_below(prefix: bytes, raw_path: bytes) -> bool:
    """Tell whether a path, as the caller wrote it, begins with a prefix.

    The prefix has nothing that needs encoding, so a path that spells it in another way is not the proxy's.
    """
    return raw_path == prefix or raw_path.startswith(prefix + b"/")


def prefix_of(scope: Scope) -> str:
    """Return the prefix that was taken off a request's path; empty: none was."""
    prefix: str = scope["state"].get(PREFIX, "")
    return prefix


def way_to_root(scope: Scope) -> str:
    """Return the relative address of the server's root, from the page at a request's path.

    ``raw_path`` is the path as the caller sent it, with its trailing slash and with ``%2F`` undecoded: as the browser
    counts segments.
    """
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    return "../" * (path.count(b"/") - 1) or "./"
