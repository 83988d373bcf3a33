"""What a page of another site, or a caller who means harm, can do: nothing."""

import httpx2
import pytest
from support.callers.raw_http import raw
from support.servers.live import Live

from schedule_grpc.api.http import connection, guard

CHANGES = [
    ("POST", "/init"),
    ("POST", "/tasks"),
    ("DELETE", "/tasks/x"),
    ("PATCH", "/tasks/x"),
    ("GET", "/__scheduled?cron=@daily"),
]


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil", "10.0.0.1", "[::2]:80", "x:1:2"]
)
def test_a_name_that_is_not_ours_is_refused(web: httpx2.Client, host: str):
    """A page that points its own name here (DNS rebinding) reads nothing."""
    for method, path in (("GET", "/tasks"), ("OPTIONS", "/tasks"), *CHANGES):
        answer = web.request(method, path, headers={"host": host})
        assert answer.status_code == 403
        assert "allowed_hosts" in answer.json()["error"]


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:80", "127.0.0.1", "127.0.0.1:9", "[::1]:80", "schedule.example:8787", "Schedule.Example."],
)
def test_a_name_of_ours_is_accepted(web: httpx2.Client, host: str):
    """This machine's always, others where they are allowed."""
    assert (web.get("/tasks", headers={"host": host})).status_code == 200


@pytest.mark.parametrize("hosts", [b"", b"Host:\r\n", b"Host: localhost\r\nHost: evil.example\r\n"])
async def test_a_request_without_a_host_or_with_two(inside: Live, hosts: bytes):
    """400: there is nothing to go by."""
    answer = await raw(inside, b"GET /tasks HTTP/1.1\r\n" + hosts + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.endswith(b'{"success":false,"error":"Host: is required, once"}')


@pytest.mark.parametrize(("method", "path"), CHANGES)
@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1.evil.example"},
        {"origin": "https://ops.example.evil"},
        {"origin": "http://[bad"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "same-origin", "origin": "https://evil.example"},
    ],
)
def test_another_site_changes_nothing(web: httpx2.Client, method: str, path: str, headers: dict):
    """403, before anything is read."""
    answer = web.request(method, path, headers=headers)
    assert answer.status_code == 403
    assert "allowed_origins" in answer.json()["error"]
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.keyless
def test_a_browser_that_does_not_say_which_page_asks_triggers_nothing(web: httpx2.Client):
    """Over plain HTTP, under another name than this machine's, browsers send neither Origin nor Sec-Fetch-Site."""
    browser = {"user-agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36"}
    answer = web.get("/__scheduled?cron=0 0 31 12 *", headers=browser)
    assert (answer.status_code, answer.json()["success"]) == (403, False)
    for headers in (browser | {"sec-fetch-site": "none"}, {"user-agent": "curl/8.5.0"}, {"user-agent": ""}):
        assert web.get("/__scheduled?cron=0 0 31 12 *", headers=headers).status_code == 200, headers
    assert web.post("/__scheduled?cron=0 0 31 12 *", headers=browser).status_code == 200
    assert web.get("/tasks", headers=browser).status_code == 200


def test_our_own_pages_and_those_that_are_allowed_may(web: httpx2.Client):
    """The documentation's page tries calls out; an operator's site is configured."""
    host = f"{web.base_url.host}:{web.base_url.port}"
    for headers in (
        {"origin": f"http://{host}"},
        {"sec-fetch-site": "same-origin"},
        {"origin": "https://ops.example"},
        {},
    ):
        assert (web.post("/init", headers=headers)).status_code == 200, headers


def test_cors_is_for_those_that_are_allowed(web: httpx2.Client):
    """A preflight and the call itself; nobody else gets a word of it."""
    asking = {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    preflight = web.options("/tasks", headers={"origin": "https://ops.example"} | asking)
    assert preflight.headers["access-control-allow-origin"] == "https://ops.example"
    assert preflight.headers["access-control-allow-methods"] == "GET, HEAD, OPTIONS, POST"
    assert preflight.headers["vary"] == "Origin"
    assert (web.get("/tasks", headers={"origin": "https://ops.example"})).headers["access-control-allow-origin"]
    stranger = web.options("/tasks", headers={"origin": "https://evil.example"} | asking)
    assert not [name for name in stranger.headers if name.startswith("access-control")]


@pytest.mark.parametrize("path", ["/tasks", "/nothing", "/docs", "/metrics", "/openapi.json"])
def test_every_answer_bears_the_headers(web: httpx2.Client, path: str):
    """No sniffing, no frames, no referrer, a policy, and no word about our software."""
    headers = (web.get(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "server" not in headers


async def test_who_sends_nothing_is_not_waited_for(inside: Live, monkeypatch):
    """From connecting, and from the first byte of a head, there are so many seconds."""
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.1)
    for started in (b"", b"GET /tasks HTTP/1.1\r\nHost: localhost\r\nX-Slow: "):
        assert await raw(inside, started) == b""


async def test_a_head_without_end_is_cut(inside: Live):
    """431 at 64 KiB."""
    answer = await raw(inside, b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X-More: y\r\n" * 10_000)
    assert answer.startswith(b"HTTP/1.1 431 ")


async def test_a_body_that_does_not_come_is_not_waited_for(inside: Live, monkeypatch):
    """408."""
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.1)
    head = b"POST /tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{"
    answer = await raw(inside, head)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"success":false' in answer


@pytest.mark.parametrize(
    "request_",
    [b"nonsense\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
)
async def test_what_is_no_http_is_turned_away(inside: Live, request_: bytes, monkeypatch):
    """TLS, HTTP/2, garbage: the connection ends, the server goes on."""
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.1)
    answer = await raw(inside, request_)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.endswith(b'\r\n\r\n{"success":false,"error":"The request cannot be read as HTTP"}')
    assert b" 200 " in (await raw(inside, b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")).partition(b"\r\n")[0]
