"""Log lines and progress of executions over gRPC: what is kept, what comes, and who may read it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from support.patience import AT_MOST, calling, until
from support.rigs.rig import START
from support.servers.live import Code, Live, refused
from support.servers.teams import Teams, serving_teams

from schedule_grpc import errors
from schedule_grpc.access import gate
from schedule_grpc.client import AsyncClient, Logged, Transition
from schedule_grpc.domain.execution import State
from schedule_grpc.domain.execution.log_lines import KeptLog, LogLine, LogLines
from schedule_grpc.domain.paging import MAX_PAGE_BYTES
from schedule_grpc.pb import schedule_pb2 as pb

MARKER = "hunter2"
"""What a caller that may only observe must not see."""
ONCE = {"retry.max_retries": 0}


async def registered(client: AsyncClient, name: str = "task", **payload: Any) -> None:
    """Register a task whose handler logs, and is called once."""
    await client.register_task(name=name, schedule="@manual", handler="report", payload=payload, policy=ONCE)


async def failed(client: AsyncClient) -> str:
    """Let an execution log three lines and fail for a key that its rows lack; return its id."""
    await registered(client, lines=3, by="by")
    return (await client.run_task_now("task")).execution.id


def seeded(execution_id: str, attempt: int, texts: list[str]) -> LogLines:
    """Return the lines of an attempt."""
    lines = (LogLine(number, START, "info", text) for number, text in enumerate(texts, start=1))
    return LogLines(execution_id=execution_id, attempt=attempt, lines=tuple(lines))


# -- GetExecution


async def test_a_failed_execution_keeps_its_lines_and_its_traceback(live: Live):
    """In order, with file and line: what the error alone does not tell."""
    execution_id = await failed(live.client)
    execution = await live.client.get_execution(execution_id, log_lines=100)
    assert (execution.state, execution.error) == (State.FAILED, "KeyError: 'by'")
    assert execution.log is not None
    *lines, (attempt, traceback) = execution.log.lines
    assert [(of, line.sequence, line.level) for of, line in lines] == [(1, n, "info") for n in (1, 2, 3)]
    assert all("report.row" in line.text for _, line in lines)
    assert (attempt, traceback.sequence, traceback.level) == (1, 4, "error")
    assert traceback.text.startswith("Traceback (most recent call last):\n")
    assert 'support/handlers/ordinary.py", line ' in traceback.text
    assert traceback.text.rstrip().endswith("KeyError: 'by'")
    assert execution.log.dropped == 0


async def test_lines_are_read_when_they_are_asked_for(live: Live):
    """The newest so many, the oldest of them first; the others are counted. Without a number there is no log."""
    execution_id = await failed(live.client)
    execution = await live.client.get_execution(execution_id, log_lines=2)
    assert execution.log is not None
    assert [line.sequence for _, line in execution.log.lines] == [3, 4]
    assert execution.log.dropped == 2
    assert (await live.client.get_execution(execution_id)).log is None


@pytest.mark.parametrize("lines", [-1, 1001])
async def test_a_number_of_lines_out_of_bounds_is_refused(live: Live, lines: int):
    """By its field, whether the execution is there or not."""
    request = pb.GetExecutionRequest(id="exec_x", log_lines=lines)
    code, _, _, violations = await refused(live.stub.GetExecution(request))
    assert (code, violations) == (Code.INVALID_ARGUMENT, {"log_lines": "must be between 0 and 1000"})


async def test_an_execution_that_is_not_there_has_no_log(live: Live):
    """It is not found, as without lines."""
    code, why, _, _ = await refused(live.stub.GetExecution(pb.GetExecutionRequest(id="exec_x", log_lines=1)))
    assert (code, why) == (Code.NOT_FOUND, "EXECUTION_NOT_FOUND")


async def test_lines_and_progress_of_a_running_handler_are_read_at_once(live: Live, tmp_path: Path):
    """The server writes what it buffers of an execution before it answers."""
    until_there = tmp_path / "until"
    await registered(live.client, lines=2, until=str(until_there), progress="half of it")
    async with live.client.watch_executions(log_lines=True) as events:
        begun = (await live.client.run_task_now("task", detach=True)).execution
        while not isinstance(await anext(events), Logged):
            pass

        async def has_all() -> bool:
            found = await live.client.get_execution(begun.id, log_lines=10)
            return found.log is not None and len(found.log.lines) == 2 and found.progress is not None

        await until(has_all)
    found = await live.client.get_execution(begun.id)
    assert found.state is State.RUNNING
    assert found.progress is not None
    assert (found.progress.fraction, found.progress.text, found.progress.attempt) == (0.5, "half of it", 1)
    assert found.progress.report_time >= begun.create_time
    until_there.touch()

    async def has_ended() -> bool:
        return (await live.client.get_execution(begun.id)).state is State.SUCCEEDED

    await until(has_ended)
    ended = await live.client.get_execution(begun.id)
    assert ended.progress == found.progress


async def test_a_waiting_execution_has_an_empty_log(live: Live):
    """Empty, not missing: its caller may read lines."""
    await live.client.register_task(name="t", schedule="@manual", handler="nobodys", allow_unknown_handler=True)
    waiting = (await live.client.run_task_now("t", detach=True)).execution
    assert (await live.client.get_execution(waiting.id, log_lines=5)).log == KeptLog()


async def test_a_thousand_lines_come_in_one_answer(live: Live):
    """Of five attempts, in the order of attempts and sequences."""
    execution_id = await failed(live.client)
    for attempt in range(2, 8):
        chunk = seeded(execution_id, attempt, [f"line {number}" for number in range(200)])
        await live.parts.store.append_logs([chunk], now=START)
    execution = await live.client.get_execution(execution_id, log_lines=1000)
    assert execution.log is not None
    places = [(attempt, line.sequence) for attempt, line in execution.log.lines]
    assert places == [(attempt, number) for attempt in range(3, 8) for number in range(1, 201)]
    assert execution.log.dropped == 204


async def test_a_log_ends_before_three_mebibytes(live: Live):
    """A client with gRPC's defaults accepts every answer: the newest lines are kept, the others counted."""
    execution_id = await failed(live.client)
    for attempt in range(2, 72):
        chunk = seeded(execution_id, attempt, [f"{number:02}" + "\u00e4" * 2000 for number in range(14)])
        await live.parts.store.append_logs([chunk], now=START)
    request = pb.GetExecutionRequest(id=execution_id, log_lines=1000)
    answer = await live.stub.GetExecution(request)
    assert MAX_PAGE_BYTES - 5000 < answer.log.ByteSize() < MAX_PAGE_BYTES + 5000
    assert (answer.log.lines[-1].attempt, answer.log.lines[-1].sequence) == (71, 14)
    assert len(answer.log.lines) + answer.log.dropped_count == 70 * 14 + 4


