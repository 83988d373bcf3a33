"""Both clients against the real server: what they are told is what the service did."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.servers.live import HANDLER, Live

from schedule_grpc import errors
from schedule_grpc.client import AsyncClient, Client
from schedule_grpc.domain.execution import ExecutionFilter, State, Trigger
from schedule_grpc.domain.policy import CatchUp, Overlap, Policy, Window
from schedule_grpc.domain.registration import Registration
from schedule_grpc.domain.retry import RetryPolicy
from schedule_grpc.domain.task import TaskFilter, define
from schedule_grpc.events import Progress, Transition

DAY = timedelta(days=1)


@pytest.fixture
def client(live: Live, asker) -> Client | AsyncClient:
    """A client of the live server, of either kind."""
    return asker(live.parts.address)


@pytest.fixture
def ask(client: Client | AsyncClient, asker) -> Callable[..., Awaitable[Any]]:
    """Ask the live server by the name of a method and its arguments."""
    return partial(asker.ask, client)


async def test_a_task_from_its_registration_to_its_deletion(ask):
    """Registered, read, changed, paused, resumed, deleted; each answer is the task as it then is."""
    policy = Policy(
        timeout=timedelta(seconds=90),
        retry=RetryPolicy(max_retries=0),
        overlap=Overlap.CANCEL_OTHER,
        catch_up=CatchUp.NONE,
        window=Window(end_time=datetime(2100, 1, 1, tzinfo=UTC)),
    )
    registered = await ask(
        "register_task",
        name="report",
        schedule="30 2 * * *",
        time_zone="Europe/Berlin",
        handler=HANDLER,
        payload={"to": ["a@example.com"], "count": 3, "half": 0.5, "none": None},
        metadata={"category": "mail"},
        policy=policy,
    )
    assert registered.definition.payload == {"to": ["a@example.com"], "count": 3, "half": 0.5, "none": None}
    assert (registered.policy, registered.enabled) == (policy, True)
    assert registered.next_run_time == registered.schedule.next_after(registered.create_time)
    assert await ask("get_task", "report") == registered
    assert (await ask("list_tasks", TaskFilter(category="mail"))).tasks == (registered,)

    changed = await ask(
        "update_task",
        "report",
        time_zone="",
        payload={},
        enabled=False,
        policy={"timeout": None, "retry.max_retries": 7, "window.end_time": None, "catch_up": CatchUp.ALL},
        etag=registered.etag,
    )
    assert (changed.schedule.text, changed.schedule.time_zone) == ("30 2 * * *", "UTC")
    assert (changed.definition.payload, changed.definition.metadata) == ({}, {"category": "mail"})
    assert (changed.enabled, changed.next_run_time) == (False, None)
    assert changed.policy == policy.with_fields(
        {"timeout": None, "retry.max_retries": 7, "window.end_time": None, "catch_up": CatchUp.ALL}
    )
    assert await ask("update_task", "report") == changed
    with pytest.raises(errors.EtagMismatch):
        await ask("update_task", "report", description="late", etag=registered.etag)

    assert (await ask("enable_task", "report")).enabled
    disabled = await ask("disable_task", "report", note="broken")
    assert (disabled.enabled, disabled.note) == (False, "broken")
    with pytest.raises(errors.TaskDisabled):
        await ask("run_task_now", "report")

    assert await ask("delete_task", "report") is None
    for rpc in ("get_task", "enable_task", "update_task", "delete_task"):
        with pytest.raises(errors.TaskNotFound, match="Task not found: report"):
            await ask(rpc, "report")


async def test_what_the_server_refuses_is_told_field_by_field(ask):
    """As InvalidArgument, a bad schedule as InvalidSchedule, an unknown handler with the names there are."""
    with pytest.raises(errors.InvalidArgument) as caught:
        await ask("register_task", name="a/b", schedule="@daily", handler="")
    assert {violation.field for violation in caught.value.violations} == {"name", "handler"}
    with pytest.raises(errors.InvalidSchedule) as wrong:
        await ask("register_task", name="a", schedule="61 * * * *", handler=HANDLER)
    assert wrong.value.field == "schedule"
    with pytest.raises(errors.HandlerNotFound, match=HANDLER):
        await ask("register_task", name="a", schedule="@daily", handler="nobody")
    assert (await ask("list_tasks")).tasks == ()


async def test_a_batch_is_registered_as_a_whole_or_not_at_all(ask):
    """In the order that was asked; with one unknown handler nothing is registered."""
    batch = [
        Registration(definition=define(name=name, schedule="@daily", handler=HANDLER), enabled=name != "b")
        for name in ("c", "a", "b")
    ]
    bad = Registration(definition=define(name="d", schedule="@daily", handler="nobody"))
    with pytest.raises(errors.HandlerNotFound):
        await ask("batch_register_tasks", [*batch, bad])
    assert await ask("tasks") == []
    assert [task.name for task in await ask("batch_register_tasks", batch, validate_only=True)] == ["c", "a", "b"]
    assert await ask("tasks") == []
    registered = await ask("batch_register_tasks", batch)
    assert [(task.name, task.enabled) for task in registered] == [("c", True), ("a", True), ("b", False)]
    assert await ask("tasks") == sorted(registered, key=lambda task: task.name)


async def test_lists_are_read_page_by_page(ask):
    """Five tasks and five executions in pages of two; a filter goes along with every page."""
    for number in range(5):
        await ask("register_task", name=f"t{number}", schedule="@manual", handler=HANDLER, enabled=number != 3)
    ran = [await ask("run_task_now", name) for name in ("t0", "t1", "t2", "t2", "t2")]
    newest_first = [result.execution for result in reversed(ran)]
    assert [task.name for task in await ask("tasks", page_size=2)] == ["t0", "t1", "t2", "t3", "t4"]
    assert [task.name for task in await ask("tasks", TaskFilter(enabled=True), page_size=2)] == ["t0", "t1", "t2", "t4"]
    assert await ask("executions", page_size=2) == newest_first
    assert await ask("executions", ExecutionFilter(states=frozenset({State.FAILED})), page_size=2) == []
    assert await ask("task_history", "t2", page_size=2) == newest_first[:3]
    page = await ask("list_executions", page_size=4)
    assert (page.executions, bool(page.next_page_token)) == (tuple(newest_first[:4]), True)
    rest = await ask("list_executions", page_size=4, page_token=page.next_page_token)
    assert (rest.executions, rest.next_page_token) == (tuple(newest_first[4:]), "")


async def test_a_list_may_be_larger_than_four_megabytes(ask):
    """Eighty payloads of 60 kB are two pages, whatever their number."""
    payload = {"text": "x" * 60_000}
    for first in range(0, 80, 16):
        names = [f"t{number}" for number in range(first, first + 16)]
        definitions = [define(name=name, schedule="@daily", handler=HANDLER, payload=payload) for name in names]
        await ask("batch_register_tasks", [Registration(definition=definition) for definition in definitions])
    assert [task.definition.payload for task in await ask("tasks")] == [payload] * 80
    first_page = await ask("list_tasks", page_size=1000)
    following = await ask("list_tasks", page_size=1000, page_token=first_page.next_page_token)
    assert len(first_page.tasks) + len(following.tasks) == 80
    assert following.next_page_token == ""


async def test_a_run_is_waited_for_or_not(ask, tmp_path: Path):
    """Waiting tells the end and the result, detached the beginning; the same request id gives the same execution."""
    notes = {"file": str(tmp_path / "notes")}
    await ask("register_task", name="task", schedule="@manual", handler="note", payload={"file": "/nowhere/at/all"})
    result = await ask("run_task_now", "task", payload=notes, request_id="one")
    assert result.success
    execution = result.execution
    assert (execution.state, execution.trigger, execution.result) == (
        State.SUCCEEDED,
        Trigger.MANUAL,
        {"success": True},
    )
    assert execution.payload == notes
    assert (await ask("run_task_now", "task", payload=notes, request_id="one")).execution == execution
    assert await ask("get_execution", execution.id) == execution
    assert (await ask("get_task_history", "task")).executions == (execution,)
    with pytest.raises(errors.ExecutionNotFound):
        await ask("get_execution", "exec_nobody")


async def test_a_running_execution_is_cancelled(ask, tmp_path: Path):
    """It ends CANCELLED, with the reason; who waited for it is told so."""
    await ask("register_task", name="task", schedule="@manual", handler="note")
    payload = {"file": str(tmp_path / "notes"), "seconds": 3600}
    detached = await ask("run_task_now", "task", payload=payload, detach=True, request_id="one")
    assert detached.success
    waiting = asyncio.ensure_future(ask("run_task_now", "task", payload=payload, request_id="one"))
    await ask("cancel_execution", detached.execution.id, note="wrong day")
    ended = await waiting
    assert not ended.success
    assert (ended.execution.state, ended.execution.error) == (State.CANCELLED, "wrong day")
    assert ended.execution.cancel_requested_time is not None or ended.execution.attempt == 0


async def test_the_manual_cron_trigger_runs_what_means_the_same(ask):
    """@hourly is 0 * * * *, in whatever zone."""
    for name, schedule, zone in (("a", "@hourly", "Asia/Tokyo"), ("b", "0 * * * *", "UTC"), ("c", "1 * * * *", "UTC")):
        await ask("register_task", name=name, schedule=schedule, time_zone=zone, handler=HANDLER)
    executions = await ask("trigger_cron", "0 */1 * * *")
    assert [(each.task_name, each.trigger) for each in executions] == [("a", Trigger.CRON), ("b", Trigger.CRON)]
    with pytest.raises(errors.InvalidArgument):
        await ask("trigger_cron", "at noon")


async def test_a_preview_tells_times_and_what_the_clocks_do(ask):
    """The night in which Berlin's clocks skip an hour; nothing is stored."""
    preview = await ask(
        "preview_schedule",
        "30 2 * * *",
        time_zone="Europe/Berlin",
        count=3,
        start_time=datetime(2026, 3, 27, 12, tzinfo=UTC),
    )
    assert preview.schedule.text == "30 2 * * *"
    assert [f"{time:%d %H:%M}" for time in preview.times] == ["28 01:30", "29 01:00", "30 00:30"]
    assert ["2026-03-29" in note for note in preview.notes] == [True]
    assert len((await ask("preview_schedule", "every 1 minute")).times) == 10
    with pytest.raises(errors.InvalidSchedule):
        await ask("preview_schedule", "@daily", time_zone="Mars/Olympus")


