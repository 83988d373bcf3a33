"""What callers with few rights see of tasks and executions, how their streams end, and whose the changes are."""

import asyncio
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest
from support.callers.every_rpc import SERVICE, WATCH, accepted, raw
from support.callers.raw_http import raw as raw_http
from support.patience import AT_MOST, calling, until
from support.servers.live import serving
from support.servers.teams import Teams, channel_to, serving_teams

from schedule_grpc import errors
from schedule_grpc.access import gate
from schedule_grpc.access.rules import RULES, SCHEDULE, WORKERS
from schedule_grpc.client import AsyncClient
from schedule_grpc.domain.access.scope import Scope
from schedule_grpc.domain.policy import Policy
from schedule_grpc.pb import schedule_pb2 as pb

MARKER = b"hunter2"
"""What a caller that may only observe must not see."""
SEEN_WITH_OBSERVE = [rpc.removeprefix(SCHEDULE) for rpc, rule in RULES.items() if rule.scope is Scope.OBSERVE]
WITHOUT_CONTENT = (WATCH, "ListHandlers", "PreviewSchedule", "GetUpcomingRuns")
SEEN_WITH_OBSERVE = [rpc for rpc in SEEN_WITH_OBSERVE if rpc != "metrics" and not rpc.startswith(WORKERS)]


@pytest.fixture
async def teams(database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Teams]:
    """A server that knows its callers; one task whose executions hold the marker wherever they hold content."""
    monkeypatch.setattr(gate, "SLOWED_BY", 0.0)
    async with serving_teams(database, tmp_path) as teams:
        yield teams


@asynccontextmanager
async def client_of(teams: Teams, who: str) -> AsyncIterator[AsyncClient]:
    """Yield a client with a caller's key."""
    token = teams.authorizations[who][0].removeprefix("Bearer ")
    async with calling(teams.live.parts.address, token=token) as client:
        yield client


async def marked(teams: Teams) -> str:
    """Let a task fail with the marker in its error, its payload and its metadata; return the execution's id."""
    async with client_of(teams, "write") as writer:
        await writer.register_task(
            name="task",
            schedule="@manual",
            handler="fail",
            payload={"secret": "hunter2", "hunter2": 1},
            metadata={"note": "hunter2", "category": "c"},
            policy=Policy().with_fields({"retry.max_retries": 0}),
        )
        ran = await writer.run_task_now("task", payload={"words": "hunter2"})
    return ran.execution.id


async def test_who_may_only_observe_sees_no_content(teams: Teams):
    """In no byte of any answer; a reader sees it in all of them."""
    execution = await marked(teams)
    seen: dict[str, bytes] = {}
    async with channel_to(teams.live.parts.address) as channel:
        for who in ("observe", "read"):
            for rpc in SEEN_WITH_OBSERVE:
                if rpc == WATCH:
                    continue
                request = accepted(rpc, "task", execution).SerializeToString()
                seen[f"{who} {rpc}"] = await raw(channel, rpc)(request, metadata=teams.metadata(who), timeout=AT_MOST)
    assert [call for call, answer in seen.items() if MARKER in answer] == [
        "read " + rpc
        for rpc in SEEN_WITH_OBSERVE
        if rpc not in (WATCH, "ListHandlers", "PreviewSchedule", "GetUpcomingRuns")
    ]
    assert all(answer for call, answer in seen.items())


async def test_who_may_only_observe_sees_no_content_over_http(teams: Teams):
    """The same of the routes."""
    execution = await marked(teams)
    paths = ["/tasks", "/tasks/task", "/tasks/task/history", "/executions", f"/executions/{execution}"]
    paths += ["/tasks?view=full&sort=last", "/summary", "/tasks/task/why?from=2026-01-01T00:00:00Z"]
    address = f"http://{teams.live.parts.http_address}"
    async with httpx2.AsyncClient(base_url=address, timeout=AT_MOST, trust_env=False) as client:
        for path in paths:
            for who, sees in (("observe", False), ("read", True)):
                headers = {"authorization": teams.authorizations[who][0]}
                answer = await client.get(path, headers=headers)
                assert (answer.status_code, MARKER in answer.content) == (200, sees), (path, who)