async def test_hostile_text_is_kept_as_text(live: Live):
    """Escapes and directions reach the caller, who shows them safely; a NUL is replaced: PostgreSQL stores none."""
    text = "a\x1b[2Jb\u202ec\x00d\u2028e\nf\x07"
    await registered(live.client, texts=[text])
    ran = (await live.client.run_task_now("task")).execution
    found = await live.client.get_execution(ran.id, log_lines=10)
    assert found.log is not None
    (line,) = (line for _, line in found.log.lines if line.level == "warning")
    assert text.replace("\x00", "\ufffd") in line.text


# -- WatchExecutions


async def events_until_the_end(events: AsyncIterator[Any], execution_id: str) -> list[Any]:
    """Return the events up to the one of an execution's end."""
    found = []
    async for event in events:
        found.append(event)
        if isinstance(event, Transition) and event.execution.id == execution_id and event.execution.state.is_terminal:
            break
    return found


async def test_lines_are_sent_to_watchers_who_ask_for_them(live: Live):
    """As they come; to others, nothing of them."""
    client = live.client
    async with client.watch_executions(log_lines=True) as watch, client.watch_executions() as other:
        execution_id = await failed(client)
        found = [each for each in await events_until_the_end(watch, execution_id) if isinstance(each, Logged)]
        assert not any(isinstance(each, Logged) for each in await events_until_the_end(other, execution_id))
    assert {(each.execution_id, each.task_name, each.namespace, each.attempt) for each in found} == {
        (execution_id, "task", "default", 1)
    }
    lines = [line for each in found for line in each.lines]
    kept = (await client.get_execution(execution_id, log_lines=100)).log
    assert kept is not None
    assert lines == [line for _, line in kept.lines]


