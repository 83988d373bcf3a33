"""The namespace of a request over HTTP: a header, or a query parameter; without either, everything is as it was."""

from typing import Any

import httpx2
import pytest
from support.servers.live import Live

from schedule_grpc.api.http.namespaces import HEADER

TASK = {"name": "task", "schedule": "@manual", "handler": "steps"}
REPORTS = {HEADER: "reports"}


@pytest.fixture
async def both(inside: Live, caller: httpx2.AsyncClient) -> httpx2.AsyncClient:
    """A caller of a server with one task in the default namespace, and one of the same name in another."""
    await inside.client.create_namespace("reports")
    for headers in ({}, REPORTS):
        answer = await caller.post("/tasks", json=TASK | {"description": headers.get(HEADER, "ours")}, headers=headers)
        assert answer.status_code == 200, answer.text
    return caller


async def told(answer: Any) -> dict[str, Any]:
    """Return the body of an answer."""
    body: dict[str, Any] = (await answer).json()
    return body


async def test_header_and_parameter_name_the_namespace(both: httpx2.AsyncClient):
    """Either, or both alike; in a route that FastAPI reads and in one that it does not."""
    for where in ({"headers": REPORTS}, {"params": {"namespace": "reports"}}):
        assert (await told(both.get("/tasks/task", **where)))["task"]["description"] == "reports"
        (task,) = (await told(both.get("/tasks", **where)))["tasks"]
        assert (task["namespace"], task["description"]) == ("reports", "reports")
    answer = await told(both.get("/tasks/task?namespace=reports", headers=REPORTS))
    assert answer["task"]["namespace"] == "reports"
    ours = (await told(both.get("/tasks/task")))["task"]
    assert (ours["namespace"], ours["description"]) == ("default", "ours")


async def test_every_route_works_in_the_namespace(both: httpx2.AsyncClient):
    """Nothing of it is in the default one, nor the other way round."""
    run = await told(both.post("/tasks/task/run", headers=REPORTS))
    assert run["execution"]["namespace"] == "reports"
    place = f"/executions/{run['execution']['id']}"
    assert (await both.get(place)).status_code == 404
    assert (await both.get(place, headers=REPORTS)).status_code == 200
    assert (await both.post(f"{place}/cancel")).status_code == 404
    assert (await told(both.get("/executions")))["count"] == 0
    assert (await told(both.get("/executions", headers=REPORTS)))["count"] == 1
    assert (await told(both.get("/tasks/task/history")))["count"] == 0
    assert (await told(both.get("/tasks/task/history?namespace=reports")))["count"] == 1
    await both.post("/tasks/task/disable", headers=REPORTS)
    assert (await told(both.get("/tasks/task")))["task"]["enabled"] is True
    triggered = await told(both.post("/__scheduled", params={"cron": "* * * * *"}))
    assert {each["namespace"] for each in triggered["executions"]} == {"default"}
    assert "cleanup-expired-sessions" not in (await told(both.get("/handlers", headers=REPORTS)))["handlers"]
    assert (await both.post("/init", headers=REPORTS)).status_code == 400
    assert (await both.delete("/tasks/task", headers=REPORTS)).status_code == 200
    assert (await both.get("/tasks/task")).status_code == 200


async def test_a_stream_has_events_of_its_namespace_only(both: httpx2.AsyncClient):
    """An EventSource cannot send headers: it names the namespace in its address."""
    async with both.stream("GET", "/events?namespace=reports") as response:
        lines = response.aiter_lines()
        assert await anext(lines) == "retry: 1000"
        await both.post("/tasks/task/run")
        await both.post("/tasks/task/run", headers=REPORTS)
        async for line in lines:
            if line.startswith("data: "):
                assert '"namespace":"reports"' in line
                break


@pytest.mark.parametrize("path", ["/tasks/task", "/tasks", "/executions", "/handlers", "/events"])
async def test_what_names_no_one_namespace_is_refused(both: httpx2.AsyncClient, path: str):
    """Two that differ, a text that is no name, and an empty one: it must not mean the default one in silence."""
    two = await both.get(f"{path}?namespace=default", headers=REPORTS)
    assert (two.status_code, two.json()["error"]) == (400, "namespace: is given as default and as reports")
    twice = await both.get(path, headers=[(HEADER, "a"), (HEADER, "reports")])
    assert (twice.status_code, twice.json()["error"]) == (400, "namespace: is given as a and as reports")
    for text in ("No", "a_b", "a%0a", "*"):
        assert (await both.get(f"{path}?namespace={text}")).status_code == 400
    for empty in (await both.get(f"{path}?namespace="), await both.get(path, headers={HEADER: ""})):
        assert (empty.status_code, empty.json()["error"]) == (400, "namespace: is required")
    assert (await both.get(f"{path}?namespace=a&namespace=a")).json()["error"] == "namespace: is given twice"


async def test_a_task_that_was_read_is_not_sent_back_elsewhere(both: httpx2.AsyncClient):
    """Its namespace is in it: registering or changing it in another one is refused."""
    task = (await told(both.get("/tasks/task", headers=REPORTS)))["task"]
    fields = {name: value for name, value in task.items() if name != "name"}
    reason = "namespace: is reports, but the call is of default: name it by the header Schedule-Namespace"
    for refused in (await both.post("/tasks", json=task), await both.patch("/tasks/task", json=fields)):
        assert (refused.status_code, refused.json()["error"]) == (400, reason)
    for accepted in (
        await both.post("/tasks", json=task, headers=REPORTS),
        await both.patch("/tasks/task", json=fields, headers=REPORTS),
    ):
        assert (accepted.status_code, accepted.json()["task"]) == (200, task)


async def test_a_route_without_a_namespace_knows_no_such_question(caller: httpx2.AsyncClient):
    """Of health, metrics and previews nothing belongs to a namespace."""
    for path in ("/health", "/livez", "/readyz", "/metrics", "/preview", "/"):
        answer = await caller.get(path, params={"namespace": "reports"})
        assert (answer.status_code, "namespace: is unknown here" in answer.json()["error"]) == (400, True)


async def test_header_and_parameter_are_described(caller: httpx2.AsyncClient):
    """Of each route that works in a namespace; a page of an allowed origin may send the header."""
    of_server = {"/", "/health", "/livez", "/readyz", "/metrics"}
    without = {*of_server, "/preview", "/whoami", "/keys", "/keys/{name}", "/keys/{name}/rotate"}
    for path, item in (await told(caller.get("/openapi.json")))["paths"].items():
        for operation in item.values():
            named = {each["name"] for each in operation.get("parameters", [])}
            assert ({"namespace", HEADER} <= named) is (path not in without), path