async def test_a_backfill_records_what_was_not_run_and_can_be_repeated(ask):
    """Three days of the past, then four: one is new."""
    await ask("register_task", name="task", schedule="@daily", handler=HANDLER)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    first = await ask("backfill_task", "task", start_time=start, end_time=start + 3 * DAY)
    assert [each.scheduled_time for each in first.executions] == [start, start + DAY, start + 2 * DAY]
    assert (first.existing_count, {each.trigger for each in first.executions}) == (0, {Trigger.BACKFILL})
    second = await ask("backfill_task", "task", start_time=start, end_time=start + 4 * DAY)
    assert ([each.scheduled_time for each in second.executions], second.existing_count) == ([start + 3 * DAY], 3)


async def test_handlers_and_built_in_tasks(ask):
    """Both lists are the server's own, and the second time there is nothing left to register."""
    handlers = {handler.name: handler for handler in await ask("list_handlers")}
    assert handlers["steps"].concurrency == 2
    assert (handlers[HANDLER].offered, handlers[HANDLER].concurrency) == (True, None)
    tasks = await ask("initialize_default_tasks")
    assert [task.name for task in tasks] == [task.name for task in await ask("tasks")] != []
    assert await ask("initialize_default_tasks") == ()


# -- watching


async def test_a_watch_tells_what_happens(client, live: Live, ask, asker):
    """All of a run, with its progress; another task's events are not told."""
    for name in ("steps", "other"):
        await ask("register_task", name=name, schedule="@manual", handler="steps")
    watch = await asker.watch(client, "steps")
    await ask("run_task_now", "other")
    await ask("run_task_now", "steps")
    recorded, started, progress, ended = await asker.events(watch, 4)
    await asker.close(watch)
    assert isinstance(recorded, Transition)
    assert (recorded.previous_state, recorded.execution.state) == (None, State.PENDING)
    assert (started.previous_state, started.execution.state) == (State.PENDING, State.RUNNING)
    assert isinstance(progress, Progress)
    assert (progress.execution_id, progress.task_name) == (recorded.execution.id, "steps")
    assert (progress.fraction, progress.text) == (1.0, "all of it")
    assert (ended.previous_state, ended.execution.state) == (State.RUNNING, State.SUCCEEDED)
    assert ended.time == ended.execution.end_time


