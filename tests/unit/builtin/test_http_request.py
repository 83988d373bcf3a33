"""http-request against real servers: what it sends, what it tells, what it takes for a failure."""

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.rigs.builtin_handler import NOW, attempt, context
from support.servers.http_server import HttpServer, http_server, response

from schedule_grpc.builtin.http_request.handler import http_request
from schedule_grpc.builtin.http_request.settings import HttpSettings
from schedule_grpc.domain.canonical_json import encode
from schedule_grpc.domain.execution import MAX_TEXT_BYTES
from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.handlers import Fate
from schedule_grpc.testing import FakeClock

HANDLER = "http-request"
SECRET = 'tok"en-0123456789'


@pytest.fixture
async def origin() -> AsyncIterator[HttpServer]:
    """A server on this machine."""
    async with http_server() as running:
        running.answer("/", response(body=b"done"))
        yield running


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HttpSettings:
    """This machine is allowed, with a folder of secrets and a secret variable."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / "token").write_text(f"{SECRET}\n")
    monkeypatch.setenv("SCHEDULE_SECRET_TOKEN", SECRET)
    monkeypatch.setenv("DATABASE_PASSWORD", "hidden")
    return HttpSettings(allow_private_hosts=["127.0.0.1"], secrets_dir=folder)


async def call(settings: HttpSettings, origin: HttpServer, path: str = "/", **payload: Any) -> Fate:
    """Return what becomes of an attempt that calls a path."""
    whole = {"url": f"http://127.0.0.1:{origin.port}{path}"} | payload
    return await attempt(http_request, context(HANDLER, whole, HTTP=settings))


async def test_the_result_tells_the_answer(settings: HttpSettings, origin: HttpServer):
    """Status, some headers, the body, how long it took; what is not said is a GET that expects 2xx."""
    body = b'{"ok": true, "n": [1, 2.0]}'
    origin.answer("/x", response(body=body, content_type="application/json; charset=utf-8", etag="1", set_cookie="a=b"))
    fate = await call(settings, origin, "/x?token=1")
    assert fate.kind is None
    assert fate.result == {
        "success": True,
        "status": 200,
        "headers": {"content-type": "application/json; charset=utf-8", "etag": "1"},
        "body": {"ok": True, "n": [1, 2]},
        "truncated": False,
        "duration": 0,
        "message": f"GET http://127.0.0.1:{origin.port}/x answered 200",
    }
    [seen] = origin.seen
    assert (seen.method, seen.path, seen.body) == ("GET", "/x?token=1", b"")
    assert seen.headers == {
        "host": f"127.0.0.1:{origin.port}",
        "accept": "*/*",
        "accept-encoding": "identity",
        "user-agent": "schedule-grpc",
        "idempotency-key": "exec_1",
        "x-schedule-execution": "exec_1",
        "x-schedule-scheduled-time": "2026-01-31T10:00:00Z",
    }


@pytest.mark.parametrize(
    ("body", "sent", "content_type"),
    [
        ("täxt", "täxt".encode(), "text/plain; charset=utf-8"),
        ({"ä": [1, None]}, '{"ä":[1,null]}'.encode(), "application/json"),
        (0, b"0", "application/json"),
        ([], b"[]", "application/json"),
    ],
)
async def test_a_body(settings: HttpSettings, origin: HttpServer, body: Any, sent: bytes, content_type: str):
    """A text goes as it is, anything else as JSON, with its length and its type."""
    assert (await call(settings, origin, method="post", body=body)).kind is None
    [seen] = origin.seen
    assert (seen.method, seen.body) == ("POST", sent)
    assert seen.headers["content-type"] == content_type
    assert seen.headers["content-length"] == str(len(sent))


async def test_headers_of_the_payload(settings: HttpSettings, origin: HttpServer):
    """Its own type and agent win; a secret is put behind its prefix, its line break left out."""
    headers = {
        "Content-Type": "application/xml",
        "user-agent": "mine",
        "Authorization": {"env": "SCHEDULE_SECRET_TOKEN", "prefix": "Bearer "},
        "X-Key": {"file": "token"},
    }
    assert (await call(settings, origin, method="PUT", body="<x/>", headers=headers)).kind is None
    [seen] = origin.seen
    assert seen.headers["content-type"] == "application/xml"
    assert seen.headers["user-agent"] == "mine"
    assert seen.headers["authorization"] == f"Bearer {SECRET}"
    assert seen.headers["x-key"] == SECRET


async def test_a_secret_that_the_server_repeats_is_covered(settings: HttpSettings, origin: HttpServer):
    """In the body, as JSON too, in headers, in errors, and where the end of what is kept cuts it in two."""
    echo = json.dumps({"you": f"sent {SECRET}"}).encode()
    origin.answer("/", response(body=echo, content_type="application/json", etag=SECRET))
    origin.answer("/plain", response(body=f"{SECRET} {SECRET}".encode()))
    origin.answer("/fail", response("400 Bad", body=f"bad {SECRET}".encode()))
    headers = {"x-key": {"env": "SCHEDULE_SECRET_TOKEN"}}
    told = await call(settings, origin, headers=headers)
    assert told.result["body"] == {"you": "sent ***"}
    assert told.result["headers"]["etag"] == "***"
    cut = await call(settings, origin, "/plain", headers=headers, max_response_bytes=len(SECRET) + 9)
    assert (cut.result["body"], cut.result["truncated"]) == ("*** ***", True)
    failed = await call(settings, origin, "/fail", headers=headers)
    assert failed.error is not None
    assert failed.error.endswith(" answered 400 Bad: bad ***")


async def test_what_is_too_short_to_be_a_secret_is_not_covered(
    settings: HttpSettings, origin: HttpServer, monkeypatch: pytest.MonkeyPatch
):
    """It would be found all over an answer."""
    monkeypatch.setenv("SCHEDULE_SECRET_TENANT", "1")
    origin.answer("/", response(body=b'{"n": 11}', content_type="application/json"))
    fate = await call(settings, origin, headers={"x-tenant": {"env": "SCHEDULE_SECRET_TENANT"}})
    assert fate.result["body"] == {"n": 11}


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ({"env": "DATABASE_PASSWORD"}, "the variable 'DATABASE_PASSWORD' does not begin with SCHEDULE_SECRET_"),
        ({"env": "SCHEDULE_SECRET_NONE"}, "the variable SCHEDULE_SECRET_NONE is not set"),
        ({"file": "../outside"}, "the file '../outside' is outside of the folder for secrets"),
        ({"file": "/etc/hostname"}, "the file '/etc/hostname' is outside of the folder for secrets"),
        ({"file": "link"}, "the file 'link' is outside of the folder for secrets"),
        ({"file": "a\0b"}, "the file 'a\\x00b' is outside of the folder for secrets"),
        ({"file": "none"}, "the file 'none': No such file or directory"),
        ({"file": "."}, "the file '.': Is a directory"),
        ({"file": "empty"}, "the file 'empty' is empty, or larger than 16384 bytes"),
        ({"file": "huge"}, "the file 'huge' is empty, or larger than 16384 bytes"),
    ],
)
async def test_a_payload_reads_no_other_secret(
    settings: HttpSettings, origin: HttpServer, tmp_path: Path, reference: dict[str, str], reason: str
):
    """Neither any variable nor any file; and nothing is sent."""
    (tmp_path / "outside").write_text("hidden")
    (tmp_path / "secrets" / "link").symlink_to(tmp_path / "outside")
    (tmp_path / "secrets" / "empty").write_text("\n")
    (tmp_path / "secrets" / "huge").write_text("x" * 20_000)
    fate = await call(settings, origin, headers={"Authorization": reference})
    assert (fate.kind, fate.error) == (FailureKind.REJECTED, f"payload.headers.Authorization: {reason}")
    assert origin.connections == 0


async def test_files_need_a_folder(origin: HttpServer):
    """Without one no file is a secret."""
    fate = await call(HttpSettings(allow_private_hosts=["127.0.0.1"]), origin, headers={"x": {"file": "/etc/hostname"}})
    assert fate.error == "payload.headers.x: no folder for secrets is configured ([http_request] secrets_dir)"


async def test_a_link_within_the_folder_is_followed(settings: HttpSettings, origin: HttpServer, tmp_path: Path):
    """Kubernetes mounts secrets so."""
    (tmp_path / "secrets" / "linked").symlink_to("token")
    assert (await call(settings, origin, headers={"x": {"file": "linked"}})).kind is None
    assert origin.seen[0].headers["x"] == SECRET


@pytest.mark.parametrize(
    ("expected", "status", "success"),
    [
        ("2xx", 204, True),
        ("2xx", 304, False),
        (404, 404, True),
        (404, 200, False),
        ([200, "404-410"], 409, True),
        ([200, "404-410"], 411, False),
        (["1xx", "5xx"], 503, True),
    ],
)
async def test_the_status_that_is_expected(
    settings: HttpSettings, origin: HttpServer, expected: Any, status: int, success: bool
):
    """A status, a range, hundreds, or a list of them."""
    origin.answer("/", response(f"{status} X"))
    assert ((await call(settings, origin, expected_status=expected)).kind is None) is success


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422, 302])
async def test_what_is_the_request_s_fault_is_not_retried(settings: HttpSettings, origin: HttpServer, status: int):
    """The error has the status and the beginning of the answer."""
    origin.answer("/", response(f"{status} No Luck", body=b"because"))
    fate = await call(settings, origin)
    assert fate.kind is FailureKind.REJECTED
    assert fate.error == f"GET http://127.0.0.1:{origin.port}/ answered {status} No Luck: because"


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_what_may_pass_is_retried(settings: HttpSettings, origin: HttpServer, status: int):
    """The error says when the server wants to be asked again; the answer is kept too."""
    origin.answer("/", response(f"{status} Busy", body=b"later", retry_after="120"))
    fate = await call(settings, origin)
    assert fate.kind is FailureKind.ERROR
    assert fate.error == f"GET http://127.0.0.1:{origin.port}/ answered {status} Busy (Retry-After: 120): later"
    assert (fate.result["status"], fate.result["body"]) == (status, "later")
    assert fate.result["headers"] == {"retry-after": "120"}


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (b"", "RemoteProtocolError Server disconnected without sending a response."),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", "RemoteProtocolError "),
        (b"what?\r\n\r\n", "RemoteProtocolError "),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nhalf", "DecodingError "),
    ],
)
async def test_a_broken_answer_is_retried(settings: HttpSettings, origin: HttpServer, reply: bytes, words: str):
    """None, half of one, none of HTTP's, or not compressed as it says."""
    origin.answer("/", reply)
    fate = await call(settings, origin)
    assert fate.kind is FailureKind.ERROR
    assert fate.error is not None
    assert fate.error.startswith(f"GET http://127.0.0.1:{origin.port}/: {words}")


