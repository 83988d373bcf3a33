"""Bodies: a task as it is sent, sent back, changed; backfills and previews."""

import json
from typing import Any

import httpx2
import pytest

from schedule_grpc.api.http.bodies import MILLISECONDS, PolicyBody
from schedule_grpc.domain.policy import Policy


def test_a_body_can_say_every_policy():
    """By the paths of the policy itself, durations with their unit."""

    def paths(model, prefix: str = ""):
        for name, field in model.model_fields.items():
            inner = next(
                (each for each in getattr(field.annotation, "__args__", ()) if hasattr(each, "model_fields")), None
            )
            if inner is None:
                yield prefix + name.removesuffix(MILLISECONDS)
            else:
                yield from paths(inner, f"{prefix}{name}.")

    assert sorted(paths(PolicyBody)) == sorted(Policy().fields())


def test_a_task_that_was_read_can_be_sent_back(web: httpx2.Client, name: str):
    """Nothing changes: neither its etag nor its policies."""
    told = {
        "name": name,
        "schedule": "0 9 * * 1-5",
        "timeZone": "Europe/Berlin",
        "handler": "steps",
        "payload": {"a": [1, 2.5, None]},
        "metadata": {"category": "c"},
        "policy": {
            "timeoutMs": 1500,
            "retry": {"maxRetries": 1, "initialBackoffMs": 250, "multiplier": 1.5},
            "overlap": "BUFFER_ONE",
            "catchUp": "ALL",
            "window": {"startTime": "2026-01-01T00:00:00+01:00"},
            "retention": {"maxCount": 7},
            "alertAfter": 3,
            "overdueGraceMs": 60000,
            "payloadOverride": True,
        },
    }
    task = web.post("/tasks", json=told).json()["task"]
    assert task["policy"]["window"] == {"startTime": "2025-12-31T23:00:00.000Z"}
    assert (task["policy"]["timeoutMs"], task["policy"]["retry"]["multiplier"], task["payload"]) == (
        1500,
        1.5,
        told["payload"],
    )
    again = web.post("/tasks", json=task)
    assert (again.status_code, again.json()["task"]) == (200, task)


def test_a_patch_changes_what_is_sent(web: httpx2.Client, name: str):
    """The rest stays; null is the default, for a whole part too; an old etag is refused with 409."""
    sent = {
        "name": name,
        "schedule": "@daily",
        "handler": "steps",
        "description": "d",
        "policy": {"jitterMs": 5000, "retry": {"maxRetries": 1}},
    }
    before = web.post("/tasks", json=sent).json()["task"]
    after = web.patch(
        f"/tasks/{name}", json={"schedule": "@hourly", "policy": {"timeoutMs": 5000}, "etag": before["etag"]}
    )
    task = after.json()["task"]
    assert (task["schedule"], task["description"], task["policy"]["timeoutMs"], task["policy"]["jitterMs"]) == (
        "@hourly",
        "d",
        5000,
        5000,
    )
    stale = web.patch(f"/tasks/{name}", json={"enabled": False, "etag": before["etag"]})
    assert (stale.status_code, stale.json()["success"]) == (409, False)
    task = web.patch(f"/tasks/{name}", json={"policy": {"retry": None, "jitterMs": None}, "description": None}).json()[
        "task"
    ]
    assert (task["policy"]["retry"]["maxRetries"], task["policy"]["jitterMs"], "description" in task) == (3, 0, False)
    task = web.patch(f"/tasks/{name}", json={"policy": None, "enabled": False}).json()["task"]
    assert (task["policy"]["timeoutMs"], task["enabled"]) == (29000, False)


@pytest.mark.parametrize(
    "policy",
    [
        {"timeoutMs": "5m", "overlap": "buffer-one", "catchUp": "all"},
        {"timeoutMs": "300s", "overlap": "Buffer_One", "catchUp": "All"},
        {"timeoutMs": 300_000, "overlap": "BUFFER_ONE", "catchUp": "ALL"},
    ],
)
def test_a_policy_is_taken_as_people_write_it(web: httpx2.Client, name: str, policy: dict[str, Any]):
    """Words in any case and with dashes, durations as texts with their unit; in a patch as well."""
    sent = {"name": name, "schedule": "@daily", "handler": "steps"}
    shown = {"timeoutMs": 300_000, "overlap": "BUFFER_ONE", "catchUp": "ALL"}
    task = web.post("/tasks", json=sent | {"policy": policy}).json()["task"]
    assert task["policy"] | shown == task["policy"]
    web.patch(f"/tasks/{name}", json={"policy": None})
    task = web.patch(f"/tasks/{name}", json={"policy": policy}).json()["task"]
    assert task["policy"] | shown == task["policy"]


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        ({"timeoutMs": "5000"}, "policy.timeoutMs"),  # of milliseconds, or of seconds as elsewhere? Nobody knows
        ({"timeoutMs": "soon"}, "policy.timeoutMs"),
        ({"timeoutMs": "999d"}, "policy.timeoutMs"),
        ({"overlap": "sometimes"}, "policy.overlap"),
        ({"overlap": 1}, "policy.overlap"),
        ({"retry": {"maxBackoffMs": ""}}, "policy.retry.maxBackoffMs"),
    ],
)
def test_a_policy_that_means_nothing_is_refused(web: httpx2.Client, name: str, policy: dict[str, Any], field: str):
    """By its field."""
    sent = {"name": name, "schedule": "@daily", "handler": "steps", "policy": policy}
    answer = web.post("/tasks", json=sent)
    assert (answer.status_code, [each["field"] for each in answer.json()["details"]]) == (400, [field])


