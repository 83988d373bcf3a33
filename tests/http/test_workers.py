"""Workers, handlers and the mark of tasks that would wait, over HTTP."""

from datetime import timedelta

import httpx2
from support.rigs.worker_rows import worker_there
from support.servers.live import Live

from schedule_grpc.formats.json_answers import time_json

TASK = {"name": "task", "schedule": "@manual", "handler": "remote"}


async def test_workers_are_listed(inside: Live, caller: httpx2.AsyncClient):
    """The newest first, with what people want to know, and without what only the worker may know."""
    now = inside.parts.service.clock.now()
    await worker_there(inside.parts.store, "secret", now, "b", "a", started=timedelta(hours=1))
    await worker_there(inside.parts.store, "gone", now, "a", version="", started=timedelta(hours=2), ended=timedelta(0))
    answer = await caller.get("/workers")
    assert "secret" not in answer.text.replace("host-secret", "")
    body = answer.json()
    assert (body["success"], body["count"]) == (True, 2)
    living, gone = body["workers"]
    assert living.pop("id")
    assert living == {
        "name": "host-secret",
        "version": "1",
        "namespace": "default",
        "handlers": ["a", "b"],
        "slots": 4,
        "running": 0,
        "labels": {"zone": "eu"},
        "startedAt": time_json(now - timedelta(hours=1)),
        "lastSeen": time_json(now),
        "draining": False,
        "registeredBy": "key:workers",
    }
    assert (gone["endedAt"], "version" in gone) == (time_json(now), False)
    assert (await caller.get("/workers", params={"handler": "b"})).json()["count"] == 1
    assert (await caller.get("/workers", params={"namespace": "nowhere"})).status_code == 404


async def test_a_handler_shows_its_workers(inside: Live, caller: httpx2.AsyncClient):
    """Their number, their versions, and the schema of the newest."""
    now = inside.parts.service.clock.now()
    await worker_there(inside.parts.store, "w", now, "remote", version="7", schemas={"remote": '{"type":"object"}'})
    details = {each["name"]: each for each in (await caller.get("/handlers")).json()["details"]}
    assert details["remote"] == {
        "name": "remote",
        "description": "Does remote",
        "offered": True,
        "payloadSchema": '{"type":"object"}',
        "workerCount": 1,
        "workerVersions": ["7"],
    }
    assert (details["steps"]["workerCount"], details["steps"]["workerVersions"]) == (0, [])
    assert "payloadSchema" not in details["steps"]


async def test_a_task_that_would_wait_says_so(inside: Live, caller: httpx2.AsyncClient):
    """And only such a task: the others are as they were."""
    registered = await caller.post("/tasks", json=TASK | {"allowUnknownHandler": True})
    assert registered.json()["task"]["noWorker"] is True
    await caller.post("/tasks", json=TASK | {"name": "served", "handler": "steps"})
    for answer in (await caller.get("/tasks"), await caller.get("/tasks", params={"pageSize": 10})):
        assert {each["name"]: each.get("noWorker") for each in answer.json()["tasks"]} == {"served": None, "task": True}
    assert (await caller.get("/tasks/task")).json()["task"]["noWorker"] is True
    assert (await inside.client.get_task("task")).no_worker
    assert [(task.name, task.no_worker) async for task in inside.client.tasks()] == [("served", False), ("task", True)]