async def test_a_watch_of_some_states(client, live: Live, ask, asker):
    """Ends only: of two runs, one event each."""
    await ask("register_task", name="task", schedule="@manual", handler=HANDLER)
    watch = await asker.watch(client, states=[State.SUCCEEDED, State.FAILED])
    results = [await ask("run_task_now", "task") for _ in range(2)]
    told = await asker.events(watch, 2)
    await asker.close(watch)
    assert [event.execution for event in told] == [result.execution for result in results]


async def test_a_watch_without_patience_ends_when_the_server_stops(live: Live, ask, asker):
    """After what has happened until then; as a stream that is over, not as an error."""
    client = asker(live.parts.address, patience=0)
    await ask("register_task", name="task", schedule="@manual", handler=HANDLER)
    watch = await asker.watch(client)
    await ask("run_task_now", "task")
    live.parts.service.drain()
    states = [event.execution.state for event in await asker.events(watch)]
    assert states == [State.PENDING, State.RUNNING, State.SUCCEEDED]


# -- the end of a client


async def test_a_closed_client_says_so(client, ask, asker):
    """Unavailable, however often it was closed."""
    for _ in range(2):
        await asker.close(client)
        with pytest.raises(errors.Unavailable, match="The client is closed"):
            await ask("list_handlers")
        with pytest.raises(errors.Unavailable, match="The client is closed"):
            await ask("tasks")
        with pytest.raises(errors.Unavailable, match="The client is closed"):
            await ask("watch")


