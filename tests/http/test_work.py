"""What a caller can make the server do: others are answered meanwhile.

Decided by who computes (the loop's thread or another), not by time.
"""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from support.servers.live import Live, asked, struct

from schedule_grpc.api.http import envelope, server_routes, target
from schedule_grpc.domain import canonical_json as json_text
from schedule_grpc.domain.schedule import Cron
from schedule_grpc.errors import InvalidArgument
from schedule_grpc.formats import protobuf
from schedule_grpc.formats.protobuf import tasks, values
from schedule_grpc.pb import schedule_pb2 as pb
from schedule_grpc.service import executions

HEAVY = {"a": [1] * 30_000}
"""Within the bounds of a payload, and as many values as fit into them."""


@pytest.fixture
def on_loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names of functions, among those that take long, that were called by the loop's thread for something large."""
    called: list[str] = []
    loop = threading.get_ident()

    def spy(owner: Any, name: str, large: Callable[..., bool]) -> None:
        real = getattr(owner, name)

        def spying(*arguments: Any, **named: Any) -> Any:
            if threading.get_ident() == loop and large(*arguments, **named):
                called.append(name)
            return real(*arguments, **named)

        monkeypatch.setattr(owner, name, spying)

    spy(target, "read_json", lambda body: len(body) > 10_000)
    spy(json_text, "normalise", lambda value: len(str(value)) > 10_000)
    spy(values, "json_from", lambda struct: struct.ByteSize() > 10_000)
    spy(tasks, "struct_to", lambda value: len(str(value)) > 10_000)
    spy(Cron, "preview", lambda *_: True)
    spy(executions, "backfill", lambda *_: True)
    spy(server_routes, "exposition", lambda *_: True)
    return called


async def test_large_bodies_are_read_aside(inside: Live, caller: httpx2.AsyncClient, on_loop: list[str]):
    """Registered, changed, run, listed: of HTTP."""
    for method, path, body in (
        ("POST", "/tasks", {"name": "task", "schedule": "@manual", "handler": "steps", "payload": HEAVY}),
        ("PATCH", "/tasks/task", {"payload": HEAVY | {"b": 1}}),
        ("POST", "/tasks/task/run", {"payload": HEAVY}),
        ("POST", "/tasks", {"name": "x", "schedule": "@manual", "handler": "steps", "payload": {"a": [1] * 80_000}}),
    ):
        answer = await caller.request(method, path, json=body)
        assert answer.status_code == (400 if body.get("name") == "x" else 200), answer.text[:200]
    assert on_loop == []


async def test_large_messages_are_read_and_written_aside(inside: Live, on_loop: list[str]):
    """Registered, changed, run, read, listed, in a batch: of gRPC."""
    heavy = struct(HEAVY)
    await inside.stub.RegisterTask(asked(handler="steps", payload=heavy))
    await inside.stub.UpdateTask(pb.UpdateTaskRequest(task=pb.Task(name="task", payload=struct(HEAVY | {"b": 1}))))
    await inside.stub.RunTaskNow(pb.RunTaskNowRequest(name="task", payload=heavy))
    await inside.stub.GetTask(pb.GetTaskRequest(name="task"))
    await inside.stub.ListTasks(pb.ListTasksRequest())
    await inside.stub.BatchRegisterTasks(
        pb.BatchRegisterTasksRequest(
            requests=[asked(name=f"t{each}", payload=struct({"a": [1] * 9000})) for each in "12"]
        )
    )
    assert on_loop == []


async def test_previews_and_metrics_are_computed_aside(inside: Live, caller: httpx2.AsyncClient, on_loop: list[str]):
    """A schedule that fires once in four years is looked for long."""
    assert (await caller.get("/preview?schedule=0 0 29 2 *&count=20")).status_code == 200
    await inside.stub.PreviewSchedule(pb.PreviewScheduleRequest(schedule="0 0 29 2 *", count=20))
    assert (await caller.get("/metrics")).status_code == 200
    await inside.client.register_task(name="task", schedule="@daily", handler="steps")
    long = {"startTime": "1900-01-01T00:00:00Z", "endTime": "2026-01-01T00:00:00Z"}
    assert (await caller.post("/tasks/task/backfill", json=long)).status_code == 400
    assert on_loop == []


async def test_others_are_answered_while_a_preview_is_computed(caller: httpx2.AsyncClient):
    """The health is told many times before it is there."""
    preview = asyncio.create_task(caller.get("/preview?schedule=0 0 29 2 *&timeZone=Europe/Berlin&count=200"))
    answered = 0
    while not preview.done():
        assert (await caller.get("/health")).status_code == 200
        answered += 1
    assert len((await preview).json()["nextRuns"]) == 200
    assert answered > 5


def test_a_struct_is_judged_by_its_size_before_it_is_walked(monkeypatch: pytest.MonkeyPatch):
    """One that cannot be within the bounds is not looked into."""
    real = values.json_from
    monkeypatch.setattr(values, "json_from", lambda struct: pytest.fail("walked") if struct.fields else real(struct))
    large = struct({"x": [1] * 87_000})
    for read in (
        lambda: protobuf.registration_from(asked(payload=large)),
        lambda: protobuf.registration_from(asked(metadata=large)),
        lambda: protobuf.update_from(pb.UpdateTaskRequest(task=pb.Task(name="task", payload=large))),
    ):
        with pytest.raises(InvalidArgument, match="bytes as a message, which cannot be"):
            read()


@pytest.mark.parametrize(
    "value", [[1] * 32_000, [[]] * 21_000, [[1]] * 16_000, {str(number): 1 for number in range(6500)}]
)
def test_a_struct_of_many_small_values_is_not_taken_for_too_large(value: Any):
    """What is within the bounds as JSON is walked, whatever its message takes."""
    payload = {"x": value}
    assert len(json.dumps(payload, separators=(",", ":"))) <= 65_536
    assert protobuf.registration_from(asked(payload=struct(payload))).definition.payload == payload


async def test_a_list_is_the_same_aside_and_on_the_loop(inside: Live, caller: httpx2.AsyncClient):
    """Also with a token, and without an item."""
    for each in range(9):
        await inside.client.register_task(name=f"task-{each}", schedule="@daily", handler="steps")
    told = [(await caller.get(f"/tasks?pageSize={size}")).json() for size in (2, 8)]
    assert [len(each["tasks"]) for each in told] == [each["count"] for each in told] == [2, 8]
    assert told[0]["tasks"] == told[1]["tasks"][:2]
    assert all(each["success"] is True and each["nextPageToken"] for each in told)
    assert (await caller.get("/executions")).json() == {"success": True, "count": 0, "executions": []}
    assert envelope.LIGHT_ITEM * 2 < envelope.LIGHT < envelope.LIGHT_ITEM * 8
