"""Fields that there are not are told as they were written, with what was meant; a key that is there twice is told."""

import json

import httpx2
import pytest
from support.servers.live import Live

TASK = {"name": "x", "schedule": "@daily", "handler": "steps"}


def refused(web: httpx2.Client, body: bytes | dict, path: str = "/tasks", method: str = "POST", **headers: str):
    """Return status, details as pairs, and the text of a refusal."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = web.request(method, path, content=content, headers={"content-type": "application/json"} | headers)
    told = answer.json()
    assert told["success"] is False
    return answer.status_code, [(each["field"], each["reason"]) for each in told.get("details", [])], told["error"]


@pytest.mark.parametrize(
    ("sent", "field", "meant"),
    [
        ({"time_zone": "UTC"}, "time_zone", "timeZone"),
        ({"timezone": "UTC"}, "timezone", "timeZone"),
        ({"TimeZone": "UTC"}, "TimeZone", "timeZone"),
        ({"time-zone": "UTC"}, "time-zone", "timeZone"),
        ({"shedule": "@daily"}, "shedule", "schedule"),
        ({"validate_only": True}, "validate_only", "validateOnly"),
        ({"timeoutMs": 5}, "timeoutMs", "policy.timeoutMs"),
        ({"policy.timeoutMs": 5}, "policy.timeoutMs", "policy.timeoutMs"),
        ({"policy": {"timeout": "5m"}}, "policy.timeout", "policy.timeoutMs"),
        ({"policy": {"timeout_ms": 5}}, "policy.timeout_ms", "policy.timeoutMs"),
        ({"policy": {"timoutMs": 5}}, "policy.timoutMs", "policy.timeoutMs"),
        ({"policy": {"catch_up": "ALL"}}, "policy.catch_up", "policy.catchUp"),
        ({"policy": {"catchupWindowMs": 5}}, "policy.catchupWindowMs", "policy.catchUpWindowMs"),
        ({"policy": {"max_retries": 5}}, "policy.max_retries", "policy.retry.maxRetries"),
        ({"policy": {"retry.maxRetries": 5}}, "policy.retry.maxRetries", "policy.retry.maxRetries"),
        ({"policy": {"retry": {"max_retries": 5}}}, "policy.retry.max_retries", "policy.retry.maxRetries"),
        ({"policy": {"retry": {"initialBackoff": 5}}}, "policy.retry.initialBackoff", "policy.retry.initialBackoffMs"),
        ({"policy": {"window": {"start": "x"}}}, "policy.window.start", "policy.window.startTime"),
        ({"policy": {"retention": {"max_age": "x"}}}, "policy.retention.max_age", "policy.retention.maxAgeMs"),
    ],
)
def test_an_unknown_field_is_told_as_it_was_sent(web: httpx2.Client, sent: dict, field: str, meant: str):
    """And which field was meant, wherever it belongs."""
    status, details, error = refused(web, TASK | sent)
    assert (status, details) == (400, [(field, f"is unknown; did you mean {meant}?")])
    assert error == f"{field}: is unknown; did you mean {meant}?"
    assert refused(web, sent, "/tasks/x", "PATCH")[1] == details


@pytest.mark.parametrize("name", ["nothing-like-it", "", "\n", "é" * 10, "x" * 5000])
def test_nothing_is_guessed_where_nothing_is_near(web: httpx2.Client, name: str):
    """The field alone, shortened where it is long."""
    assert refused(web, TASK | {name: 1})[1] == [(name[:64], "is unknown")]


def test_every_body_tells_its_unknown_fields(web: httpx2.Client):
    """Of every route that takes one."""
    for path, sent, field, meant in (
        ("/tasks/x/run", {"payLoad": {}}, "payLoad", "payload"),
        ("/tasks/x/disable", {"notes": "x"}, "notes", "note"),
        ("/tasks/x/backfill", {"start_time": "x", "endTime": "x"}, "start_time", "startTime"),
        ("/executions/x/cancel", {"noet": "x"}, "noet", "note"),
    ):
        assert refused(web, sent, path)[1] == [(field, f"is unknown; did you mean {meant}?")], path


def test_what_a_policy_may_be_is_told_in_the_spelling_of_the_body(web: httpx2.Client):
    """Reasons too name fields as this interface has them."""
    window = {"startTime": "2026-01-02T00:00:00Z", "endTime": "2026-01-01T00:00:00Z"}
    told = refused(web, TASK | {"policy": {"window": window}})[1]
    assert told == [("policy.window.endTime", "must be later than policy.window.startTime")]


def test_an_unknown_question_is_told_as_it_was_asked(web: httpx2.Client):
    """Of the query, too."""
    told = web.get("/preview?schedule=@daily&time_zone=UTC").json()
    assert told["error"] == "time_zone: is unknown here (known: count, schedule, startTime, timeZone)"
    many = web.get("/tasks?" + "&".join(f"x{number}" for number in range(5000)) + "&handler=a&handler=b").json()
    assert len(many["details"]) == 20
    assert many["error"].endswith("; and 4981 more")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"name": "x", "schedule": "@daily", "handler": "steps", "name": "y"}', "name"),
        (b'{"name": "x", "policy": {"timeoutMs": 5, "timeoutMs": 6}}', "policy.timeoutMs"),
        (b'{"name": "x", "payload": {"a": [1, {"b": 1, "c": 2, "b": 1}]}}', "payload.a[1].b"),
        (b'{"n\\u0061me": "x", "name": "y"}', "name"),
        (b'{"nothing": {"a": 1, "a": 1, "a": 1}}', "nothing.a"),
    ],
)
def test_a_key_that_is_there_twice_is_refused(web: httpx2.Client, body: bytes, field: str):
    """400, though both values be the same: others may read the first one."""
    assert refused(web, body)[:2] == (400, [(field, "is given twice")])


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "x", "identity, gzip", "GZIP"])
def test_a_body_is_sent_as_it_is(web: httpx2.Client, encoding: str):
    """415, and what is accepted."""
    answer = web.post("/tasks", content=b"\x1f\x8b", headers={"content-encoding": encoding})
    assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "identity")
    assert answer.json()["error"] == "Content-Encoding: a body must be sent as it is"
    assert web.post("/init", content=b"{}", headers={"content-encoding": "identity"}).status_code == 200


def test_json_is_utf_8(web: httpx2.Client):
    """Another charset is 415, other bytes are 400; a byte order mark is overlooked."""
    for charset in ("utf-16", "latin-1", "iso-8859-1", "'utf-8'", "utf-7"):
        kind = {"content-type": f"application/json; charset={charset}"}
        assert refused(web, b"{}", **kind)[::2] == (415, "Content-Type: JSON is sent in UTF-8"), charset
    for charset in ("utf-8", "UTF-8", '"utf-8"', "utf8"):
        kind = {"content-type": f"application/json; charset={charset}"}
        assert refused(web, b"{}", **kind)[0] == 400, charset
    for body in ('{"note": "é"}'.encode("utf-16"), '{"note": "é"}'.encode("latin-1"), '{"note": "é"}'.encode("utf-32")):
        assert refused(web, body, "/tasks/x/disable")[::2] == (400, "The body cannot be read as JSON")
    assert refused(web, b'\xef\xbb\xbf{"note": "x"}', "/tasks/no-such-task/disable")[0] == 404


async def test_a_hundred_thousand_unknown_fields_are_counted(caller: httpx2.AsyncClient, inside: Live):
    """The first twenty are told, in a few kilobytes; what is more than a task can hold is not even read."""
    few = json.dumps(TASK | {f"field{number}": 1 for number in range(20_000)}).encode()
    answer = await caller.post("/tasks", content=few)
    assert answer.status_code == 400
    assert len(answer.json()["details"]) == 20
    assert answer.json()["error"].endswith("; and 19980 more")
    assert len(answer.content) < 4096
    many = json.dumps({f"{number:x}": 1 for number in range(105_000)}, separators=(",", ":")).encode()
    answer = await caller.post("/tasks", content=many)
    assert answer.json()["error"] == "body: holds more than 90112 values"
