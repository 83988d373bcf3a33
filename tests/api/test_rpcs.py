"""Every rpc over a real socket: what it answers to our client."""

from datetime import timedelta
from pathlib import Path

import pytest
from support.servers.live import HANDLER, Code, Live, refused

from schedule_grpc import errors
from schedule_grpc.client import AsyncClient
from schedule_grpc.domain.execution import ExecutionFilter, State
from schedule_grpc.domain.retry import RetryPolicy
from schedule_grpc.domain.task import Overlap, Policy, TaskFilter
from schedule_grpc.pb import schedule_pb2 as pb


async def test_a_task_from_registration_to_history(live: Live):
    """The client's whole round: register, get, list, run, history, get execution."""
    policy = Policy(
        timeout=timedelta(seconds=2.5),
        overlap=Overlap.ALLOW_ALL,
        start_deadline=timedelta(minutes=5),
        retry=RetryPolicy(
            max_retries=0, initial_backoff=timedelta(milliseconds=1), multiplier=1.5, max_backoff=timedelta(0)
        ),
    )
    task = await live.client.register_task(
        name="task",
        schedule="30 2 * * *",
        handler=HANDLER,
        time_zone="Europe/Berlin",
        payload={"batch_size": 10},
        metadata={"category": "mine", "deep": [{"x": None, "y": [True, 0.5, "z"]}]},
        description="what it does",
        policy=policy,
    )
    assert task.definition.policy == policy
    assert task.definition.payload == {"batch_size": 10}
    assert task.definition.metadata == {"category": "mine", "deep": [{"x": None, "y": [True, 0.5, "z"]}]}
    assert (await live.client.get_task("task")) == task
    page = await live.client.list_tasks(TaskFilter(category="mine", enabled=True))
    assert page.tasks == (task,)
    assert [each async for each in live.client.tasks()] == [task]
    result = await live.client.run_task_now("task")
    assert (result.success, result.execution.state) == (True, State.SUCCEEDED)
    assert result.execution.result["message"] == "Deleted 0 expired sessions"
    history = await live.client.get_task_history("task", ExecutionFilter(states=frozenset({State.SUCCEEDED})))
    everything = await live.client.list_executions()
    assert history.executions == everything.executions == (result.execution,)
    assert await live.client.get_execution(result.execution.id) == result.execution
    assert (await live.client.get_task("task")).stats.success_count == 1


@pytest.mark.keyless
async def test_a_message_has_everything_that_the_contract_names(live: Live):
    """Every field of Task that can be set is set, but for what ListTasks alone tells."""
    await live.client.register_task(name="task", schedule="@hourly", handler=HANDLER, metadata={"description": "told"})
    await live.client.run_task_now("task")
    task = await live.stub.GetTask(pb.GetTaskRequest(name="task"))
    assert {field.name for field, _ in task.ListFields()} == {field.name for field in pb.Task.DESCRIPTOR.fields} - {
        "activity",
        "changed_by",
        "no_worker",
        "note",
        "trouble",
    }
    assert (task.id, task.description, task.time_zone) == ("task_task", "told", "UTC")
    assert task.schedule_description.startswith("Every hour")
    assert task.next_run_time == task.next_run_times[0]
    assert len(task.next_run_times) == 5


async def test_a_failed_run_is_an_answer_not_an_error(live: Live):
    """success is false, and the execution tells why."""
    await live.client.register_task(
        name="task", schedule="@manual", handler="fail", policy=Policy(retry=RetryPolicy(max_retries=0))
    )
    result = await live.client.run_task_now("task")
    assert result.success is False
    assert (result.execution.state, result.execution.error) == (State.FAILED, "ValueError: as asked")


async def test_a_detached_run_answers_at_once(live: Live, tmp_path: Path):
    """success says that it was recorded; the request id makes it repeatable."""
    await live.client.register_task(
        name="task", schedule="@manual", handler="note", payload={"file": str(tmp_path / "n"), "seconds": 30}
    )
    first = await live.client.run_task_now("task", detach=True, request_id="r")
    assert (first.success, first.execution.state.is_terminal) == (True, False)
    again = await live.client.run_task_now("task", detach=True, request_id="r")
    assert again.execution.id == first.execution.id
    overlapping = await live.client.run_task_now("task")
    assert (overlapping.success, overlapping.execution.state) == (False, State.SKIPPED)


async def test_switching_and_its_note(live: Live):
    """Disabled: no next run, the note shown; enabled: the note gone."""
    await live.client.register_task(name="task", schedule="@hourly", handler=HANDLER)
    disabled = await live.client.disable_task("task", note="why")
    assert (disabled.enabled, disabled.next_run_time, disabled.note) == (False, None, "why")
    assert (await live.client.enable_task("task", etag=disabled.etag)).note == ""


async def test_handlers_and_default_tasks(live: Live):
    """Names in order; the built-in tasks are registered once."""
    names = [handler.name for handler in await live.client.list_handlers()]
    assert names == sorted(names)
    assert {HANDLER, "note"} <= set(names)
    registered = [task.name for task in await live.client.initialize_default_tasks()]
    assert registered == [
        "backup-database",
        "check-rate-limits",
        "cleanup-expired-api-keys",
        "cleanup-expired-sessions",
        "cleanup-old-generations",
        "generate-missing-embeddings",
        "health-check-services",
        "update-analytics",
    ]
    assert await live.client.initialize_default_tasks() == ()


@pytest.mark.parametrize("error", [ValueError("SELECT secret"), SystemExit(3), KeyboardInterrupt()])
async def test_a_fault_of_ours_tells_an_id_and_nothing_else(live: Live, monkeypatch, error: BaseException):
    """INTERNAL at once, BaseException too; the text stays in the log."""

    async def failing(_):
        raise error

    monkeypatch.setattr(live.parts.service, "get_task", failing)
    code, reason, metadata, _ = await refused(live.stub.GetTask(pb.GetTaskRequest(name="x")))
    assert (code, reason, list(metadata)) == (Code.INTERNAL, "INTERNAL", ["error_id"])


async def test_an_absent_database_is_unavailable(live: Live, monkeypatch):
    """Never NOT_FOUND, never an empty list."""

    async def away(_):
        raise errors.DatabaseUnavailable("away")

    monkeypatch.setattr(live.parts.store, "find_task", away)
    code, reason, _, _ = await refused(live.stub.GetTask(pb.GetTaskRequest(name="x")))
    assert (code, reason) == (Code.UNAVAILABLE, "DATABASE_UNAVAILABLE")


async def test_the_client_raises_our_errors(live: Live):
    """By their reasons, with their violations; nobody there is Unavailable."""
    with pytest.raises(errors.TaskNotFound, match="Task not found: x"):
        await live.client.get_task("x")
    with pytest.raises(errors.InvalidSchedule) as caught:
        await live.client.register_task(name="x", schedule="99 * * * *", handler=HANDLER)
    assert (caught.value.field, caught.value.reason) == ("schedule", "minute: 99 is above 59")
    with pytest.raises(errors.HandlerNotFound):
        await live.client.register_task(name="x", schedule="@daily", handler="nobody")
    with pytest.raises(errors.InvalidArgument) as several:
        await live.client.register_task(name="a b", schedule="@daily", handler="c d")
    assert [violation.field for violation in several.value.violations] == ["name", "handler"]
    async with AsyncClient("127.0.0.1:1") as nobody:
        with pytest.raises(errors.Unavailable):
            await nobody.list_tasks()
