"""GET /docs: Swagger UI over /openapi.json, all of its files served by this server."""

from functools import partial
from importlib.util import find_spec
from pathlib import Path

from fastapi import FastAPI, Request
from starlette.responses import FileResponse, HTMLResponse, Response

from schedule_grpc.api.http.prefix import way_to_root

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
"""Swagger UI writes styles into its elements, and has its pictures in its style sheet."""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Schedule Service</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{root}docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="{root}docs/swagger-ui-bundle.js"></script>
<script src="{root}docs/start.js"></script>
</body>
</html>
"""
_START = """\
const description = new URL("../openapi.json", document.currentScript.src).href;
window.addEventListener("load", () => SwaggerUIBundle({
  url: description, dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null, queryConfigEnabled: false,
}));
"""
_FILES = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript"}


class DocsRoutes:
    """The routes of the page and its files."""

    def add_to(self, app: FastAPI) -> None:
        """Add the routes to an application."""
        app.get("/docs", include_in_schema=False)(self.page)
        app.get("/docs/start.js", include_in_schema=False)(self.start)
        for name, kind in _FILES.items():
            app.get(f"/docs/{name}", include_in_schema=False)(partial(_file, name, kind))

    async def page(self, request: Request) -> Response:
        """Return the page. Its addresses are relative: whatever prefix a proxy publishes the server below."""
        return HTMLResponse(_PAGE.format(root=way_to_root(request.scope)), headers={"content-security-policy": POLICY})

    async def start(self) -> Response:
        """Return the script that starts Swagger UI: a page without inline scripts can forbid them all."""
        return Response(_START, media_type="text/javascript")


async def _file(name: str, kind: str) -> Response:
    return FileResponse(_swagger_ui() / name, media_type=kind, headers={"cache-control": "max-age=3600"})


def _swagger_ui() -> Path:
    """Return the folder of the files. Their package is not imported: it would change FastAPI."""
    spec = find_spec("fastapi_swagger")
    if spec is None or spec.origin is None:
        raise AssertionError("fastapi-swagger is a dependency")
    return Path(spec.origin).parent / "resources"
