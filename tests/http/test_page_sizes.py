"""Pages of HTTP end before 3 MiB too, with a token for what follows; the list of all tasks stays whole."""

from typing import Any

import httpx2

from schedule_grpc.domain.paging import MAX_PAGE_BYTES

TEXT = "x" * 60_000


async def pages(caller: httpx2.AsyncClient, path: str, **asked: str) -> list[dict[str, Any]]:
    """Return all pages, as they follow each other."""
    found: list[dict[str, Any]] = []
    while not found or "nextPageToken" in found[-1]:
        token = {"pageToken": found[-1]["nextPageToken"]} if found else {}
        answer = await caller.get(path, params=asked | token)
        assert len(answer.content) < MAX_PAGE_BYTES + 1000
        found.append(answer.json())
        assert found[-1]["count"] == len(found[-1].get("tasks") or found[-1].get("history") or found[-1]["executions"])
    return found


async def test_large_items_come_in_more_pages(caller: httpx2.AsyncClient):
    """Tasks by name, executions newest first, each of them once."""
    names = [f"t{number:03}" for number in range(60)]
    for name in names:
        task = {"name": name, "schedule": "@manual", "handler": "note", "payload": {"text": TEXT}}
        assert (await caller.post("/tasks", json=task)).is_success
    for _ in range(60):
        await caller.post("/tasks/t000/run", params={"wait": "false"}, json={"payload": {"text": TEXT}})
    found = await pages(caller, "/tasks", pageSize="100")
    assert [task["name"] for page in found for task in page["tasks"]] == names
    assert len(found) == 2
    history = await pages(caller, "/tasks/t000/history", limit="100")
    executions = await pages(caller, "/executions")
    assert len(history) == len(executions) == 2
    ids = [each["id"] for page in history for each in page["history"]]
    assert ids == [each["id"] for page in executions for each in page["executions"]]
    assert len(set(ids)) == 60
    whole = (await caller.get("/tasks")).json()
    assert (whole["count"], "nextPageToken" in whole) == (60, False)
