"""Quotas over HTTP: 429, with Retry-After where it is known when to come back."""

import asyncio

import httpx2
import pytest
from support.patience import AT_MOST
from support.servers.live import Live

from schedule_grpc.api.http.namespaces import HEADER
from schedule_grpc.client import Limits

REPORTS = {HEADER: "reports"}


async def limited(inside: Live, **limits: int) -> None:
    """Create a namespace with these limits and one task."""
    await inside.client.create_namespace("reports", limits=Limits(**limits))
    await inside.client.in_namespace("reports").register_task(name="task", schedule="@manual", handler="steps")


async def test_a_refusal_says_when_to_come_back(inside: Live, caller: httpx2.AsyncClient):
    """In whole seconds, at least one; and which quota it is."""
    await limited(inside, runs_per_minute=1)
    assert (await caller.post("/tasks/task/run", headers=REPORTS)).status_code == 200
    answer = await caller.post("/tasks/task/run", headers=REPORTS)
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    body = answer.json()
    assert body["success"] is False
    assert body["error"].startswith("The namespace reports has reached its limit: runs_per_minute is 1; try again in ")
    assert body["details"] == {"namespace": "reports", "quota": "runs_per_minute", "limit": "1"}


@pytest.mark.parametrize("path", ["/tasks", "/tasks/task/disable"])
async def test_writes(inside: Live, caller: httpx2.AsyncClient, path: str):
    """Every route that changes tasks answers so."""
    await limited(inside, writes_per_minute=1)
    body = {"name": "task", "schedule": "@manual", "handler": "steps"} if path == "/tasks" else None
    answer = await caller.post(path, json=body, headers=REPORTS)
    assert (answer.status_code, "retry-after" in answer.headers) == (429, True)


async def test_without_a_rate_no_time_is_named(inside: Live, caller: httpx2.AsyncClient):
    """Nobody knows when there is room."""
    await limited(inside, max_tasks=1)
    body = {"name": "another", "schedule": "@manual", "handler": "steps"}
    answer = await caller.post("/tasks", json=body, headers=REPORTS)
    assert (answer.status_code, "retry-after" in answer.headers) == (429, False)


async def test_streams_of_a_namespace(inside: Live, caller: httpx2.AsyncClient):
    """One too many is refused; one that has gone makes room; another namespace has its own."""
    await limited(inside, max_streams=1)
    async with caller.stream("GET", "/events", headers=REPORTS) as response:
        assert response.status_code == 200
        told = response.aiter_bytes()  # kept: its end would be the stream's
        await anext(told)
        answer = await caller.get("/events", headers=REPORTS)
        assert (answer.status_code, answer.json()["details"]["quota"]) == (429, "max_streams")
        async with caller.stream("GET", "/events") as other:
            assert other.status_code == 200
    async with asyncio.timeout(AT_MOST):
        while True:
            async with caller.stream("GET", "/events", headers=REPORTS) as response:
                if response.status_code == 200:
                    break
