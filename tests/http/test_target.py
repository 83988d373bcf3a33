"""One decision, by the route that serves a request, says what the request may do."""

import httpx2
import pytest
from support.callers.raw_http import raw
from support.servers.live import Live

SPELLINGS = [
    "/__scheduled",
    "/__scheduled/",
    "/__scheduled//",
    "/__scheduled%0a",
    "/__scheduled%0A/",
    "/__scheduled%0d%0a",
    "/__scheduled%2f",
    "/%5f%5fscheduled",
    "//__scheduled",
    "/./__scheduled",
    "/%2e/__scheduled",
    "/x/../__scheduled",
    "/__scheduled;x",
    "/__scheduled%00",
    "/__SCHEDULED",
    "http://127.0.0.1/__scheduled",
    "http://evil.example/__scheduled%0a",
]
"""Ways to name the route whose GET runs tasks, and ways that are close to one."""
FORBIDDEN_OR_NOWHERE = (b"HTTP/1.1 400", b"HTTP/1.1 403", b"HTTP/1.1 404")
"""What a page of another site may be answered."""


async def registered(live: Live) -> None:
    """Have one task that any trigger of `* * * * *` runs."""
    await live.client.register_task(name="task", schedule="0 0 1 1 *", handler="steps")


async def runs(live: Live) -> int:
    """Return how often it was recorded."""
    return len((await live.client.list_executions()).executions)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PROPFIND"])
async def test_no_spelling_lets_another_site_run_tasks(inside: Live, method: str):
    """Whatever is answered: nothing ran."""
    await registered(inside)
    for spelling in SPELLINGS:
        target = f"{method} {spelling}?cron=*+*+*+*+* HTTP/1.1\r\n"
        head = "Host: localhost\r\nSec-Fetch-Site: cross-site\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        answer = await raw(inside, (target + head).encode())
        assert answer.startswith(FORBIDDEN_OR_NOWHERE if method == "GET" else b"HTTP/1.1 "), (spelling, answer)
        assert await runs(inside) == 0, spelling


async def test_no_header_changes_what_a_request_is_for(inside: Live):
    """A GET is a GET of its own path."""
    for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Original-URL", "X-Rewrite-URL"):
        said = f"{name}: {'/init' if name.endswith('URL') else 'POST'}"
        head = f"Host: localhost\r\nSec-Fetch-Site: cross-site\r\n{said}\r\nConnection: close\r\n\r\n"
        answer = await raw(inside, f"GET /tasks HTTP/1.1\r\n{head}".encode())
        assert answer.startswith(b"HTTP/1.1 200 "), name
        assert answer.endswith(b'{"success":true,"count":0,"tasks":[]}'), name


async def test_the_head_of_a_trigger_runs_nothing(inside: Live, caller: httpx2.AsyncClient):
    """Nor does it of a caller who might run it by GET."""
    await registered(inside)
    for path in ("/__scheduled", "/__scheduled/", "/__scheduled%0a"):
        await caller.head(f"{path}?cron=* * * * *")
        assert await runs(inside) == 0, path


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/health%0a"), ("POST", "/init%0a"), ("GET", "/tasks/x/history%0a"), ("POST", "/tasks/x/run%0a")],
)
def test_a_path_with_a_newline_behind_it_is_another_path(web: httpx2.Client, method: str, path: str):
    """404."""
    assert (web.request(method, path)).json() == {"success": False, "error": "Not found"}


async def test_a_probe_of_http_1_0_needs_no_host(inside: Live):
    """200: it is how HAProxy asks unless it is told more."""
    for asked in ("GET /health", "GET /health/", "HEAD /health", "OPTIONS /", "OPTIONS /health"):
        assert (await raw(inside, f"{asked} HTTP/1.0\r\n\r\n".encode())).startswith(b"HTTP/1.1 200 "), asked


async def test_everything_else_needs_a_host(inside: Live):
    """400: a caller must know a name of this server."""
    for head in (
        "GET /tasks HTTP/1.0\r\n",
        "GET / HTTP/1.0\r\n",
        "GET /metrics HTTP/1.0\r\n",
        "POST /init HTTP/1.0\r\n",
        "GET /health HTTP/1.1\r\n",
        "GET /health HTTP/1.0\r\nHost:\r\n",
        "GET /health HTTP/1.0\r\nHost: localhost\r\nHost: localhost\r\n",
    ):
        assert (await raw(inside, f"{head}\r\n".encode())).startswith(b"HTTP/1.1 400 "), head


async def test_a_probe_that_names_another_host_is_refused(inside: Live):
    """403: a page that had its name pointed here sends that name, in any version."""
    answer = await raw(inside, b"GET /health HTTP/1.0\r\nHost: evil.example\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 403 ")