async def test_a_port_where_nobody_listens_is_retried(settings: HttpSettings):
    """The network's own words."""
    async with http_server() as gone:
        pass
    fate = await call(settings, gone)
    assert fate.kind is FailureKind.ERROR
    assert fate.error == f"GET http://127.0.0.1:{gone.port}/: ConnectError All connection attempts failed"


@pytest.mark.parametrize(("timeout", "waited"), [("2.5s", 2.5), (3, 3), ("1h", 60), (None, 60)])
async def test_no_answer_in_time(settings: HttpSettings, origin: HttpServer, timeout: Any, waited: float):
    """After the payload's timeout, at the attempt's deadline at the latest; the connection is closed, not left."""
    came, closed = asyncio.Event(), asyncio.Event()

    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhal")
        came.set()
        assert await reader.read() == b""
        closed.set()

    origin.answer("/", silence)
    clock = FakeClock(NOW)
    payload = {"url": f"http://127.0.0.1:{origin.port}/"} | ({} if timeout is None else {"timeout": timeout})
    running = asyncio.create_task(http_request(context(HANDLER, payload, clock=clock, HTTP=settings)))
    await came.wait()
    await clock.advance(waited - 0.1)
    assert not running.done()
    await clock.advance(0.1)
    result = await running
    assert result["success"] is False
    shown = f"{waited:.2f}s" if waited < 60 else "1.00m"
    assert result["error"] == f"GET {payload['url']} was not answered in {shown}"
    await asyncio.wait_for(closed.wait(), 10)


