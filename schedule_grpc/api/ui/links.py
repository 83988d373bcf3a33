"""Relative addresses of pages, routes and files, so that any path prefix works without being configured.

A proxy that publishes the server below ``/ops/schedule/`` strips that prefix, or the server does; a browser resolves a
relative address against the path that it knows. So a page counts the segments of its own path, and climbs that many.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from starlette.types import Scope

from schedule_grpc.api.http.prefix import way_to_root

PAGES = "ui"
"""The first segment of the path of every page."""
STATIC = "static"


@dataclass(frozen=True, kw_only=True, slots=True)
class Links:
    """The addresses that one page links to."""

    root: str
    """The way from the page up to the root of the server."""
    namespace: str = ""
    """The namespace that the page's own address names, which every link keeps; empty: it names none."""
    version: str = ""
    """The version of the static files, a segment of their path."""

    @classmethod
    def of(cls, scope: Scope, *, namespace: str = "", version: str = "") -> "Links":
        """Return the links of the page at a request's path."""
        return cls(root=way_to_root(scope), namespace=namespace, version=version)

    def to(self, *segments: str, **query: object) -> str:
        """Return the address of a page, such as ``to("tasks", name, after=token)``; empty parameters are left out."""
        return self._address((PAGES, *segments), query)

    def api(self, *segments: str, **query: object) -> str:
        """Return the address of a route of JSON."""
        return self._address(segments, query)

    def static(self, name: str) -> str:
        """Return the address of a static file."""
        return f"{self.root}{PAGES}/{STATIC}/{self.version}/{name}"

    def _address(self, segments: tuple[str, ...], query: Mapping[str, object]) -> str:
        path = self.root + "/".join(quote(segment, safe="") for segment in segments)
        return path + _written({**query, "namespace": self.namespace})


def _written(query: Mapping[str, Any]) -> str:
    present = {name.rstrip("_"): value for name, value in query.items() if value not in (None, "")}
    return f"?{urlencode(present)}" if present else ""
