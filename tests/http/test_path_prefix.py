"""A server below a prefix that its proxy does not strip: everything is there, nothing is beside it but probes."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from support.callers.raw_http import raw
from support.patience import AT_MOST
from support.servers.live import Live, serving

from schedule_grpc.access.session_cookie import SessionCookie
from schedule_grpc.errors import ConfigurationError
from schedule_grpc.settings.config import load

PREFIX = "/ops/schedule"
OPS = "https://ops.example"


@pytest.fixture
async def below(database: Path) -> AsyncIterator[Live]:
    """A server below the prefix."""
    http = {"address": "127.0.0.1:0", "path_prefix": PREFIX, "allowed_origins": [OPS]}
    async with serving(database, http=http) as live:
        yield live


@pytest.fixture
async def web(below: Live) -> AsyncIterator[httpx2.AsyncClient]:
    """A caller that asks for paths as the proxy hands them on."""
    base = f"http://{below.parts.http_address}"
    async with httpx2.AsyncClient(base_url=base, timeout=AT_MOST, trust_env=False) as client:
        yield client


async def test_every_interface_is_below_it(web: httpx2.AsyncClient):
    """JSON, Connect, documentation, pages, events, with and without a trailing slash."""
    task = {"name": "task", "schedule": "@manual", "handler": "report"}
    assert (await web.post(f"{PREFIX}/tasks", json=task)).status_code == 200
    assert (await web.get(f"{PREFIX}/tasks/task/")).json()["task"]["name"] == "task"
    called = await web.post(f"{PREFIX}/schedule.v1.ScheduleService/GetTask", json={"name": "task"})
    assert called.json()["name"] == "task"
    for path in ("", "/", "/health", "/metrics", "/livez", "/docs", "/ui", "/ui/", "/ui/tasks/task"):
        assert (await web.get(PREFIX + path)).status_code == 200, path
    for path in ("/events", "/ui/feed"):
        async with web.stream("GET", PREFIX + path) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream"), path
    preflight = await web.options(f"{PREFIX}/tasks", headers={"origin": OPS, "access-control-request-method": "POST"})
    assert preflight.headers["access-control-allow-origin"] == OPS


async def test_what_is_beside_it_is_not_found(below: Live, web: httpx2.AsyncClient):
    """Whatever the path, spelled however; the answer bears the headers of every answer, and is counted."""
    beside = ["/", "/tasks", "/ui", "/ops", "/ops/schedules/tasks", "/OPS/schedule/tasks", "/other/health", "/docs"]
    for path in beside:
        answer = await web.get(path)
        assert (answer.status_code, answer.json()["success"]) == (404, False), path
        assert answer.headers["x-frame-options"] == "DENY"
    for target in ("/ops%2Fschedule/tasks", "/ops/%73chedule/tasks", "//ops/schedule/tasks", "/ops/schedule%2Ftasks"):
        answer = await raw(below, f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 404 "), target
    assert (await web.post("/tasks", json={"name": "x"})).status_code == 404
    text = (await web.get("/metrics")).text
    assert 'method="POST",route="other",status="404"' in text


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/health", "/metrics"])
async def test_probes_need_no_prefix(web: httpx2.AsyncClient, path: str):
    """They come by the server's own address; the probes of pods under any name."""
    assert (await web.get(path)).status_code == 200
    assert (await web.head(path)).status_code == 200
    assert (await web.get(path, headers={"host": "10.1.1.1"})).status_code == (200 if path.endswith("z") else 403)


async def test_the_root_leads_a_browser_to_the_pages(web: httpx2.AsyncClient):
    """Also where it is asked for without its slash: a relative address would leave the prefix there."""
    for root in (PREFIX, f"{PREFIX}/"):
        led = await web.get(root, headers={"accept": "text/html"})
        assert (led.status_code, led.headers["location"]) == (303, f"{PREFIX}/ui")
        assert (await web.get(root)).json()["service"] == "schedule"


async def test_the_description_says_where_the_routes_are(web: httpx2.AsyncClient):
    """Swagger UI and generated clients put it before each path."""
    assert (await web.get(f"{PREFIX}/openapi.json")).json()["servers"] == [{"url": PREFIX}]


def test_servers_on_one_host_have_cookies_of_their_own():
    """By its path without TLS, by its name with it: `__Host-` is for every path; neither ends the other's session."""
    text = "a" * 43
    one, other, alone = SessionCookie("/one"), SessionCookie("/other"), SessionCookie()
    assert one.written(text, secure=True, seconds=1).startswith(f"__Host-schedule.one={text}; Path=/; ")
    assert one.written(text, secure=False, seconds=1).startswith(f"schedule-session.one={text}; Path=/one; ")
    assert alone.written(text, secure=False, seconds=1).startswith(f"schedule-session={text}; Path=/; ")
    for secure in (True, False):
        cookies = [each.written(text, secure=secure, seconds=1).partition(";")[0] for each in (one, other, alone)]
        assert list(one.digests(["; ".join(cookies)])) == [one.digest(text, secure=secure)]


@pytest.mark.parametrize(
    ("prefix", "fault"),
    [
        ("schedule", "does not begin with a slash"),
        ("https://ops.example/schedule", "does not begin with a slash"),
        ("/", "ends with a slash"),
        ("/schedule/", "ends with a slash"),
        ("//schedule", "has an empty segment"),
        ("/a//b", "has an empty segment"),
        ("/a/../b", "has a segment of dots"),
        ("/.", "has a segment of dots"),
        ("/a b", "has a character"),
        ("/a%20b", "has a character"),
        ("/ä", "has a character"),
        ("/a;b", "has a character"),
        ("/a?b", "has a character"),
        ("/a\nb", "has a character"),
    ],
)
def test_a_prefix_that_is_none_is_refused(prefix: str, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """With what is wrong about it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCHEDULE_HTTP__PATH_PREFIX", prefix)
    with pytest.raises(ConfigurationError, match=rf"\ASCHEDULE_HTTP__PATH_PREFIX: .* {fault}[^\n]*as /schedule"):
        load({})


@pytest.mark.parametrize("prefix", ["", "/schedule", "/ops/schedule-2", "/v1.0/~ops", "/..."])
def test_a_prefix_is_taken(prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """From the file, too."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "schedule.toml").write_text(f'[http]\npath_prefix = "{prefix}"\n')
    assert load({}).http.path_prefix == prefix
