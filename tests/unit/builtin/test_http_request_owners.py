"""Secrets by owner: whose tasks may use one, where it may be sent, and that nothing else ever shows it."""

import base64
import html
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from support.rigs.builtin_handler import attempt, context
from support.servers.http_server import HttpServer, http_server, response

from schedule_grpc.builtin.http_request.handler import http_request
from schedule_grpc.builtin.http_request.settings import HttpSettings
from schedule_grpc.domain.execution import State
from schedule_grpc.domain.registration import Registration
from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.domain.task import define
from schedule_grpc.errors import ConfigurationError
from schedule_grpc.handlers import Fate
from schedule_grpc.testing import manual_service

HERE = "127.0.0.1"
NAMES = ("api.test", "other.test", "deep.api.test")
SECRET = "r3ports/s3cret+of&theirs"
REFERENCE = {"secret": "REPORTS", "prefix": "Bearer "}


async def resolve(_host: str, _port: int) -> list[str]:
    """Every name leads here."""
    return [HERE]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The secret's file."""
    path = tmp_path / "reports"
    path.write_text(SECRET + "\n")
    return path


@pytest.fixture
def settings(file: Path, monkeypatch: pytest.MonkeyPatch) -> HttpSettings:
    """A secret of the team reports for one host; every host here may be called."""
    monkeypatch.setenv("SCHEDULE_SECRET_SHARED", "shared-s3cret")
    (file.parent / "shared").write_text("shared-s3cret")
    return settings_of(file)


def settings_of(file: Path, **changes: Any) -> HttpSettings:
    """Return settings with one secret."""
    table = {"file": file, "hosts": ["api.test"], "namespaces": ["reports"]} | changes
    return HttpSettings(
        allow_private_hosts=[HERE, *NAMES],
        secrets={"REPORTS": table},  # type: ignore[dict-item]
        secrets_dir=file.parent,
        resolver=resolve,
    )


@pytest.fixture
async def origin() -> AsyncIterator[HttpServer]:
    """A server that is known by several names."""
    async with http_server() as running:
        running.answer("/", response(body=b"hello"))
        yield running


async def call(
    settings: HttpSettings,
    origin: HttpServer,
    *,
    host: str = "api.test",
    namespace: str = "reports",
    headers: dict[str, Any] | None = None,
    **payload: Any,
) -> Fate:
    """Return what becomes of an attempt of a namespace's task that calls a host with the secret."""
    whole = {"url": f"http://{host}:{origin.port}/", "headers": headers or {"Authorization": REFERENCE}} | payload
    return await attempt(http_request, context("http-request", whole, namespace=namespace, HTTP=settings))


# -- whose it is


async def test_a_task_of_its_namespace_sends_it(settings: HttpSettings, origin: HttpServer):
    """Behind its prefix, read from its file for each request."""
    assert (await call(settings, origin)).error is None
    assert [seen.headers["authorization"] for seen in origin.seen] == [f"Bearer {SECRET}"]


async def test_a_changed_file_is_used_at_once(settings: HttpSettings, origin: HttpServer, file: Path):
    """A rotated secret needs no restart."""
    await call(settings, origin)
    file.write_text("the-next-one")
    await call(settings, origin)
    assert origin.seen[-1].headers["authorization"] == "Bearer the-next-one"


@pytest.mark.parametrize("namespace", ["default", "billing", "reports2", "report"])
async def test_for_other_namespaces_there_is_none(namespace: str, settings: HttpSettings, origin: HttpServer):
    """The answer is that to a name which nobody has."""
    fate = await call(settings, origin, namespace=namespace)
    unknown = await call(settings, origin, namespace=namespace, headers={"Authorization": {"secret": "NOBODYS"}})
    assert fate.kind is FailureKind.REJECTED
    assert fate.error == (
        f"payload.headers.Authorization: the namespace {namespace} has no secret 'REPORTS' ([http_request.secrets])"
    )
    assert unknown.error == fate.error.replace("REPORTS", "NOBODYS")
    assert origin.seen == []


