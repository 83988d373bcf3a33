"""/livez and /readyz: what supervisors ask by whatever address they know, without a name, a key or a place."""

from pathlib import Path

import httpx2
import pytest
from support.callers.raw_http import raw
from support.patience import AT_MOST
from support.servers.live import Live, serving

from schedule_grpc import app
from schedule_grpc.api.http import crowd
from schedule_grpc.runtime.clock import SystemClock
from schedule_grpc.settings.config import Settings

PROBES = ("/livez", "/readyz")
HOSTS = ("10.244.1.7:8787", "[fd00::7]:8787", "schedule", "schedule.jobs.svc.cluster.local:8787", "evil.example")
OK = b"HTTP/1.1 200 "


@pytest.mark.parametrize("path", PROBES)
async def test_they_answer_under_any_name(inside: Live, path: str):
    """A kubelet sends the pod's address as Host, which no allowed_hosts names; /health still wants a name it knows."""
    for host in HOSTS:
        for method in ("GET", "HEAD"):
            answer = await raw(inside, f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            assert answer.startswith(OK), (method, host)
            assert answer.endswith(b'{"status":"ok"}' if method == "GET" else b"\r\n\r\n")
        for other in ("/health", "/tasks"):
            refused = await raw(inside, f"GET {other} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            assert refused.startswith(b"HTTP/1.1 403 "), (other, host)
    assert (await raw(inside, f"GET {path} HTTP/1.0\r\n\r\n".encode())).startswith(OK)


@pytest.mark.parametrize("path", PROBES)
async def test_nothing_but_reading_them_is_open_under_any_name(inside: Live, path: str):
    """No other method, and no other spelling that leads elsewhere."""
    head = "Host: 10.244.1.7\r\nContent-Length: 0\r\n\r\n"
    for target, status in ((f"POST {path}", 403), (f"GET {path}/../tasks", 403), (f"GET {path}%0a", 403)):
        answer = await raw(inside, f"{target} HTTP/1.1\r\n{head}".encode())
        assert answer.startswith(f"HTTP/1.1 {status} ".encode()), target


async def test_they_answer_on_a_server_without_a_free_place(inside: Live, monkeypatch: pytest.MonkeyPatch):
    """Where everything else is refused, as the crowd's own test shows."""
    monkeypatch.setattr(crowd, "MOST_CONNECTIONS", 0)
    assert (await raw(inside, b"GET /tasks HTTP/1.1\r\nHost: localhost\r\n\r\n")).startswith(b"HTTP/1.1 503 ")
    for path in PROBES:
        assert (await raw(inside, f"GET {path} HTTP/1.1\r\nHost: 10.244.1.7\r\n\r\n".encode())).startswith(OK)


@pytest.mark.keyless
async def test_they_need_no_key(database: Path):
    """Nor does a wrong one matter, which every other route refuses."""
    async with serving(database, http="127.0.0.1:0", auth={"mode": "required"}) as live:
        base = f"http://{live.parts.http_address}"
        async with httpx2.AsyncClient(base_url=base, timeout=AT_MOST, trust_env=False) as client:
            for headers in ({}, {"authorization": "Bearer sgk_wrong"}):
                for path in PROBES:
                    answer = await client.get(path, headers=headers)
                    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
                assert (await client.get("/tasks", headers=headers)).status_code == 401


async def test_a_server_that_has_not_begun_is_not_ready(database: Path):
    """It lives. Migrations are done before it listens at all."""
    settings = Settings(database=f"sqlite:///{database}", grpc="127.0.0.1:0", http="127.0.0.1:0")
    async with (
        app.running(settings, clock=SystemClock()) as parts,
        httpx2.AsyncClient(base_url=f"http://{parts.http_address}", timeout=AT_MOST, trust_env=False) as web,
    ):
        answer = await web.get("/readyz")
        assert (await web.get("/livez")).status_code == 200
    assert (answer.status_code, answer.json()) == (
        503,
        {"status": "unready", "reasons": ["the server has not begun to work yet"]},
    )


async def test_a_stopping_server_lives_and_is_not_ready(inside: Live, caller: httpx2.AsyncClient):
    """And ends the connections of its callers, so that their next calls go elsewhere."""
    before = await caller.get("/readyz")
    inside.parts.service.drain()
    answer, lives = await caller.get("/readyz"), await caller.get("/livez")
    assert (answer.status_code, answer.json()["reasons"]) == (503, ["the server is stopping"])
    assert lives.status_code == 200
    assert "connection" not in before.headers
    assert (answer.headers["connection"], lives.headers["connection"]) == ("close", "close")