async def test_who_may_only_observe_finds_no_task_by_its_metadata(teams: Teams):
    """A list filtered by category would tell by its length what the answer leaves out."""
    await marked(teams)
    found = {}
    for who in ("observe", "inside", "read"):
        for question in ({"category": "c"}, {"handler": "fail"}):
            request = pb.ListTasksRequest(**question)
            answer = await teams.live.stub.ListTasks(request, metadata=teams.metadata(who), timeout=AT_MOST)
            found[who, *question] = [task.name for task in answer.tasks]
    assert found.pop(("observe", "category")) == []
    assert set(map(tuple, found.values())) == {("task",)}


async def test_events_are_told_without_content_to_who_may_only_observe(teams: Teams):
    """In the same order, with the same states."""
    async with (
        client_of(teams, "observe") as observer,
        client_of(teams, "outside") as outside,
        observer.watch_executions() as watch,
        outside.watch_executions() as nothing,
    ):
        await marked(teams)
        events: list[Any] = [await anext(watch)]
        while str(events[-1].execution.state) != "FAILED":
            events.append(await anext(watch))
        unseen = asyncio.ensure_future(anext(nothing))
        assert "hunter2" not in repr(events)
        assert not unseen.done()
        unseen.cancel()


async def test_a_payload_of_its_own_takes_write_or_the_tasks_leave(teams: Teams):
    """A payload can undo a task's care: to run is less than to choose what is run."""
    async with client_of(teams, "run") as runner, client_of(teams, "write") as writer:
        assert (await runner.run_task_now("task")).success
        with pytest.raises(errors.PermissionDenied, match=r"write@default/task is needed \(for a payload"):
            await runner.run_task_now("task", payload={"keep": 1})
        with pytest.raises(errors.TaskNotFound):
            await runner.run_task_now("no-such-task", payload={"keep": 1})
        await writer.update_task("task", policy={"payload_override": True})
        assert (await runner.run_task_now("task", payload={"keep": 1})).success
        assert len([each async for each in runner.task_history("task")]) == 2


async def test_changes_and_runs_tell_whose_they_are(teams: Teams):
    """The name of the key; what only a schedule causes has none."""
    async with client_of(teams, "write") as writer, client_of(teams, "run") as runner:
        task = await writer.register_task(name="mine", schedule="@manual", handler="steps")
        assert task.changed_by == "key:write"
        assert (await runner.disable_task("mine", note="x")).changed_by == "key:run"
        assert (await runner.enable_task("mine")).changed_by == "key:run"
        same = await writer.enable_task("mine")
        assert same.changed_by == "key:run", "it changed nothing"
        ran = await runner.run_task_now("mine")
        assert ran.execution.triggered_by == "key:run"


# -- strangers


async def test_what_a_stranger_sends_is_not_read(teams: Teams):
    """gRPC does not parse it: bytes that are no message are refused for who sends them, not for what they are."""
    garbage = b"\xff" * 1_000_000
    async with channel_to(teams.live.parts.address) as channel:
        for who, code in (("nobody", "UNAUTHENTICATED"), ("no key", "UNAUTHENTICATED"), ("write", "INVALID_ARGUMENT")):
            call = channel.unary_unary(SCHEDULE + "RegisterTask")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(garbage, metadata=teams.metadata(who), timeout=AT_MOST)
            assert caught.value.code().name == code


async def test_a_strangers_body_is_not_waited_for(teams: Teams):
    """HTTP answers once it has the head: not a byte of the body was sent."""
    head = (
        b"POST /tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\nContent-Type: application/json\r\n\r\n"
    )
    answer = await raw_http(teams.live, head)
    assert answer.startswith(b"HTTP/1.1 401 ")


# -- streams


async def test_streams_end_with_their_key(teams: Teams):
    """Over gRPC and HTTP, within two seconds; those of another key go on."""
    async with calling(teams.socket) as operator:
        text = (await operator.create_key("leaked", ["observe@default"])).text
        address = f"http://{teams.live.parts.http_address}"
        async with (
            calling(teams.live.parts.address, token=text) as leaked,
            client_of(teams, "observe") as observer,
            httpx2.AsyncClient(base_url=address, timeout=AT_MOST, trust_env=False) as http,
            leaked.watch_executions() as ending,
            observer.watch_executions() as going_on,
        ):
            headers = {"authorization": f"Bearer {text}"}
            async with http.stream("GET", "/events", headers=headers) as events:
                assert events.status_code == 200
                loop = asyncio.get_running_loop()
                began = loop.time()
                await operator.revoke_key("leaked")
                with pytest.raises(errors.Unauthenticated):
                    await anext(ending)
                async for _ in events.aiter_bytes():
                    pass
                assert loop.time() - began < 2
            await operator.run_task_now("task", detach=True)
            assert await anext(going_on)