async def test_the_events_of_one_execution(live: Live):
    """Of all kinds, and of no other execution; lines belong to RUNNING, as progress does."""
    await registered(live.client, lines=1)
    first = (await live.client.run_task_now("task")).execution
    asked_for: list[dict[str, Any]] = [{"execution_id": first.id}, {"states": [pb.Execution.FAILED]}, {}]
    streams = [
        live.stub.WatchExecutions(pb.WatchExecutionsRequest(task_name="task", log_lines=True, **each))
        for each in asked_for
    ]
    for stream in streams:
        await stream.initial_metadata()
    await live.client.run_task_now("task")
    live.parts.service.drain()
    others, failures, everything = [[each.WhichOneof("event") async for each in stream] for stream in streams]
    assert (others, failures) == ([], [])
    assert set(everything) == {"transition", "progress", "log"}


# -- namespaces and scopes


async def test_lines_of_another_namespace_are_not_there(live: Live):
    """Neither read by the execution's id, nor watched."""
    await live.client.create_namespace("reports")
    reports = live.client.in_namespace("reports")
    async with live.client.watch_executions(log_lines=True) as ours, reports.watch_executions(log_lines=True) as theirs:
        execution_id = await failed(reports)
        assert any(isinstance(each, Logged) for each in await events_until_the_end(theirs, execution_id))
        unseen = asyncio.ensure_future(anext(ours))
        with pytest.raises(errors.ExecutionNotFound):
            await live.client.get_execution(execution_id, log_lines=10)
        found = await reports.get_execution(execution_id, log_lines=10)
        assert found.log is not None
        assert len(found.log.lines) == 4
        assert not unseen.done()
        unseen.cancel()


@pytest.fixture
async def teams(database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Teams]:
    """A server that knows its callers."""
    monkeypatch.setattr(gate, "SLOWED_BY", 0.0)
    async with serving_teams(database, tmp_path) as teams:
        yield teams


@asynccontextmanager
async def client_of(teams: Teams, who: str) -> AsyncIterator[AsyncClient]:
    """Yield a client with a caller's key."""
    token = teams.authorizations[who][0].removeprefix("Bearer ")
    async with calling(teams.live.parts.address, token=token) as client:
        yield client


async def test_who_may_only_observe_sees_no_line(teams: Teams):
    """Neither kept nor as it comes, nor the text of progress; a reader sees them."""
    async with (
        client_of(teams, "write") as writer,
        client_of(teams, "observe") as observer,
        client_of(teams, "read") as reader,
        observer.watch_executions(log_lines=True) as observed,
        reader.watch_executions(log_lines=True) as seen,
    ):
        await registered(writer, texts=[MARKER], progress=MARKER, by=MARKER)
        ran = (await writer.run_task_now("task")).execution
        watched = await events_until_the_end(observed, ran.id)
        assert MARKER not in repr(watched)
        assert not any(isinstance(each, Logged) for each in watched)
        assert MARKER in repr([each for each in await events_until_the_end(seen, ran.id) if isinstance(each, Logged)])
        withheld = await observer.get_execution(ran.id, log_lines=100)
        assert (withheld.log, MARKER in repr(withheld)) == (None, False)
        assert withheld.progress is not None
        assert (withheld.progress.fraction, withheld.progress.text) == (0.5, "")
        shown = await reader.get_execution(ran.id, log_lines=100)
        assert shown.log is not None
        assert shown.progress is not None
        assert (MARKER in repr(shown.log), shown.progress.text) == (True, MARKER)


async def test_over_http_a_log_is_refused_to_who_may_only_observe(teams: Teams):
    """By the scope that is missing; what the caller's grants do not cover is not there."""
    async with client_of(teams, "write") as writer:
        execution_id = await failed(writer)
    address = f"http://{teams.live.parts.http_address}"
    async with httpx2.AsyncClient(base_url=address, timeout=AT_MOST, trust_env=False) as http:
        for who, status in (("read", 200), ("inside", 200), ("observe", 403), ("outside", 404), ("nobody", 401)):
            headers = [("authorization", value) for value in teams.authorizations[who]]
            answer = await http.get(f"/executions/{execution_id}/logs", headers=headers)
            assert (answer.status_code, "Traceback" in answer.text) == (status, status == 200), who
