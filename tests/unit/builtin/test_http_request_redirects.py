"""Redirects of http-request: none unless asked, each looked at again, and nothing secret goes to another origin."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.rigs.builtin_handler import attempt, context
from support.servers.http_server import HttpServer, http_server, response

from schedule_grpc.builtin.http_request.handler import http_request
from schedule_grpc.builtin.http_request.settings import HttpSettings
from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.handlers import Fate

HANDLER = "http-request"
TLS = Path(__file__).parents[2] / "clients" / "tls"
HERE = "127.0.0.1"
HEADERS = {
    "Authorization": {"env": "SCHEDULE_SECRET_TOKEN"},
    "Cookie": "session=1",
    "X-Api-Key": "key",
    "Accept": "text/plain",
    "Content-Type": "text/csv",
}


async def resolve(_host: str, _port: int) -> list[str]:
    """Every name leads here."""
    return [HERE]


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> HttpSettings:
    """Two names of this machine are allowed."""
    monkeypatch.setenv("SCHEDULE_SECRET_TOKEN", "secret")
    return HttpSettings(
        allow_private_hosts=[HERE, "other.test", "schedule.test"],
        allow_hosts=["rebound.test"],
        ca_file=TLS / "certificate.pem",
        resolver=resolve,
    )


@pytest.fixture
async def origin() -> AsyncIterator[HttpServer]:
    """A server whose /end is the end."""
    async with http_server() as running:
        running.answer("/end", response(body=b"end"))
        yield running


def to(location: str, status: int = 302) -> bytes:
    """Return a redirect."""
    return response(f"{status} Moved", body=b"elsewhere", location=location)


async def call(settings: HttpSettings, origin: HttpServer, **payload: Any) -> Fate:
    """Return what becomes of an attempt that calls the server."""
    whole = {"url": f"http://{HERE}:{origin.port}/begin", "max_redirects": 3} | payload
    return await attempt(http_request, context(HANDLER, whole, HTTP=settings))


async def test_none_is_followed_unless_asked(settings: HttpSettings, origin: HttpServer):
    """It is an answer like another, and none that was expected; or one that was."""
    origin.answer("/begin", to("/end"))
    fate = await call(settings, origin, max_redirects=0)
    assert fate.kind is FailureKind.REJECTED
    assert fate.error == (f"GET http://{HERE}:{origin.port}/begin answered 302 Moved (Location: /end): elsewhere")
    expected = await call(settings, origin, max_redirects=0, expected_status=302)
    assert (expected.kind, expected.result["headers"]["location"]) == (None, "/end")
    assert [seen.path for seen in origin.seen] == ["/begin", "/begin"]


async def test_they_are_followed_where_asked(settings: HttpSettings, origin: HttpServer):
    """Relative ones too, to the same origin with all headers; the result says where it ended."""
    origin.answer("/begin", to("down/next"))
    origin.answer("/down/next", to(f"http://{HERE}:{origin.port}/end?x=1#part"))
    fate = await call(settings, origin, headers=HEADERS)
    assert fate.result["body"] == "end"
    assert fate.result["url"] == f"http://{HERE}:{origin.port}/end"
    assert [seen.path for seen in origin.seen] == ["/begin", "/down/next", "/end?x=1"]
    for seen in origin.seen:
        assert seen.headers["authorization"] == "secret"
        assert seen.headers["idempotency-key"] == "exec_1"


@pytest.mark.parametrize(
    ("status", "method", "then", "body"),
    [
        (301, "POST", "GET", b""),
        (302, "PUT", "GET", b""),
        (303, "DELETE", "GET", b""),
        (307, "POST", "POST", b"x"),
        (308, "PATCH", "PATCH", b"x"),
    ],
)
async def test_what_becomes_of_the_method(
    settings: HttpSettings, origin: HttpServer, status: int, method: str, then: str, body: bytes
):
    """As browsers do: 307 and 308 keep it and the body, the others make a GET of it."""
    origin.answer("/begin", to("/end", status))
    assert (await call(settings, origin, method=method, body="x")).kind is None
    first, second = origin.seen
    assert (first.method, first.body) == (method, b"x")
    assert (second.method, second.body) == (then, body)
    assert ("content-type" in second.headers) is bool(body)


async def test_a_head_stays_one(settings: HttpSettings, origin: HttpServer):
    """It has no body to lose."""
    origin.answer("/begin", b"HTTP/1.1 303 Moved\r\nlocation: /end\r\ncontent-length: 0\r\n\r\n")
    assert (await call(settings, origin, method="HEAD")).kind is None
    assert [seen.method for seen in origin.seen] == ["HEAD", "HEAD"]


@pytest.mark.parametrize("other", ["name", "port"])
async def test_nothing_secret_goes_to_another_origin(settings: HttpSettings, origin: HttpServer, other: str):
    """Neither references nor texts; a header that came back to the first origin would not be there again."""
    async with http_server() as second:
        host = f"other.test:{origin.port}" if other == "name" else f"{HERE}:{second.port}"
        there = origin if other == "name" else second
        origin.answer("/begin", to(f"http://{host}/there", 307))
        there.answer("/there", to(f"http://{HERE}:{origin.port}/end", 307))
        fate = await call(settings, origin, method="POST", body="a,b", headers=HEADERS)
    assert fate.result["body"] == "end"
    [away] = [seen for seen in (*origin.seen, *second.seen) if seen.path == "/there"]
    [back] = [seen for seen in origin.seen if seen.path == "/end"]
    for seen in (away, back):
        assert not {"authorization", "cookie", "x-api-key"} & seen.headers.keys()
        assert seen.headers["accept"] == "text/plain"
        assert seen.headers["content-type"] == "text/csv"
    assert away.headers["host"] == host


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("http://169.254.169.254/latest/meta-data/", "169.254.169.254:80 is not in [http_request] allow_hosts"),
        ("http://elsewhere.test/", "elsewhere.test:80 is not in [http_request] allow_hosts"),
        ("http://rebound.test/", "rebound.test has the address 127.0.0.1, which is loopback, and that is not allowed"),
        (
            "http://0x7f.1/",
            "was redirected to a URL that has the host '0x7f.1', which is an address that is spelt oddly",
        ),
        ("//user@127.0.0.1/", "was redirected to a URL that has a user name or a password: use a header by reference"),
        ("file:///etc/passwd", "was redirected to a URL that is neither http:// nor https://"),
        ("http://x:y/", "was redirected to a URL that cannot be read: Invalid port: 'y'"),
    ],
)
async def test_each_is_looked_at_again(settings: HttpSettings, origin: HttpServer, location: str, reason: str):
    """A host that is allowed does not decide where else we go."""
    origin.answer("/begin", to(location))
    fate = await call(settings, origin)
    assert fate.kind is FailureKind.REJECTED
    assert fate.error == f"GET http://{HERE}:{origin.port}/begin {reason}"
    assert len(origin.seen) == 1


async def test_a_circle_ends(settings: HttpSettings, origin: HttpServer):
    """After as many as were asked for."""
    origin.answer("/begin", to("/begin"))
    fate = await call(settings, origin, max_redirects=2)
    assert fate.error == f"GET http://{HERE}:{origin.port}/begin was redirected more than 2 times"
    assert fate.kind is FailureKind.REJECTED
    assert len(origin.seen) == 3


async def test_out_of_tls_it_does_not_go(settings: HttpSettings, origin: HttpServer):
    """What was asked for in secret is not asked for in the open."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(TLS / "certificate.pem", TLS / "key.pem")
    async with http_server(tls=tls) as secure:
        secure.answer("/begin", to(f"http://{HERE}:{origin.port}/end"))
        fate = await call(settings, origin, url=f"https://schedule.test:{secure.port}/begin")
    assert fate.kind is FailureKind.REJECTED
    assert fate.error is not None
    assert fate.error.endswith(f"was redirected from https to http://{HERE}:{origin.port}/end")
    assert origin.seen == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"url": None}, "url: is missing"),
        ({"url": 1}, "url: is not a text"),
        ({"method": "CONNECT"}, "method: 'CONNECT' is none of GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE"),
        ({"method": "G ET"}, "method: 'G ET' is none of "),
        ({"method": 1}, "method: 1 is none of "),
        ({"body": "x"}, "body: GET has none: say which method takes it"),
        ({"headers": ["x"]}, "headers: is not an object of names and values"),
        ({"headers": {"a b": "x"}}, "headers.a b: is not a header's name, or is there twice"),
        ({"headers": {"a": "x", "A": "y"}}, "headers.A: is not a header's name, or is there twice"),
        ({"headers": {"Host": "x"}}, "headers.Host: is set by the service"),
        ({"headers": {"content-length": "1"}}, "headers.content-length: is set by the service"),
        ({"headers": {"Idempotency-Key": "x"}}, "headers.Idempotency-Key: is set by the service"),
        ({"headers": {"x": "a\r\nb: c"}}, "headers.x: its value has what no header may have"),
        ({"headers": {"x": "ä"}}, "headers.x: its value has what no header may have"),
        ({"headers": {"x": 1}}, "headers.x: is neither a text nor "),
        ({"headers": {"x": {}}}, "headers.x: is neither a text nor "),
        ({"headers": {"x": {"env": "SCHEDULE_SECRET_TOKEN", "file": "x"}}}, "headers.x: is neither a text nor "),
        ({"headers": {"x": {"env": "SCHEDULE_SECRET_TOKEN", "suffix": "x"}}}, "headers.x: is neither a text nor "),
        ({"headers": {"x": {"env": 1}}}, "headers.x: is neither a text nor "),
        ({"expected_status": []}, "expected_status: is empty: no answer would do"),
        ({"expected_status": 99}, "expected_status: 99 is neither a status such as 204 nor "),
        ({"expected_status": True}, "expected_status: True is neither a status such as 204 nor "),
        ({"expected_status": ["200", None]}, "expected_status: None is neither a status such as 204 nor "),
        ({"expected_status": 200.5}, "expected_status: 200.5 is neither a status such as 204 nor "),
        ({"timeout": "soon"}, "timeout: 'soon' is not a duration such as "),
        ({"timeout": True}, "timeout: True is not a duration such as 5s"),
        ({"timeout": 0}, "timeout: leaves no time at all"),
        ({"max_response_bytes": -1}, "max_response_bytes: -1 is not a whole number from 0 to 1048576"),
        ({"max_redirects": 11}, "max_redirects: 11 is not a whole number from 0 to 10"),
        ({"max_redirects": True}, "max_redirects: True is not a whole number from 0 to 10"),
        ({"follow": True}, "follow: there is no such field (method, url, headers, "),
    ],
)
async def test_a_payload_that_cannot_be_meant_is_not_retried(
    settings: HttpSettings, origin: HttpServer, changes: dict[str, Any], reason: str
):
    """It names the field and the reason, and sends nothing."""
    fate = await call(settings, origin, **changes)
    assert fate.kind is FailureKind.REJECTED
    assert fate.error is not None
    assert fate.error.startswith(f"payload.{reason}")
    assert origin.connections == 0
