"""What HTTP itself asks for: every answer in the same envelope, whatever was asked."""

import json
from typing import Any

import httpx2
import pytest
from support.servers.live import Live

from schedule_grpc.api.http import tasks

JSON = {"content-type": "application/json"}


def refused(answer: httpx2.Response, status: int) -> dict[str, Any]:
    """Return the envelope of a refusal."""
    told: dict[str, Any] = answer.json()
    assert (answer.status_code, told["success"], answer.headers["content-type"]) == (status, False, "application/json")
    return told


@pytest.mark.parametrize("path", ["/nothing", "/tasks/a/b", "/tasks//x", "/docs/nothing.js", "/tasks/a/run/b", "/%00"])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_an_unknown_path(web: httpx2.Client, method: str, path: str):
    """404."""
    assert refused(web.request(method, path), 404)["error"] == "Not found"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/tasks", "GET, HEAD, OPTIONS, POST"),
        ("DELETE", "/tasks", "GET, HEAD, OPTIONS, POST"),
        ("GET", "/init", "OPTIONS, POST"),
        ("HEAD", "/init", "OPTIONS, POST"),
        ("POST", "/health", "GET, HEAD, OPTIONS"),
        ("POST", "/tasks/x", "DELETE, GET, HEAD, OPTIONS, PATCH"),
        ("PROPFIND", "/tasks", "GET, HEAD, OPTIONS, POST"),
    ],
)
def test_a_wrong_method(web: httpx2.Client, method: str, path: str, allowed: str):
    """405, and which are right."""
    answer = web.request(method, path)
    assert (answer.status_code, answer.headers.get("allow")) == (405, allowed)
    if method != "HEAD":
        assert refused(answer, 405)["error"] == "Method not allowed"


def test_options(web: httpx2.Client):
    """Tells the methods, in the envelope and in Allow."""
    answer = web.options("/tasks/x")
    assert answer.json() == {"success": True, "methods": ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH"]}
    assert answer.headers["allow"] == "DELETE, GET, HEAD, OPTIONS, PATCH"


@pytest.mark.parametrize(
    "path", ["/", "/health", "/tasks", "/handlers", "/openapi.json", "/docs", "/metrics", "/tasks/x"]
)
def test_head_is_get_without_the_body(web: httpx2.Client, path: str):
    """The same status and type."""
    head, get = web.head(path), web.get(path)
    assert (head.status_code, head.headers["content-type"], head.content) == (
        get.status_code,
        get.headers["content-type"],
        b"",
    )


def test_the_head_of_the_event_stream_ends(web: httpx2.Client):
    """It waits for no event."""
    assert web.head("/events").status_code == 200


@pytest.mark.parametrize("path", ["/tasks/", "/health/", "/tasks//"])
def test_trailing_slashes_do_not_matter(web: httpx2.Client, path: str):
    """No redirect: the answer itself."""
    assert web.get(path).status_code == 200


def test_an_unknown_question_is_refused(web: httpx2.Client):
    """A typo must not wait, or run, in silence; what is known is listed."""
    told = refused(web.post("/tasks/x/run?wiat=false"), 400)
    assert told["error"] == "wiat: is unknown here (known: namespace, wait)"
    assert refused(web.get("/tasks?pageSize=1&pageSize=2"), 400)["error"] == "pageSize: is given twice"
    assert refused(web.get("/health?x=1"), 400)["error"] == "x: is unknown here (nothing is asked here)"


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "text/json"]
)
def test_a_wrong_content_type(web: httpx2.Client, kind: str):
    """415: it is what a form of another site could send."""
    answer = web.post("/tasks", content=b'{"name": "x"}', headers={"content-type": kind})
    assert refused(answer, 415)["error"] == "Content-Type: must be application/json"


@pytest.mark.parametrize(
    "kind", ["application/json", "application/json; charset=utf-8", "application/merge+json", None]
)
def test_a_right_content_type(web: httpx2.Client, name: str, kind: str | None):
    """JSON by any of its names, or none."""
    body = json.dumps({"name": name, "schedule": "@manual", "handler": "steps"}).encode()
    answer = web.post("/tasks", content=body, headers={} if kind is None else {"content-type": kind})
    assert answer.status_code == 200


@pytest.mark.parametrize("body", [b" ", b"{", b"nonsense", b"\xff\xfe", b'{"a":1}{', b"[" * 80_000, b'{"a": ' * 50_000])
def test_unreadable_json(web: httpx2.Client, body: bytes):
    """400, however deep it is."""
    assert refused(web.post("/tasks", content=body, headers=JSON), 400)["error"] == "The body cannot be read as JSON"


@pytest.mark.parametrize("body", [b"[]", b"null", b"1", b'"x"', b"true"])
def test_json_that_is_no_object(web: httpx2.Client, body: bytes):
    """400, naming the body."""
    assert refused(web.post("/tasks", content=body, headers=JSON), 400)["error"] == "body: should be a JSON object"


def test_a_body_that_is_too_large(web: httpx2.Client):
    """413, by its length or, where that is not told, as it comes."""
    assert "larger than 1048576 bytes" in refused(web.post("/tasks", content=b"x" * 1_048_577), 413)["error"]
    assert (
        "larger than 1048576 bytes"
        in refused(web.post("/tasks", content=(b"x" * 65536 for _ in range(17))), 413)["error"]
    )