@pytest.mark.parametrize("reference", [{"env": "SCHEDULE_SECRET_SHARED"}, {"file": "shared"}, {"file": "reports"}])
async def test_variables_and_files_are_the_default_namespaces(
    reference: dict[str, str], settings: HttpSettings, origin: HttpServer
):
    """Other namespaces are told how to get a secret of their own."""
    assert (await call(settings, origin, namespace="default", headers={"x": reference})).error is None
    fate = await call(settings, origin, headers={"x": reference})
    assert fate.error is not None
    assert 'use {"secret": NAME}' in fate.error
    assert len(origin.seen) == 1


@pytest.mark.parametrize(
    "reference",
    [{"secret": "REPORTS", "env": "SCHEDULE_SECRET_SHARED"}, {"secret": "REPORTS", "file": "a"}, {"secret": 7}, {}],
)
async def test_a_reference_is_to_one_secret(reference: dict[str, Any], settings: HttpSettings, origin: HttpServer):
    """Not to two of them."""
    fate = await call(settings, origin, headers={"x": reference})
    assert fate.error is not None
    assert "is neither a text nor" in fate.error


async def test_the_namespace_is_the_one_of_the_task(settings: HttpSettings, origin: HttpServer):
    """From the registration to the handler, through a whole service: the same task of another namespace gets none."""
    payload = {"url": f"http://api.test:{origin.port}/", "headers": {"Authorization": REFERENCE}}
    async with manual_service(env={"HTTP": settings}) as schedule:
        await schedule.service.create_namespace("reports", handlers=["http-request"])
        ends = {}
        for namespace in ("reports", "default"):
            service = schedule.service.in_namespace(namespace)
            task = define(name="call", schedule="@yearly", handler="http-request", payload=payload, namespace=namespace)
            await service.register(Registration(definition=task))
            begun = await service.run_now("call", detach=True)
            await schedule.tick()
            ends[namespace] = await service.execution(begun.id)
    assert (ends["reports"].state, ends["default"].state) == (State.SUCCEEDED, State.FAILED)
    assert "the namespace default has no secret 'REPORTS'" in str(ends["default"].error)
    assert [seen.headers["authorization"] for seen in origin.seen] == [f"Bearer {SECRET}"]


# -- where it goes


@pytest.mark.parametrize("host", ["other.test", "deep.api.test", HERE])
async def test_it_is_sent_to_its_own_hosts_only(host: str, settings: HttpSettings, origin: HttpServer):
    """Although the task may call the others; nothing is sent at all. The error names the secret."""
    assert (await call(settings, origin, host=host, headers={"x": "1"})).error is None
    fate = await call(settings, origin, host=host)
    assert fate.kind is FailureKind.REJECTED
    assert fate.error == (
        f"GET http://{host}:{origin.port}/ must not be sent: the secret REPORTS of the header authorization is not for "
        f"{host}:{origin.port}: [http_request.secrets.REPORTS] hosts does not name it"
    )
    assert len(origin.seen) == 1


async def test_a_port_counts(file: Path, origin: HttpServer):
    """Where the settings name one."""
    assert (await call(settings_of(file, hosts=[f"api.test:{origin.port}"]), origin)).error is None
    assert (await call(settings_of(file, hosts=["api.test:443"]), origin)).error is not None
    assert (await call(settings_of(file, hosts=["*.test"]), origin, host="deep.api.test")).error is None


@pytest.mark.parametrize("status", [302, 307])
@pytest.mark.parametrize("header", ["Authorization", "User-Agent", "Accept", "Content-Type", "Accept-Language"])
@pytest.mark.parametrize("host", ["other.test", "deep.api.test"])
async def test_a_redirect_takes_it_nowhere_else(
    status: int, header: str, host: str, settings: HttpSettings, origin: HttpServer
):
    """In none of the headers that other origins are sent."""
    to = response(f"{status} Moved", location=f"http://{host}:{origin.port}/end")
    origin.answer("/", to)
    origin.answer("/end", response(body=b"end"))
    fate = await call(settings, origin, headers={header: REFERENCE}, max_redirects=1)
    assert fate.error is None
    assert SECRET in origin.seen[0].headers[header.lower()]
    assert SECRET not in str(origin.seen[1].headers)