async def test_cancelled_while_it_waits(settings: HttpSettings, origin: HttpServer):
    """The connection is closed at once."""
    came, closed = asyncio.Event(), asyncio.Event()

    async def silence(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        came.set()
        assert await reader.read() == b""
        closed.set()

    origin.answer("/", silence)
    payload = {"url": f"http://127.0.0.1:{origin.port}/"}
    running = asyncio.create_task(http_request(context(HANDLER, payload, HTTP=settings)))
    await came.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await asyncio.wait_for(closed.wait(), 10)


@pytest.mark.parametrize(
    ("body", "content_type", "kept"),
    [
        (b"", "application/json", None),
        (b"{not json", "application/json", "{not json"),
        (b"NaN", "application/json", "NaN"),
        (b"[" * 40 + b"]" * 40, "application/json", "[" * 40 + "]" * 40),
        (b"[" * 30_000, "application/json", "[" * 30_000),
        (b'{"a": 1}', "application/problem+json", {"a": 1}),
        (b'{"a": 1}', "text/plain", '{"a": 1}'),
        ("ä".encode("latin-1"), "text/plain; charset=ISO-8859-1", "ä"),
        (b"\xff\xfe", "text/plain", "��"),
        (b"x", "text/plain; charset=nonsense", "x"),
        (b"x", "text/plain; charset=idna\0", "x"),
        (b"aGk=", "text/plain; charset=base64", "aGk="),
    ],
)
async def test_how_a_body_is_kept(
    settings: HttpSettings, origin: HttpServer, body: bytes, content_type: str, kept: Any
):
    """JSON as what it says, where it can be kept as that; anything else as text, whatever it claims to be."""
    origin.answer("/", response(body=body, content_type=content_type.replace("\0", "")))
    fate = await call(settings, origin)
    assert fate.result["body"] == kept
    assert fate.result["truncated"] is False


async def test_a_large_answer_is_cut(settings: HttpSettings, origin: HttpServer):
    """No more is read than is kept; JSON that is cut is none any more."""
    origin.answer("/", response(body=json.dumps(["x" * 100] * 100).encode(), content_type="application/json"))
    fate = await call(settings, origin, max_response_bytes=50)
    assert fate.result["body"] == '["' + "x" * 48
    assert fate.result["truncated"] is True


@pytest.mark.parametrize(
    "body", [b"x" * 200_000, b'"\\' * 40_000, bytes(range(1, 32)) * 3000, "ä€😀".encode() * 20_000]
)
async def test_a_result_is_never_too_large_to_be_kept(settings: HttpSettings, origin: HttpServer, body: bytes):
    """Status and headers stay, whatever the body would be in JSON."""
    origin.answer("/", response(body=body, content_type="text/plain"))
    fate = await call(settings, origin, max_response_bytes=1_000_000)
    assert fate.result["status"] == 200
    assert fate.result["truncated"] is True
    assert 0.9 * MAX_TEXT_BYTES < len(encode(fate.result).encode()) <= MAX_TEXT_BYTES


async def test_a_json_answer_that_is_too_large_is_kept_as_text(settings: HttpSettings, origin: HttpServer):
    """Its beginning."""
    origin.answer("/", response(body=json.dumps([["x"]] * 15_000).encode(), content_type="application/json"))
    fate = await call(settings, origin, max_response_bytes=1_000_000)
    assert fate.result["body"].startswith('[["x"],["x"]')
    assert fate.result["truncated"] is True


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_a_bomb_is_not_unpacked(settings: HttpSettings, origin: HttpServer, encoding: str, pack: Any):
    """A server compresses though it was not asked to, 100 MB into 100 kB: what is kept is unpacked, and no more."""
    origin.answer("/", response(body=pack(bytes(100_000_000)), content_encoding=encoding))
    origin.answer("/small", response(body=pack(b"small"), content_encoding=encoding))
    assert (await call(settings, origin, "/small")).result["body"] == "small"
    fate = await call(settings, origin, max_response_bytes=1000)
    assert fate.result["body"] == "\0" * 1000
    assert fate.result["truncated"] is True


async def test_chunks_and_an_answer_without_a_length(settings: HttpSettings, origin: HttpServer):
    """All that HTTP/1.1 has, informational answers included."""
    origin.answer("/chunks", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n")
    origin.answer("/open", b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\nabc")
    for path in ("/chunks", "/open"):
        assert (await call(settings, origin, path)).result["body"] == "abc"
    assert (await call(settings, origin, method="HEAD")).result["body"] is None


async def test_proxies_of_the_environment_are_not_asked(
    settings: HttpSettings, origin: HttpServer, monkeypatch: pytest.MonkeyPatch
):
    """They would be asked to go where we must not, and told our secrets."""
    async with http_server() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert (await call(settings, origin)).kind is None
        assert proxy.connections == 0


async def test_a_manual_run_has_no_scheduled_time(settings: HttpSettings, origin: HttpServer):
    """The header is left out."""
    ctx = context(HANDLER, {"url": f"http://127.0.0.1:{origin.port}/"}, HTTP=settings, scheduled_time=None)
    assert (await http_request(ctx))["success"]
    assert "x-schedule-scheduled-time" not in origin.seen[0].headers
