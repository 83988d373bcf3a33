"""What fires when, on a clock that stands still."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from support.rigs.rig import Rig, at, rig
from support.witnesses.checker import check

from schedule_grpc.domain.execution import CoveredRange, State, Trigger
from schedule_grpc.domain.retry import RetryPolicy
from schedule_grpc.domain.task import Overlap, Policy
from schedule_grpc.testing import FakeClock


async def test_an_engine_has_caught_up_once_nothing_is_left(place: Path | str, gate):
    """Not before it has begun, nor while its last look saw what is due: here, for want of a slot."""
    async with rig(place, concurrency=1) as service:
        held, _ = gate("first"), gate("second").opened.set()
        await service.register("first", payload={"gate": "first"})
        await service.register("second", payload={"gate": "second"})
        await service.engine.tick()
        assert not service.engine.caught_up
        service.engine.begun = True
        assert service.engine.caught_up
        await service.clock.advance(3600)
        await service.engine.tick()
        assert not service.engine.caught_up
        held.opened.set()
        await service.work()
        assert service.engine.caught_up


async def test_registering_never_fires(service: Rig):
    """A task that has never run does not fire at once, whatever its schedule."""
    await service.register("yearly", "@yearly")
    await service.register("hourly", "@hourly")
    await service.work()
    assert await service.history("yearly") == await service.history("hourly") == ()


async def test_a_task_fires_at_each_occurrence(service: Rig):
    """Three hours give three executions, on time, at the nominal times."""
    await service.register()
    for _ in range(3):
        await service.advance(3600)
    executions = await service.history()
    assert [execution.scheduled_time for execution in executions] == [
        at("2026-01-31T11:00"),
        at("2026-01-31T12:00"),
        at("2026-01-31T13:00"),
    ]
    assert {execution.trigger for execution in executions} == {Trigger.SCHEDULE}
    assert await service.states() == ["SUCCEEDED"] * 3


async def test_nothing_fires_between_occurrences(service: Rig):
    """A tick a microsecond early fires nothing; at the instant it does."""
    await service.register()
    await service.advance(3599.999999)
    assert await service.history() == ()
    await service.advance(0.000001)
    assert await service.states() == ["SUCCEEDED"]


async def test_one_row_covers_what_was_missed(service: Rig):
    """After five hours away the newest occurrence runs once and names the four older ones."""
    await service.register()
    await service.advance(5 * 3600 + 60)
    (execution,) = await service.history()
    assert execution.trigger is Trigger.CATCH_UP
    assert execution.scheduled_time == at("2026-01-31T15:00")
    assert execution.covers == CoveredRange(
        from_time=at("2026-01-31T11:00"), to_time=at("2026-01-31T14:00"), count=4, exact=True
    )


async def test_late_by_more_than_thirty_seconds_with_others_is_catching_up(service: Rig):
    """Two due: 30 s late is on time, 31 s late is catch-up; a single one is on schedule however late."""
    await service.register("a", "every 1 minute")
    await service.register("b", "0 11 * * *")
    await service.advance(120 + 30)
    await service.advance(120 + 1)
    assert [execution.trigger for execution in await service.history("a")] == [Trigger.SCHEDULE, Trigger.CATCH_UP]
    await service.advance(2 * 3600)
    assert [execution.trigger for execution in await service.history("b")] == [Trigger.SCHEDULE]


async def test_a_manual_run_moves_no_next_run(service: Rig):
    """Running by hand leaves the next run as it was, and records no scheduled time."""
    before = await service.register()
    execution = await service.service.run_now("task", detach=True)
    await service.work()
    after = await service.service.get_task("task")
    assert (after.next_run_time, after.settled_time) == (before.next_run_time, before.settled_time)
    assert execution.scheduled_time is None
    assert execution.trigger is Trigger.MANUAL


async def test_a_clock_set_back_fires_nothing_twice(service: Rig):
    """After firing at 11:00 the clock goes back to 10:30: 11:00 comes again and does not fire again."""
    await service.register()
    await service.advance(3600)
    service.clock.set_wall(at("2026-01-31T10:30"))
    await service.advance(1800)
    assert len(await service.history()) == 1
    await service.advance(3600)
    assert [execution.scheduled_time for execution in await service.history()] == [
        at("2026-01-31T11:00"),
        at("2026-01-31T12:00"),
    ]


async def test_disabled_tasks_do_not_fire_and_enabling_counts_from_now(service: Rig):
    """Three hours disabled are not caught up; the next run is the next occurrence after enabling."""
    await service.register()
    disabled = await service.service.disable("task", note="maintenance")
    assert (disabled.next_run_time, disabled.note) == (None, "maintenance")
    await service.advance(3 * 3600 + 60)
    enabled = await service.service.enable("task")
    assert enabled.next_run_time == at("2026-01-31T14:00")
    assert enabled.note == ""
    await service.advance(60)
    assert await service.history() == ()


async def test_disabling_settles_what_was_due(service: Rig):
    """What came due before the disabling, and could not start any more, has its row and says why."""
    await service.register()
    await service.clock.advance(2 * 3600 + 5)
    await service.service.disable("task")
    (execution,) = await service.history()
    assert (execution.state, execution.reason) == (State.SKIPPED, "TASK_DISABLED")
    assert execution.covers is not None
    assert execution.covers.count == 1


async def test_disabling_skips_what_never_started_and_leaves_retries(service: Rig):
    """A pending occurrence ends SKIPPED; an execution between two attempts goes on."""
    await service.register("fresh", allow_unknown_handler=True, handler="nobody")
    await service.register("failing", payload={"fate": "fail-at-first", "times": 1})
    await service.advance(3600)
    assert await service.states("failing") == ["PENDING"]
    for name in ("fresh", "failing"):
        await service.service.disable(name)
    assert await service.states("fresh") == ["SKIPPED"]
    await service.advance(1)
    assert await service.states("failing") == ["SUCCEEDED"]


async def test_a_changed_schedule_settles_the_old_one_and_counts_from_now(service: Rig):
    """What was due under the old schedule gets its row; the new one begins after the change."""
    await service.register()
    await service.clock.advance(3600 + 10)
    changed = await service.register(schedule="*/30 * * * *")
    assert changed.next_run_time == at("2026-01-31T11:30")
    (execution,) = await service.history()
    assert execution.scheduled_time == at("2026-01-31T11:00")


async def test_the_same_definition_again_changes_nothing(service: Rig):
    """Registering again keeps etag, times and next run, even if time has passed."""
    first = await service.register(metadata={"a": 1})
    await service.clock.advance(1000)
    assert await service.register(metadata={"a": 1.0}) == first


async def test_registering_again_keeps_an_operators_pause(service: Rig):
    """`enabled` unset leaves a disabled task disabled; enabled=True switches it on."""
    await service.register()
    await service.service.disable("task")
    assert (await service.register(metadata={"x": 1})).enabled is False
    assert (await service.register(metadata={"x": 1}, enabled=True)).enabled is True


async def test_one_slow_task_delays_no_other(service: Rig, gate):
    """While one handler hangs, another task fires and ends."""
    held = gate("slow")
    await service.register("slow", payload={"gate": "slow"})
    await service.register("quick")
    await service.clock.advance(3600)
    while await service.engine.tick():
        await held.came.wait()
    while (await service.states("quick")) != ["SUCCEEDED"]:
        await service.engine.tick()
    assert await service.states("slow") == ["RUNNING"]
    held.opened.set()
    await service.engine.idle()


async def test_an_overlapping_occurrence_is_skipped_and_says_so(service: Rig, gate):
    """While a run is open the next occurrence becomes a SKIPPED row, and manual runs obey too."""
    held = gate("long")
    await service.register(payload={"gate": "long"}, policy=Policy(timeout=timedelta(hours=24)))
    await service.clock.advance(3600)
    await service.engine.tick()
    await held.came.wait()
    await service.clock.advance(3600)
    await service.engine.tick()
    manual = await service.service.run_now("task")
    assert (manual.state, manual.reason) == (State.SKIPPED, "OVERLAP")
    assert await service.states() == ["RUNNING", "SKIPPED", "SKIPPED"]
    held.opened.set()
    await service.engine.idle()


async def test_allow_all_runs_both(service: Rig, gate):
    """With ALLOW_ALL a second execution runs beside the first."""
    held = gate("both")
    await service.register(
        payload={"gate": "both"}, policy=Policy(overlap=Overlap.ALLOW_ALL, timeout=timedelta(hours=24))
    )
    for _ in range(2):
        await service.clock.advance(3600)
        await service.engine.tick()
    while len(held.entered) < 2:
        held.came.clear()
        await held.came.wait()
    assert await service.states() == ["RUNNING", "RUNNING"]
    held.opened.set()
    await service.engine.idle()
    assert await service.states() == ["SUCCEEDED", "SUCCEEDED"]


async def test_after_a_restart_an_overdue_task_runs_once_and_covers_the_rest(database: Path):
    """Down from 10:00 to 15:10: one execution for 15:00 covers 11:00 to 14:00."""
    async with rig(database) as before:
        await before.register()
    later = FakeClock(at("2026-01-31T15:10"))
    async with rig(database, clock=later, recover=True) as after:
        await after.work()
        (execution,) = await after.history()
    assert execution.scheduled_time == at("2026-01-31T15:00")
    assert execution.covers is not None
    assert execution.covers.count == 4
    assert check(database, at_rest=True) == []


async def test_a_once_schedule_fires_once(service: Rig):
    """An instant fires at its time, then never again, and the task stays."""
    await service.register(schedule="2026-01-31T10:05:00Z")
    await service.advance(300)
    await service.advance(86_400)
    assert await service.states() == ["SUCCEEDED"]
    assert (await service.service.get_task("task")).next_run_time is None


@pytest.mark.slow
async def test_a_thousand_tasks_due_at_one_second_all_run(service: Rig):
    """No limit stops a task: 1,200 due at once (more than one look fires) all succeed."""
    for number in range(1200):
        await service.register(f"t{number}", policy=replace(Policy(), retry=RetryPolicy(max_retries=0)))
    await service.advance(3600)
    tasks = [await service.service.get_task(f"t{number}") for number in range(1200)]
    assert all(task.stats.success_count == 1 for task in tasks)
