"""A secret that a server is given, sends, and gets back in many forms: where it is looked for afterwards, it is not."""

import asyncio
import base64
import html
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import httpx2
import pytest
from support.patience import AT_MOST, calling
from support.servers.http_server import HttpServer, http_server, response
from support.servers.launched import COMMAND, environment
from support.servers.process import served

OWNED, SHARED = "0wned/s3cret+marker&1", "5hared/s3cret+marker&2"
CONFIGURATION = """
[http_request]
allow_private_hosts = ["127.0.0.1"]
[http_request.secrets.REPORTS]
file = "reports"
hosts = ["127.0.0.1"]
namespaces = ["default"]
"""


def forms(secret: str) -> list[str]:
    """Return a secret as a server may repeat it."""
    data = secret.encode()
    return [secret, quote(secret, safe=""), html.escape(secret), json.dumps(secret)[1:-1], data.hex()]


def in_base64(secret: str) -> list[str]:
    """Return it in base64, behind nothing, one or two bytes."""
    return [base64.b64encode(b"x" * shift + secret.encode()).decode() for shift in range(3)]


ECHO = " ".join(form for secret in (OWNED, SHARED) for form in (*forms(secret), *in_base64(secret)))
MARKERS = [
    *(form for secret in (OWNED, SHARED) for form in (*forms(secret), secret.partition("/")[0])),
    *(form[4:-4] for secret in (OWNED, SHARED) for form in in_base64(secret)),
]


@pytest.fixture
async def echo() -> AsyncIterator[HttpServer]:
    """A server that repeats the secrets wherever it can."""
    async with http_server() as running:
        running.answer("/fails", response(f"400 No {ECHO}", body=ECHO.encode(), location=f"/{quote(ECHO)}", etag=ECHO))
        running.answer("/works", response(f"200 OK {ECHO}", body=ECHO.encode(), etag=ECHO))
        yield running


@pytest.mark.parametrize("log_format", ["console", "json"])
async def test_no_place_has_a_secret(log_format: str, tmp_path: Path, echo: HttpServer):
    """Logs at debug, the database and its log, answers of every kind, metrics, doctor, the command line."""
    (tmp_path / "schedule.toml").write_text(CONFIGURATION)
    (tmp_path / "reports").write_text(OWNED)
    options = ("--http", "127.0.0.1:0", "--log-level", "debug", "--log-format", log_format)
    async with served(tmp_path, *options, SCHEDULE_SECRET_SHARED=SHARED) as server:
        told = await told_of_both(server.address, echo)
        async with httpx2.AsyncClient(base_url=f"http://{server.http_address}", timeout=AT_MOST) as web:
            for path in ("/metrics", "/tasks", "/executions", "/health"):
                told.append((await web.get(path)).text)
        told.append(Path(f"/proc/{server.process.pid}/cmdline").read_text())
        variables = environment(SCHEDULE_SECRET_SHARED=SHARED, SCHEDULE_GRPC=server.address)
        doctor = await asyncio.create_subprocess_exec(
            *(COMMAND, "doctor"), cwd=tmp_path, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        told.append((await doctor.communicate())[0].decode())
        assert server.address in told[-1]
        _, errors = server.terminate()
    told.append(errors)
    assert all(OWNED in seen.headers["x-owned"] and SHARED in seen.headers["x-shared"] for seen in echo.seen)
    assert len(echo.seen) == 2
    assert "***" in "".join(told)  # what was repeated was stored, covered
    told += [path.read_bytes().decode("latin-1") for path in tmp_path.glob("schedule.db*")]
    everything = "\n".join(told).lower()
    assert [marker for marker in MARKERS if marker.lower() in everything] == []


async def told_of_both(address: str, echo: HttpServer) -> list[str]:
    """Return what a client is told of a run that fails and one that works."""
    told: list[str] = []
    async with calling(address) as client:
        for path in ("fails", "works"):
            payload = {
                "url": f"http://127.0.0.1:{echo.port}/{path}",
                "headers": {
                    "X-Owned": {"secret": "REPORTS", "prefix": "Bearer "},
                    "X-Shared": {"env": "SCHEDULE_SECRET_SHARED"},
                },
            }
            await client.register_task(name=path, schedule="@yearly", handler="http-request", payload=payload)
            told.append(repr(await client.run_task_now(path)))
            told.append(repr(await client.get_task(path)))
        told.append(repr(await client.list_executions()))
    return told
