"""What users test schedules with: a whole service that does something only when it is told to."""

import asyncio
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from support.rigs import rig
from support.rigs.rig import START, at

from schedule_grpc import TaskContext, handler
from schedule_grpc.bindings import Environment
from schedule_grpc.domain.execution import Trigger
from schedule_grpc.domain.retry import FailureKind, RetryPolicy
from schedule_grpc.domain.task import Policy
from schedule_grpc.errors import ConfigurationError, EtagMismatch, HandlerNotFound, InvalidArgument, TaskNotFound
from schedule_grpc.testing import FakeClock, manual_service

HOUR = timedelta(hours=1)


@handler("tell")
async def tell(ctx: TaskContext) -> dict:
    """Return what it was given."""
    return {"payload": dict(ctx.payload), "now": ctx.now().isoformat()}


@handler("fails")
async def fails(ctx: TaskContext) -> dict:
    """Fail as often as the payload says."""
    if ctx.payload.get("times", 99) < ctx.attempt:
        return {"attempt": ctx.attempt}
    raise ValueError("broken")


@handler("waits")
async def waits(ctx: TaskContext) -> None:
    """Wait for ever."""
    await asyncio.Event().wait()


@handler("in-a-thread")
def in_a_thread(ctx: TaskContext) -> str:
    """Tell the thread's name."""
    return threading.current_thread().name


async def test_a_service_fires_as_time_passes():
    """Each occurrence at its own time, one after the other."""
    async with manual_service(tell, start=START) as service:
        task = await service.register("task", "@hourly", "tell", metadata={"category": "x"}, description="Tells")
        assert (task.definition.category, task.definition.description) == ("x", "Tells")
        await service.advance(timedelta(hours=3, minutes=30))
        history = await service.history("task")
        assert [each.scheduled_time for each in history] == [START + timedelta(hours=hour) for hour in (1, 2, 3)]
        assert [each.start_time for each in history] == [each.scheduled_time for each in history]
        assert [at(each.result["now"]) for each in history] == [each.scheduled_time for each in history]
        assert {each.trigger for each in history} == {Trigger.SCHEDULE}
        assert service.clock.now() == START + timedelta(hours=3, minutes=30)


async def test_tasks_fire_in_the_order_of_time():
    """Whatever their names and the order of their registration."""
    order = []

    @handler("notes")
    async def notes(ctx: TaskContext) -> None:
        order.append((ctx.task.name, f"{ctx.now():%H:%M}"))

    async with manual_service(start=START) as service:
        await service.register("b", "*/20 * * * *", notes)
        await service.register("a", "every 30 minutes", notes)
        await service.advance(3600)
    assert order[:3] == [("b", "10:20"), ("a", "10:30"), ("b", "10:40")]
    assert sorted(order[3:]) == [("a", "11:00"), ("b", "11:00")]


async def test_nothing_fires_before_its_time():
    """A tick does what is due at this instant, and moves no clock."""
    async with manual_service(in_a_thread, start=START) as service:
        await service.register("task", "@hourly", "in-a-thread")
        await service.tick()
        await service.advance(HOUR - timedelta(microseconds=1))
        assert await service.states("task") == []
        await service.advance(timedelta(microseconds=1))
        (execution,) = await service.history("task")
        assert execution.result.startswith("handler")


async def test_a_service_retries_as_time_passes():
    """After 1 s and 2 s, at the times of the policy; a run by hand ends with its first attempt."""
    async with manual_service(fails) as service:
        await service.register("task", "@manual", "fails")
        first = await service.run_now("task", payload={"times": 2})
        assert (first.state, first.attempt) == ("PENDING", 1)
        await service.advance(3)
        (done,) = await service.history("task")
        assert (done.state, done.result, [each.failure_kind for each in done.failed_attempts]) == (
            "SUCCEEDED",
            {"attempt": 3},
            [FailureKind.ERROR, FailureKind.ERROR],
        )


async def test_what_came_due_while_nobody_looked_is_caught_up():
    """The clock is moved by itself, as in a downtime: one run for the newest covers the older."""
    async with manual_service(tell, start=START) as service:
        await service.register("task", "@hourly", "tell")
        await service.clock.advance(5 * HOUR)
        await service.tick()
        (execution,) = await service.history("task")
        assert (execution.trigger, execution.scheduled_time) == (Trigger.SCHEDULE, START + 5 * HOUR)
        assert execution.covers is not None
        assert execution.covers.count == 4


async def test_a_service_refuses_what_the_service_refuses():
    """Handlers, schedules, going back in time; a disabled task does not fire."""
    async with manual_service(fails) as service:
        with pytest.raises(HandlerNotFound):
            await service.register("task", "@daily", "nobody")
        with pytest.raises(InvalidArgument):
            await service.register("task", "@fortnightly", "fails")
        with pytest.raises(ValueError, match="back"):
            await service.advance(-1)
        policy = Policy(retry=RetryPolicy(max_retries=0))
        await service.register("task", "@daily", "fails", policy=policy, enabled=False)
        await service.advance(timedelta(days=2))
        assert await service.states("task") == []
        await service.service.enable("task")
        await service.advance(timedelta(days=2))
        assert await service.states("task") == ["FAILED", "FAILED"]