async def test_a_redirect_to_its_own_host_takes_it_along(settings: HttpSettings, origin: HttpServer):
    """The origin is the same."""
    origin.answer("/", response("302 Moved", location="/end"))
    origin.answer("/end", response(body=b"end"))
    assert (await call(settings, origin, max_redirects=1)).error is None
    assert [SECRET in seen.headers["authorization"] for seen in origin.seen] == [True, True]


@pytest.mark.parametrize("hosts", [["*"], []])
def test_every_host_is_no_host(hosts: list[str], file: Path):
    """A secret without bounds would be sent wherever a task says."""
    with pytest.raises(ConfigurationError, match=r"http_request\.secrets\.REPORTS\.hosts: name the hosts"):
        settings_of(file, hosts=hosts)


async def test_hosts_are_allowed_by_namespace(file: Path, origin: HttpServer):
    """A namespace's own list holds in place of the general one; the others have that."""
    settings = HttpSettings(
        allow_private_hosts=["other.test"],
        namespaces={"reports": {"allow_hosts": [], "allow_private_hosts": ["api.test"]}},
        resolver=resolve,
    )
    headers = {"x": "1"}
    assert (await call(settings, origin, headers=headers)).error is None
    assert (await call(settings, origin, headers=headers, namespace="default", host="other.test")).error is None
    refused = await call(settings, origin, headers=headers, host="other.test")
    assert refused.error is not None
    assert "is not in [http_request.namespaces.reports] allow_hosts" in refused.error
    refused = await call(settings, origin, headers=headers, namespace="default")
    assert refused.error is not None
    assert "is not in [http_request] allow_hosts" in refused.error


# -- and nothing shows it

ECHOES = {
    "as it is": SECRET,
    "in capitals": SECRET.upper(),
    "for URLs": quote(SECRET, safe=""),
    "for URLs, twice": quote(quote(SECRET, safe=""), safe=""),
    "for HTML": html.escape(SECRET),
    "in JSON": json.dumps({"a": "".join(f"\\u{ord(each):04x}" for each in SECRET)}).replace("\\\\", "\\"),
    "in base64": base64.b64encode(f"Bearer {SECRET}".encode()).decode(),
    "in base64 for URLs": base64.urlsafe_b64encode(f"x{SECRET}".encode()).decode(),
    "in hexadecimal": SECRET.encode().hex(),
}


@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize("place", ["reason", "body", "location", "etag"])
@pytest.mark.parametrize("expected", ["2xx", "4xx"])
async def test_a_server_that_repeats_it_tells_nobody(
    echo: str, place: str, expected: str, settings: HttpSettings, origin: HttpServer
):
    """In the reason of a status, in the body, in headers; in an error, and in a result."""
    said = ECHOES[echo]
    origin.answer(
        "/",
        response(
            f"404 No {said if place == 'reason' else ''}",
            body=said.encode() if place == "body" else b"",
            **({place: said} if place in ("location", "etag") else {}),
        ),
    )
    fate = await call(settings, origin, expected_status=expected)
    told = f"{fate.result} {fate.error}"
    assert "404" in told
    for form in (*ECHOES.values(), SECRET, "r3ports", "cjNwb3J0cy9z"):
        assert form.lower() not in told.lower()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "the secret REPORTS: No such file or directory"),
        (b"", "the secret REPORTS is empty, or larger than 16384 bytes"),
        (b"x" * 16_385, "the secret REPORTS is empty, or larger than 16384 bytes"),
        (b"two\nlines", "its value has what no header may have"),
        ("ümlaut".encode(), "its value has what no header may have"),
        (b"\xff\xfe", "its value has what no header may have"),
    ],
)
async def test_an_error_names_it_and_not_its_value_or_place(
    content: bytes | None, reason: str, settings: HttpSettings, origin: HttpServer, file: Path
):
    """Nor the path of its file, which is the operator's."""
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    fate = await call(settings, origin)
    assert fate.kind is FailureKind.REJECTED
    assert fate.error is not None
    assert reason in fate.error
    assert str(file.parent) not in fate.error
    assert not any(part in fate.error for part in ("two", "lines", "mlaut"))
    assert origin.seen == []