def test_the_largest_body_is_read(web: httpx2.Client):
    """1 MiB to the byte; what is in it is refused by its own limit."""
    body = json.dumps({"name": "x", "schedule": "@manual", "handler": "steps", "payload": {"x": ""}}).encode()
    whole = body.replace(b'"x": ""', b'"x": "' + b"y" * (1_048_576 - len(body)) + b'"')
    assert len(whole) == 1_048_576
    told = refused(web.post("/tasks", content=whole, headers=JSON), 400)
    assert told["details"][0]["field"] == "payload"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"schedule": "@daily", "handler": "steps"}, "name"),
        ({"name": 3, "schedule": "@daily", "handler": "steps"}, "name"),
        ({"name": "a b", "schedule": "@daily", "handler": "steps"}, "name"),
        ({"name": "x", "schedule": "@daily", "handler": "steps", "enabled": "yes"}, "enabled"),
        ({"name": "x", "schedule": "@daily", "handler": "steps", "payload": []}, "payload"),
        ({"name": "x", "schedule": "@daily", "handler": "steps", "shedule": 1}, "shedule"),
        ({"name": "x", "schedule": "@daily", "handler": "steps", "timeZone": "Mars/Base"}, "timeZone"),
        ({"name": "x", "schedule": "@daily", "handler": "steps", "policy": {"timeoutMs": 5}}, "policy.timeoutMs"),
        ({"name": "x", "schedule": "@daily", "handler": "steps", "policy": {"timeoutMs": True}}, "policy.timeoutMs"),
        ({"name": "x", "schedule": "@daily", "handler": "steps", "policy": {"overlap": "skipp"}}, "policy.overlap"),
        (
            {"name": "x", "schedule": "@daily", "handler": "steps", "policy": {"retry": {"maxRetries": 101}}},
            "policy.retry.maxRetries",
        ),
        (
            {"name": "x", "schedule": "@daily", "handler": "steps", "policy": {"window": {"startTime": "soon"}}},
            "policy.window.startTime",
        ),
    ],
)
def test_a_field_that_is_wrong_is_named(web: httpx2.Client, body: dict, field: str):
    """As the caller wrote it, and nothing is registered."""
    told = refused(web.post("/tasks", json=body), 400)
    assert [each["field"] for each in told["details"]] == [field]
    assert web.get("/tasks/x").status_code == 404


def test_numbers_that_are_none(web: httpx2.Client, name: str):
    """NaN and infinity are no JSON, though some write them."""
    body = f'{{"name": "{name}", "schedule": "@manual", "handler": "steps", "payload": {{"x": NaN}}}}'
    told = refused(web.post("/tasks", content=body.encode(), headers=JSON), 400)
    assert "payload" in told["error"]


async def test_a_fault_of_ours_tells_an_id_and_nothing_else(inside: Live, caller: httpx2.AsyncClient, monkeypatch):
    """500 for an exception, and for one that would end the process; the text stays in the log."""
    for error in (ValueError("SELECT secret"), SystemExit(3)):

        async def failing(_, error: BaseException = error):
            raise error

        monkeypatch.setattr(inside.parts.service, "get_task", failing)
        answer = await caller.get("/tasks/x")
        told = answer.json()
        assert (answer.status_code, told["error"], set(told)) == (
            500,
            "Internal server error",
            {"success", "error", "errorId"},
        )
    assert (await caller.get("/health")).status_code == 200


async def test_a_draining_server_says_so(inside: Live, caller: httpx2.AsyncClient):
    """503 for runs, with a word on when to try again, and in the envelope; health is degraded."""
    inside.parts.service.drain()
    answer = await caller.post("/tasks/x/run")
    assert (answer.status_code, answer.headers["retry-after"], answer.json()["success"]) == (503, "1", False)
    health = await caller.get("/health")
    assert (health.status_code, health.json()["status"]) == (503, "degraded")
    assert health.json()["reasons"] == ["the server is stopping"]


async def test_all_tasks_are_listed_though_they_are_read_in_pieces(
    inside: Live, caller: httpx2.AsyncClient, monkeypatch
):
    """Each is there once, by name, as in a page of all of them."""
    monkeypatch.setattr(tasks, "PIECE", 2)
    for number in (3, 1, 5, 2, 4):
        await inside.client.register_task(name=f"task-{number}", schedule="@daily", handler="steps")
    told = (await caller.get("/tasks")).json()
    assert [each["name"] for each in told["tasks"]] == [f"task-{number}" for number in range(1, 6)]
    assert told == (await caller.get("/tasks?pageSize=10")).json()
    assert (await caller.get("/tasks?namePrefix=none")).json() == {"success": True, "count": 0, "tasks": []}


async def test_a_request_id_makes_repeating_safe(inside: Live, caller: httpx2.AsyncClient):
    """The same Idempotency-Key, the same execution, run once."""
    await inside.client.register_task(name="task", schedule="@manual", handler="steps")
    answers = [(await caller.post("/tasks/task/run", headers={"Idempotency-Key": "k1"})).json() for _ in range(2)]
    assert answers[0]["execution"]["id"] == answers[1]["execution"]["id"]
    other = await caller.post("/tasks/task/run", headers={"Idempotency-Key": "x" * 129})
    assert (other.status_code, other.json()["details"][0]["field"]) == (400, "Idempotency-Key")


async def test_requests_are_counted(caller: httpx2.AsyncClient):
    """By method, route and status; a path of nobody's is one label, not as many as there are paths."""
    for path in ("/tasks/a", "/tasks/b", "/nothing", "/nowhere"):
        await caller.get(path)
    told = (await caller.get("/metrics")).text
    assert 'schedule_http_requests_total{method="GET",route="/tasks/{name}",status="404"} 2.0' in told
    assert 'schedule_http_requests_total{method="GET",route="other",status="404"} 2.0' in told