async def test_who_waits_while_the_client_is_closed_is_told(client, ask, asker, live: Live, tmp_path: Path):
    """Unavailable too, and the execution goes on without the call."""
    await ask("register_task", name="task", schedule="@manual", handler="note")
    payload = {"file": str(tmp_path / "notes"), "seconds": 3600}
    async with live.client.watch("task", [State.RUNNING]) as events:
        waiting = asyncio.ensure_future(ask("run_task_now", "task", payload=payload))
        begun = await anext(events)
    await asker.close(client)
    with pytest.raises(errors.Unavailable, match="The client is closed"):
        await waiting
    assert isinstance(begun, Transition)
    assert (await live.client.get_execution(begun.execution.id)).state is State.RUNNING
    await live.client.cancel_execution(begun.execution.id)


async def test_a_task_that_waits_for_a_call_can_be_cancelled(live: Live, tmp_path: Path):
    """It ends cancelled, as any other; the execution goes on."""
    await live.client.register_task(name="task", schedule="@manual", handler="note")
    payload = {"file": str(tmp_path / "notes"), "seconds": 3600}
    async with live.client.watch("task", [State.RUNNING]) as events:
        waiting = asyncio.ensure_future(live.client.run_task_now("task", payload=payload))
        begun = await anext(events)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert isinstance(begun, Transition)
    assert (await live.client.get_execution(begun.execution.id)).state is State.RUNNING
    await live.client.cancel_execution(begun.execution.id)