async def test_a_registration_has_all_that_the_contract_has():
    """It may be validated only, is held to the etag of the task, and may name a handler that nobody offers yet."""
    async with manual_service(tell) as service:
        await service.register("task", "@daily", "tell", validate_only=True)
        with pytest.raises(TaskNotFound):
            await service.service.get_task("task")
        first = await service.register("task", "@daily", "tell")
        await service.register("task", "@hourly", "tell", etag=first.etag)
        with pytest.raises(EtagMismatch):
            await service.register("task", "@weekly", "tell", etag=first.etag)
        await service.register("other", "@hourly", "nobody", allow_unknown_handler=True)
        await service.advance(HOUR)
        assert (await service.states("task"), await service.states("other")) == (["SUCCEEDED"], ["PENDING"])


# -- handlers and bindings


async def test_handlers_are_functions_modules_and_names():
    """And those that are built in; one may be offered together with its task."""
    async with manual_service(rig, "support.handlers.ordinary", tell) as service:
        names = {offered.name for offered in await service.service.handlers()}
        assert names >= {"fate", "note", "tell", "cleanup-expired-sessions"}
        await service.register("late", "@manual", fails, payload={"times": 0})
        assert (await service.run_now("late")).result == {"attempt": 1}
        await service.register("again", "@manual", fails)
        await service.service.initialize_defaults()
        assert (await service.run_now("cleanup-expired-sessions")).result["deletedCount"] == 0


async def test_handlers_that_no_server_would_offer_are_refused():
    """Undecorated ones, modules without any, two of a name."""

    @handler("tell")
    async def another(ctx: TaskContext) -> None:
        """Have the name of another."""

    for given in ((print,), ("json",), (tell, another)):
        with pytest.raises(ConfigurationError):
            async with manual_service(*given):
                pass
    async with manual_service(tell) as service:
        with pytest.raises(ConfigurationError, match="two handlers are named tell"):
            await service.register("task", "@daily", another)


async def test_a_new_handler_is_refused_while_others_run():
    """Those that run belong to an engine that does not know it."""
    async with manual_service(waits) as service:
        await service.register("task", "@manual", "waits")
        await service.service.run_now("task", detach=True)
        await service.tick(wait=False)
        with pytest.raises(RuntimeError, match="tell is new, and handlers run"):
            await service.register("new", "@manual", tell)


async def test_the_platforms_database_is_there_unless_another_is_given(tmp_path: Path):
    """In a file of its own; a double in its place is handed to handlers as it is, and so is a whole environment."""
    async with manual_service() as service:
        await service.env.DB.execute("INSERT INTO sessions VALUES ('s', 'u', '2020-01-01 00:00:00')")
        await service.register("cleanup", "@manual", "cleanup-expired-sessions")
        assert (await service.run_now("cleanup")).result["deletedCount"] == 1
        assert await service.env.DB.fetch("SELECT * FROM sessions") == []
    double = object()

    @handler("uses")
    async def uses(ctx: TaskContext) -> bool:
        return ctx.env.DB is double

    async with manual_service(env={"DB": double, "OTHER": f"sqlite:///{tmp_path}/other.db"}) as service:
        await service.register("task", "@manual", uses)
        assert (await service.run_now("task")).result is True
        assert await service.env.OTHER.fetch("SELECT 1 AS one") == [{"one": 1}]
    env = Environment({"OTHER": f"sqlite:///{tmp_path}/other.db"})
    async with manual_service(uses, env=env) as service:
        await service.register("task", "@manual", "uses")
        assert "no binding is named DB (bindings: OTHER)" in ((await service.run_now("task")).failed_attempts[0].error)
    assert await env.OTHER.fetch("SELECT 2 AS two") == [{"two": 2}]
    await env.aclose()


# -- tasks of a file


async def test_the_tasks_of_a_configuration_are_registered(tmp_path: Path):
    """With their policies, as a server reads them; all, or none."""
    file = tmp_path / "schedule.toml"
    file.write_text(
        'handlers = ["mine"]\n[[tasks]]\nname = "a"\nschedule = "0 9 * * *"\ntime_zone = "Europe/Berlin"\n'
        'handler = "tell"\npayload = { n = 1 }\npolicy = { timeout = "5m" }\n'
    )
    async with manual_service(tell, start=START) as service:
        (task,) = await service.register_file(file)
        assert task.policy.timeout == timedelta(minutes=5)
        await service.advance(timedelta(days=1))
        (execution,) = await service.history("a")
        assert (execution.scheduled_time, execution.result["payload"]) == (at("2026-02-01T08:00"), {"n": 1})
        file.write_text(file.read_text() + '[[tasks]]\nname = "b"\nschedule = "@daily"\nhandler = "nobody"\n')
        with pytest.raises(HandlerNotFound):
            await service.register_file(str(file))
        file.write_text('handlers = ["mine"]\n')
        with pytest.raises(InvalidArgument):
            await service.register_file(file)


async def test_a_history_is_told_whole():
    """Beyond what one page holds."""
    async with manual_service(waits) as service:
        await service.register("task", "@manual", "waits")
        await asyncio.gather(*(service.service.run_now("task", detach=True) for _ in range(1001)))
        assert sorted(await service.states("task")) == ["PENDING"] + 1000 * ["SKIPPED"]


def test_a_clock_says_what_time_it_is():
    """One of them is enough."""

    async def both() -> None:
        async with manual_service(clock=FakeClock(START), start=START):
            pass

    with pytest.raises(ValueError, match="give one of them"):
        asyncio.run(both())