@pytest.mark.parametrize("field", ["payload", "metadata"])
def test_an_integer_that_not_every_edge_carries_is_refused(web: httpx2.Client, name: str, field: str):
    """In registering, changing and running; 2^53 itself is kept as it is."""
    sent = {"name": name, "schedule": "@daily", "handler": "steps"}
    wrong = {field: {"id": [9007199254740993]}}
    assert web.post("/tasks", json=sent | {field: {"id": 2**53}}).json()["task"][field] == {"id": 2**53}
    refused = [web.post("/tasks", json=sent | wrong), web.patch(f"/tasks/{name}", json=wrong)]
    if field == "payload":
        refused.append(web.post(f"/tasks/{name}/run", json=wrong))
    for answer in refused:
        (detail,) = answer.json()["details"]
        assert (answer.status_code, detail["field"]) == (400, field)
        assert detail["reason"].startswith(".id[0]: 9007199254740993 is beyond ±2^53")


def test_a_backfill_and_a_preview(web: httpx2.Client, name: str):
    """As the rpcs; times are RFC 3339."""
    web.post("/tasks", json={"name": name, "schedule": "@daily", "handler": "steps"})
    stretch = {"startTime": "2026-01-01T00:00:00Z", "endTime": "2026-01-04T00:00:00Z"}
    told = web.post(f"/tasks/{name}/backfill", json=stretch).json()
    assert (told["count"], told["existingCount"]) == (3, 0)
    assert [each["scheduledAt"][:10] for each in told["executions"]] == ["2026-01-01", "2026-01-02", "2026-01-03"]
    assert web.post(f"/tasks/{name}/backfill", json=stretch).json()["existingCount"] == 3
    asked = {"schedule": "30 2 * * *", "timeZone": "Europe/Berlin", "count": 1, "startTime": "2026-03-28T12:00:00Z"}
    told = web.get("/preview", params=asked).json()
    assert (told["nextRuns"], len(told["notes"])) == (["2026-03-29T01:00:00.000Z"], 1)
    assert web.get("/preview?schedule=nonsense").json()["error"] == "Invalid schedule expression: nonsense"


def test_a_year_has_four_digits(web: httpx2.Client, name: str):
    """Or it would be no RFC 3339 time, which long ago may well be asked for."""
    web.post("/tasks", json={"name": name, "schedule": "@daily", "handler": "steps"})
    stretch = {"startTime": "0310-09-05T00:00:00Z", "endTime": "0310-09-06T00:00:00Z"}
    (execution,) = web.post(f"/tasks/{name}/backfill", json=stretch).json()["executions"]
    assert execution["scheduledAt"] == "0310-09-05T00:00:00.000Z"


TASK = {"schedule": "@daily", "handler": "steps"}
ODD_TEXTS = {"lone surrogate": "\ud800", "NUL": "a\x00b"}


@pytest.mark.parametrize("text", ODD_TEXTS.values(), ids=ODD_TEXTS)
@pytest.mark.parametrize(
    ("path", "field", "body"),
    [
        ("/tasks", "name", TASK),
        ("/tasks", "schedule", TASK),
        ("/tasks", "handler", TASK),
        ("/tasks", "timeZone", TASK),
        ("/tasks", "description", TASK),
        ("/tasks", "etag", TASK),
        ("/tasks/{name}/disable", "note", {}),
        ("/tasks/{name}/disable", "etag", {}),
        ("/tasks/{name}/enable", "etag", {}),
        ("/executions/{name}/cancel", "note", {}),
    ],
)
def test_a_text_that_cannot_be_kept_is_refused(web: httpx2.Client, name: str, path: str, field: str, body: dict, text):
    """With its field and the reason; JSON can spell what UTF-8 cannot say."""
    web.post("/tasks", json={"name": name, **TASK})
    answer = _sent(web, path.format(name=name), {"name": name, **body, field: text} if body else {field: text})
    assert (answer.status_code, answer.json()["success"]) == (400, False)
    assert [each["field"] for each in answer.json()["details"]] == [field]


@pytest.mark.parametrize(("place", "named"), [("body", "\ufffd"), ("policy", "policy.\ufffd")])
def test_an_unknown_key_that_is_no_unicode_is_refused(web: httpx2.Client, name: str, place: str, named: str):
    """It is named as far as it can be."""
    body = {"name": name, **TASK} | ({"\ud800": 1} if place == "body" else {"policy": {"\ud800": 1}})
    answer = _sent(web, "/tasks", body)
    assert (answer.status_code, [each["field"] for each in answer.json()["details"]]) == (400, [named])


@pytest.mark.parametrize("field", ["payload", "metadata"])
@pytest.mark.parametrize("value", [{"a": "\ud800"}, {"\ud800": 1}, {"a": float("nan")}, {"a": [float("inf")]}])
def test_json_that_cannot_be_kept_is_refused(web: httpx2.Client, name: str, field: str, value: dict):
    """Python's reader takes NaN and Infinity, which are no JSON."""
    answer = _sent(web, "/tasks", {"name": name, **TASK, field: value})
    assert (answer.status_code, [each["field"] for each in answer.json()["details"]]) == (400, [field])


def _sent(web: httpx2.Client, path: str, body: dict) -> httpx2.Response:
    return web.post(path, content=json.dumps(body), headers={"content-type": "application/json"})
