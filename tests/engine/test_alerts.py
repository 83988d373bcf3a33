"""Conditions of tasks: one alert when one starts, one when it ends, and none in between."""

from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace
from support.rigs.rig import Rig, new_rig

from schedule_grpc.domain.condition import Phase
from schedule_grpc.domain.policy import Policy
from schedule_grpc.domain.registration import Registration
from schedule_grpc.domain.retry import RetryPolicy
from schedule_grpc.handlers import TaskContext, handler

ONCE = RetryPolicy(max_retries=0)


@handler("watch")
async def watch(ctx: TaskContext) -> None:
    """Tell what the payload says is wrong and what is not, then end as it says."""
    for key in ctx.payload.get("wrong", []):
        ctx.alert(f"{key} is down", "for a while", key=key)
    for key in ctx.payload.get("fine", []):
        ctx.recovered(key)
    if ctx.payload.get("fail"):
        raise ValueError("broken")


async def told(rig: Rig) -> list[tuple[str, str]]:
    """Return what is to be told now, and tell it."""
    found = []
    while alerts := await rig.store.unsent_alerts():
        for alert in alerts:
            found.append((alert.key, alert.phase.value))
            await rig.store.mark_alert_sent(alert)
    return found


async def run(rig: Rig, **payload) -> None:
    """Run the task once."""
    await rig.service.run_now("task", payload=payload, detach=True)
    await rig.tick()


@pytest.fixture
async def watched(rig: Rig) -> Rig:
    """A service with a task that tells of conditions."""
    await rig.register("task", "@manual", watch, policy=Policy(retry=ONCE))
    return rig


async def test_a_condition_is_told_when_it_starts_and_when_it_ends(watched: Rig):
    """Not each time it is seen, and each by its key."""
    await run(watched, wrong=["DB", "AI"])
    assert sorted(await told(watched)) == [("AI", "STARTED"), ("DB", "STARTED")]
    await run(watched, wrong=["DB"], fine=["AI"])
    assert await told(watched) == [("AI", "ENDED")]
    await run(watched, wrong=["DB"])
    assert await told(watched) == []
    await run(watched, fine=["DB", "AI"])
    assert await told(watched) == [("DB", "ENDED")]
    await run(watched, wrong=["DB"])
    assert await told(watched) == [("DB", "STARTED")]


async def test_what_ended_before_it_was_told_is_told_in_order(watched: Rig):
    """The target was down all the while: its start, then its end."""
    await run(watched, wrong=["DB"])
    await watched.clock.advance(60)
    await run(watched, fine=["DB"])
    assert await told(watched) == [("DB", "STARTED"), ("DB", "ENDED")]


async def test_a_failed_run_tells_too(watched: Rig):
    """The check that finds something wrong fails, and says what."""
    await run(watched, wrong=["DB"], fail=True)
    assert await told(watched) == [("DB", "STARTED")]


async def test_the_state_survives_a_restart(database: Path):
    """A condition that was told is not told again by the next server."""
    for number in range(2):
        async with new_rig(database, watch) as rig:
            await rig.register("task", "@manual", handler="watch")
            await run(rig, wrong=["DB"])
            assert await told(rig) == [("DB", "STARTED")][number:]


async def test_a_bad_condition_fails_the_attempt(watched: Rig):
    """It is the handler's mistake, and says which field."""
    await run(watched, wrong=["x" * 129])
    (execution,) = await watched.history()
    assert execution.error == "InvalidArgument: key: longer than 128 characters"


async def test_a_task_that_fails_too_often_is_told(rig: Rig):
    """At the second failure in a row, not at the third; and its recovery."""
    policy = Policy(alert_after=2, retry=ONCE)
    await rig.register("task", "@manual", policy=policy)
    for fate, expected in (
        ("raise", []),
        ("raise", [("failing", "STARTED")]),
        ("raise", []),
        ("succeed", [("failing", "ENDED")]),
        ("raise", []),
    ):
        await run(rig, fate=fate)
        assert await told(rig) == expected


