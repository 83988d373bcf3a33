"""GET /executions/{id}/logs, and log lines in GET /events."""

import json
from typing import Any

import httpx2
import pytest
from support.rigs.rig import START
from support.servers.live import Live

from schedule_grpc.api.http import shown
from schedule_grpc.domain.execution.log_lines import LogLine, LogLines
from schedule_grpc.domain.paging import MAX_PAGE_BYTES


async def failed(inside: Live, **payload: Any) -> str:
    """Let an execution log and fail for a key that its rows lack; return its id."""
    given = {"by": "by"} | payload
    once = {"retry.max_retries": 0}
    await inside.client.register_task(name="task", schedule="@manual", handler="report", payload=given, policy=once)
    return (await inside.client.run_task_now("task")).execution.id


async def test_the_lines_of_an_execution(inside: Live, caller: httpx2.AsyncClient):
    """The newest so many, the oldest of them first, and how many others there are."""
    execution_id = await failed(inside, lines=3)
    answer = (await caller.get(f"/executions/{execution_id}/logs")).json()
    assert shown.LogAnswer.model_validate(answer)
    assert (answer["success"], answer["count"], answer["dropped"]) == (True, 4, 0)
    lines = answer["lines"]
    assert [(line["attempt"], line["sequence"], line["level"]) for line in lines] == [
        (1, 1, "info"),
        (1, 2, "info"),
        (1, 3, "info"),
        (1, 4, "error"),
    ]
    assert lines[3]["text"].rstrip().endswith("KeyError: 'by'")
    assert "support/handlers/ordinary.py" in lines[3]["text"]
    newest = (await caller.get(f"/executions/{execution_id}/logs?lines=1")).json()
    assert (newest["lines"], newest["count"], newest["dropped"]) == (lines[3:], 1, 3)
    assert (await caller.get(f"/executions/{execution_id}/logs?lines=0")).json()["lines"] == []


async def test_an_execution_tells_its_progress(inside: Live, caller: httpx2.AsyncClient):
    """By itself, not in lists."""
    execution_id = await failed(inside, progress="half of it")
    execution = (await caller.get(f"/executions/{execution_id}")).json()["execution"]
    assert shown.Execution.model_validate(execution)
    progress = execution["progress"]
    assert (progress["attempt"], progress["fraction"], progress["text"]) == (1, 0.5, "half of it")
    assert progress["reportedAt"].endswith("Z")
    (listed,) = (await caller.get("/executions")).json()["executions"]
    assert "progress" not in listed


@pytest.mark.parametrize("lines", ["-1", "1001", "many"])
async def test_a_number_of_lines_out_of_bounds_is_refused(caller: httpx2.AsyncClient, lines: str):
    """By its name, as the caller wrote it."""
    answer = await caller.get(f"/executions/exec_x/logs?lines={lines}")
    assert (answer.status_code, [each["field"] for each in answer.json()["details"]]) == (400, ["lines"])


async def test_an_execution_that_is_not_there_has_no_log(inside: Live, caller: httpx2.AsyncClient):
    """Neither has one of another namespace."""
    execution_id = await failed(inside)
    await inside.client.create_namespace("reports")
    assert (await caller.get("/executions/exec_x/logs")).status_code == 404
    path = f"/executions/{execution_id}/logs"
    assert (await caller.get(path, params={"namespace": "reports"})).status_code == 404
    assert (await caller.get(path)).status_code == 200


async def test_hostile_text_is_json(inside: Live, caller: httpx2.AsyncClient):
    """Whatever characters a line has, the answer is JSON of the same text; a NUL is replaced."""
    text = "a\x1b[2Jb\u202ec\x00d\u2028e\nf"
    execution_id = await failed(inside, texts=[text])
    lines = (await caller.get(f"/executions/{execution_id}/logs")).json()["lines"]
    assert any(text.replace("\x00", "\ufffd") in line["text"] for line in lines)


async def test_a_log_ends_before_three_mebibytes(inside: Live, caller: httpx2.AsyncClient):
    """The newest lines are kept, as JSON writes them; the others are counted."""
    execution_id = await failed(inside)
    for attempt in range(2, 72):
        lines = tuple(LogLine(number, START, "info", "\u00e4" * 2000) for number in range(1, 15))
        chunk = LogLines(execution_id=execution_id, attempt=attempt, lines=lines)
        await inside.parts.store.append_logs([chunk], now=START)
    answer = await caller.get(f"/executions/{execution_id}/logs?lines=1000")
    assert MAX_PAGE_BYTES - 5000 < len(answer.content) < MAX_PAGE_BYTES + 5000
    log = answer.json()
    assert log["count"] + log["dropped"] == 70 * 14 + 1
    assert (log["lines"][-1]["attempt"], log["lines"][-1]["sequence"]) == (71, 14)


async def events_of_a_run(caller: httpx2.AsyncClient, inside: Live, query: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the events that a stream brings while an execution fails."""
    async with caller.stream("GET", f"/events{query}") as response:
        lines = response.aiter_lines()
        assert await anext(lines) == "retry: 1000"
        await failed(inside, lines=2)
        found = []
        async for line in lines:
            if line.startswith("event: "):
                found.append((line.removeprefix("event: "), json.loads((await anext(lines)).removeprefix("data: "))))
            if found and found[-1][1].get("execution", {}).get("state") == "FAILED":
                return found
    raise AssertionError(f"the execution never ended: {found}")


async def test_lines_are_streamed_when_they_are_asked_for(inside: Live, caller: httpx2.AsyncClient):
    """With the numbers and the words of the route of logs."""
    found = [data for name, data in await events_of_a_run(caller, inside, "?logs=true") if name == "log"]
    lines = [line for each in found for line in each["lines"]]
    assert {(each["taskName"], each["namespace"]) for each in found} == {("task", "default")}
    kept = (await caller.get(f"/executions/{found[0]['executionId']}/logs")).json()
    assert lines == kept["lines"]
    assert len(lines) == 3


async def test_other_streams_have_no_lines(inside: Live, caller: httpx2.AsyncClient):
    """Callers that know none are sent none; a stream of another execution has no event at all."""
    events = await events_of_a_run(caller, inside, "")
    assert {name for name, _ in events} == {"transition", "progress"}
    execution_id = events[0][1]["execution"]["id"]
    async with caller.stream("GET", f"/events?execution={execution_id}&logs=true") as response:
        await failed(inside)
        inside.parts.service.drain()
        assert [line async for line in response.aiter_lines() if line.startswith("event")] == []