async def test_a_run_that_is_waited_for_ends_with_its_key_and_goes_on(teams: Teams, tmp_path: Path):
    """Its caller may no longer read the result; the execution is none the worse."""
    go = tmp_path / "go"
    async with calling(teams.socket) as operator:
        await operator.register_task(name="long", schedule="@manual", handler="held", payload={"until": str(go)})
        text = (await operator.create_key("leaked", ["run@default"])).text
        async with calling(teams.live.parts.address, token=text) as leaked:
            waiting = asyncio.ensure_future(leaked.run_task_now("long"))

            async def runs() -> bool:
                found = [each async for each in operator.task_history("long")]
                return bool(found) and str(found[0].state) == "RUNNING"

            await until(runs)
            await operator.revoke_key("leaked")
            with pytest.raises(errors.Unauthenticated):
                await waiting
        go.touch()

        async def is_done() -> bool:
            page = await operator.get_task_history("long")
            return str(page.executions[0].state) == "SUCCEEDED"

        await until(is_done)


# -- the first key


@pytest.mark.keyless
async def test_no_caller_makes_the_first_key(database: Path):
    """Whoever is first would be the administrator; fifty at once are all refused, and the server stays as it was."""
    async with serving(database) as live:
        makers = (live.client.create_key(f"k{number}", ["admin@*"]) for number in range(50))
        answers = await asyncio.gather(*makers, return_exceptions=True)
        assert {type(answer) for answer in answers} == {errors.PermissionDenied}
        assert (await live.client.who_am_i()).name == "anonymous"


async def test_the_first_key_is_written_to_a_new_file(database: Path, tmp_path: Path):
    """That only its owner can read; it may do everything, and the server is closed from then on."""
    file = tmp_path / "first.key"
    async with serving(database, auth={"bootstrap_key_file": file}) as live:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        with pytest.raises(errors.Unauthenticated):
            await live.client.list_tasks()
        async with calling(live.parts.address, token_file=file) as operator:
            assert (await operator.who_am_i()).name == "key:bootstrap"
            await operator.create_namespace("reports")
            await operator.create_key("ci", ["write@reports"])
    async with (
        serving(database, auth={"bootstrap_key_file": file}) as live,
        calling(live.parts.address, token_file=file) as operator,
    ):
        assert len((await operator.list_keys()).keys) == 2, "there is a key: none is made"


@pytest.mark.keyless
async def test_a_first_key_never_takes_the_place_of_another_file(database: Path, tmp_path: Path):
    """The server does not start, and there is no key."""
    file = tmp_path / "first.key"
    file.write_text("mine")
    with pytest.raises(errors.CannotStart, match=r"auth\.bootstrap_key_file: .*first\.key: File exists"):
        async with serving(database, auth={"bootstrap_key_file": file}):
            pass
    assert file.read_text() == "mine"
    async with serving(database) as live:
        assert (await live.client.who_am_i()).name == "anonymous"


async def test_a_server_for_everybody_does_not_start_beside_keys(database: Path, tmp_path: Path):
    """The makers of the keys take it for closed."""
    async with serving(database, auth={"bootstrap_key_file": tmp_path / "first.key"}):
        pass
    with pytest.raises(errors.ConfigurationError, match=r"auth\.mode is off, and there are keys"):
        async with serving(database, auth={"mode": "off"}):
            pass


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_is_for_callers_unless_it_is_public(teams: Teams, tmp_path: Path, version: str):
    """The contract is the same for everybody, but a stranger need not find the service by it."""
    method = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"

    async def listed(address: str, metadata: Any) -> bytes:
        async with channel_to(address) as channel:
            call = channel.stream_stream(method)(metadata=metadata, timeout=AT_MOST)
            await call.write(b"\x3a\x00")  # list_services
            await call.done_writing()
            return await call.read()

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await listed(teams.live.parts.address, ())
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert SERVICE.full_name.encode() in await listed(teams.live.parts.address, teams.metadata("worker"))
    async with serving(tmp_path / "other.db", auth={"mode": "required", "public": ["reflection"]}) as open_one:
        assert SERVICE.full_name.encode() in await listed(open_one.parts.address, ())