async def test_what_is_told_names_the_task_the_failures_and_the_execution(rig: Rig):
    """So that whoever is woken knows where to look."""
    await rig.register("task", "@manual", policy=Policy(alert_after=1, retry=ONCE))
    await run(rig, fate="raise", error="the printer is away")
    (alert,) = await rig.store.unsent_alerts()
    (execution,) = await rig.history()
    assert (alert.title, alert.body) == (
        "Task task failed",
        f"ERROR: ValueError: the printer is away\n{execution.id}",
    )


async def test_a_task_that_does_not_run_is_told(rig: Rig):
    """Its slot was not free, or nobody looked: when its grace is over, and when it has run again."""
    policy = Policy(overdue_grace=timedelta(minutes=5))
    await rig.register("task", "@hourly", policy=policy)
    await rig.clock.advance(3600 + 299)
    await rig.store.note_overdue(now=rig.clock.now())
    assert await told(rig) == []
    await rig.clock.advance(2)
    await rig.store.note_overdue(now=rig.clock.now())
    await rig.store.note_overdue(now=rig.clock.now())
    assert await told(rig) == [("overdue", "STARTED")]
    await rig.tick()
    await rig.store.note_overdue(now=rig.clock.now())
    assert await told(rig) == [("overdue", "ENDED")]


async def test_an_execution_that_waits_for_a_slot_is_overdue_too(rig: Rig):
    """It is recorded, and has not started; one that was asked for by hand is nobody's occurrence."""
    policy = Policy(overdue_grace=timedelta(minutes=5))
    await rig.register("task", "@hourly", handler="nobody", policy=policy, allow_unknown_handler=True)
    await rig.service.run_now("task", detach=True)
    await rig.clock.advance(600)
    await rig.store.note_overdue(now=rig.clock.now())
    assert await told(rig) == []
    await rig.service.update(_all_may_run())
    await rig.clock.advance(3000)
    await rig.engine.tick()
    await rig.clock.advance(301)
    await rig.store.note_overdue(now=rig.clock.now())
    assert await told(rig) == [("overdue", "STARTED")]
    await rig.service.disable("task")
    await rig.store.note_overdue(now=rig.clock.now())
    assert await told(rig) == [("overdue", "ENDED")]


def _all_may_run():
    from schedule_grpc.domain.policy import Overlap  # noqa: PLC0415
    from schedule_grpc.domain.registration import TaskUpdate  # noqa: PLC0415

    return TaskUpdate(name="task", fields={}, policy={"overlap": Overlap.ALLOW_ALL})


async def test_what_missed_its_start_deadline_did_not_run(rig: Rig):
    """However long the grace is."""
    policy = Policy(overdue_grace=timedelta(days=1), start_deadline=timedelta(minutes=1))
    await rig.register("task", "@hourly", handler="nobody", policy=policy, allow_unknown_handler=True)
    await rig.skip(3600)
    await rig.skip(61)
    assert await rig.states() == ["MISSED"]
    assert await told(rig) == [("overdue", "STARTED")]


async def test_a_deleted_task_has_no_conditions(watched: Rig):
    """Whoever was told of one hears that it is over."""
    await run(watched, wrong=["DB"])
    assert await told(watched) == [("DB", Phase.STARTED.value)]
    await watched.service.delete("task")
    assert await told(watched) == [("DB", Phase.ENDED.value)]


async def test_conditions_of_two_tasks_of_one_name_are_two_alerts(watched: Rig):
    """Each names its namespace: those that the handler tells, and that of a task which keeps failing."""
    await watched.service.create_namespace("reports")
    there = watched.service.in_namespace("reports")
    task = await watched.service.get_task("task")
    failing = replace(task.definition, policy=Policy(retry=ONCE, alert_after=1))
    await there.register(Registration(definition=failing))
    await run(watched, wrong=["DB"])
    await there.run_now("task", payload={"wrong": ["DB"], "fail": True}, detach=True)
    await watched.tick()
    found = sorted((each.namespace, each.task_name, each.key) for each in await watched.store.unsent_alerts())
    assert found == [("default", "task", "DB"), ("reports", "task", "DB"), ("reports", "task", "failing")]
    await told(watched)
    await there.delete("task")
    assert {each.namespace for each in await watched.store.unsent_alerts()} == {"reports"}
