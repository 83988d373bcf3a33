"""What fires when, on a clock that stands still."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from support.rigs.rig import Rig, at, new_rig
from support.witnesses.checker import check

from schedule_grpc.domain.execution import CoveredRange, State, Trigger
from schedule_grpc.domain.retry import RetryPolicy
from schedule_grpc.domain.task import Overlap, Policy
from schedule_grpc.testing import FakeClock


async def test_an_engine_has_caught_up_once_nothing_is_left(place: Path | str, gate):
    """Not before it has begun, nor while its last look saw what is due: here, for want of a slot."""
    async with new_rig(place, concurrency=1) as rig:
        held, _ = gate("first"), gate("second").opened.set()
        await rig.register("first", payload={"gate": "first"})
        await rig.register("second", payload={"gate": "second"})
        await rig.engine.tick()
        assert not rig.engine.caught_up
        rig.engine.begun = True
        assert rig.engine.caught_up
        await rig.clock.advance(3600)
        await rig.engine.tick()
        assert not rig.engine.caught_up
        held.opened.set()
        await rig.tick()
        assert rig.engine.caught_up


async def test_registering_never_fires(rig: Rig):
    """A task that has never run does not fire at once, whatever its schedule."""
    await rig.register("yearly", "@yearly")
    await rig.register("hourly", "@hourly")
    await rig.tick()
    assert await rig.history("yearly") == await rig.history("hourly") == ()


async def test_a_task_fires_at_each_occurrence(rig: Rig):
    """Three hours give three executions, on time, at the nominal times."""
    await rig.register()
    for _ in range(3):
        await rig.skip(3600)
    executions = await rig.history()
    assert [execution.scheduled_time for execution in executions] == [
        at("2026-01-31T11:00"),
        at("2026-01-31T12:00"),
        at("2026-01-31T13:00"),
    ]
    assert {execution.trigger for execution in executions} == {Trigger.SCHEDULE}
    assert await rig.states() == ["SUCCEEDED"] * 3


async def test_nothing_fires_between_occurrences(rig: Rig):
    """A tick a microsecond early fires nothing; at the instant it does."""
    await rig.register()
    await rig.skip(3599.999999)
    assert await rig.history() == ()
    await rig.skip(0.000001)
    assert await rig.states() == ["SUCCEEDED"]


async def test_one_row_covers_what_was_missed(rig: Rig):
    """After five hours away the newest occurrence runs once and names the four older ones."""
    await rig.register()
    await rig.skip(5 * 3600 + 60)
    (execution,) = await rig.history()
    assert execution.trigger is Trigger.CATCH_UP
    assert execution.scheduled_time == at("2026-01-31T15:00")
    assert execution.covers == CoveredRange(
        from_time=at("2026-01-31T11:00"), to_time=at("2026-01-31T14:00"), count=4, exact=True
    )


async def test_late_by_more_than_thirty_seconds_with_others_is_catching_up(rig: Rig):
    """Two due: 30 s late is on time, 31 s late is catch-up; a single one is on schedule however late."""
    await rig.register("a", "every 1 minute")
    await rig.register("b", "0 11 * * *")
    await rig.skip(120 + 30)
    await rig.skip(120 + 1)
    assert [execution.trigger for execution in await rig.history("a")] == [Trigger.SCHEDULE, Trigger.CATCH_UP]
    await rig.skip(2 * 3600)
    assert [execution.trigger for execution in await rig.history("b")] == [Trigger.SCHEDULE]


async def test_a_manual_run_moves_no_next_run(rig: Rig):
    """Running by hand leaves the next run as it was, and records no scheduled time."""
    before = await rig.register()
    execution = await rig.service.run_now("task", detach=True)
    await rig.tick()
    after = await rig.service.get_task("task")
    assert (after.next_run_time, after.settled_time) == (before.next_run_time, before.settled_time)
    assert execution.scheduled_time is None
    assert execution.trigger is Trigger.MANUAL


async def test_a_clock_set_back_fires_nothing_twice(rig: Rig):
    """After firing at 11:00 the clock goes back to 10:30: 11:00 comes again and does not fire again."""
    await rig.register()
    await rig.skip(3600)
    rig.clock.set_wall(at("2026-01-31T10:30"))
    await rig.skip(1800)
    assert len(await rig.history()) == 1
    await rig.skip(3600)
    assert [execution.scheduled_time for execution in await rig.history()] == [
        at("2026-01-31T11:00"),
        at("2026-01-31T12:00"),
    ]


async def test_disabled_tasks_do_not_fire_and_enabling_counts_from_now(rig: Rig):
    """Three hours disabled are not caught up; the next run is the next occurrence after enabling."""
    await rig.register()
    disabled = await rig.service.disable("task", note="maintenance")
    assert (disabled.next_run_time, disabled.note) == (None, "maintenance")
    await rig.skip(3 * 3600 + 60)
    enabled = await rig.service.enable("task")
    assert enabled.next_run_time == at("2026-01-31T14:00")
    assert enabled.note == ""
    await rig.skip(60)
    assert await rig.history() == ()


async def test_disabling_settles_what_was_due(rig: Rig):
    """What came due before the disabling, and could not start any more, has its row and says why."""
    await rig.register()
    await rig.clock.advance(2 * 3600 + 5)
    await rig.service.disable("task")
    (execution,) = await rig.history()
    assert (execution.state, execution.reason) == (State.SKIPPED, "TASK_DISABLED")
    assert execution.covers is not None
    assert execution.covers.count == 1


async def test_disabling_skips_what_never_started_and_leaves_retries(rig: Rig):
    """A pending occurrence ends SKIPPED; an execution between two attempts goes on."""
    await rig.register("fresh", allow_unknown_handler=True, handler="nobody")
    await rig.register("failing", payload={"fate": "fail-at-first", "times": 1})
    await rig.skip(3600)
    assert await rig.states("failing") == ["PENDING"]
    for name in ("fresh", "failing"):
        await rig.service.disable(name)
    assert await rig.states("fresh") == ["SKIPPED"]
    await rig.skip(1)
    assert await rig.states("failing") == ["SUCCEEDED"]


async def test_a_changed_schedule_settles_the_old_one_and_counts_from_now(rig: Rig):
    """What was due under the old schedule gets its row; the new one begins after the change."""
    await rig.register()
    await rig.clock.advance(3600 + 10)
    changed = await rig.register(schedule="*/30 * * * *")
    assert changed.next_run_time == at("2026-01-31T11:30")
    (execution,) = await rig.history()
    assert execution.scheduled_time == at("2026-01-31T11:00")


async def test_the_same_definition_again_changes_nothing(rig: Rig):
    """Registering again keeps etag, times and next run, even if time has passed."""
    first = await rig.register(metadata={"a": 1})
    await rig.clock.advance(1000)
    assert await rig.register(metadata={"a": 1.0}) == first


async def test_registering_again_keeps_an_operators_pause(rig: Rig):
    """`enabled` unset leaves a disabled task disabled; enabled=True switches it on."""
    await rig.register()
    await rig.service.disable("task")
    assert (await rig.register(metadata={"x": 1})).enabled is False
    assert (await rig.register(metadata={"x": 1}, enabled=True)).enabled is True


async def test_one_slow_task_delays_no_other(rig: Rig, gate):
    """While one handler hangs, another task fires and ends."""
    held = gate("slow")
    await rig.register("slow", payload={"gate": "slow"})
    await rig.register("quick")
    await rig.clock.advance(3600)
    while await rig.engine.tick():
        await held.came.wait()
    while (await rig.states("quick")) != ["SUCCEEDED"]:
        await rig.engine.tick()
    assert await rig.states("slow") == ["RUNNING"]
    held.opened.set()
    await rig.engine.idle()


async def test_an_overlapping_occurrence_is_skipped_and_says_so(rig: Rig, gate):
    """While a run is open the next occurrence becomes a SKIPPED row, and manual runs obey too."""
    held = gate("long")
    await rig.register(payload={"gate": "long"}, policy=Policy(timeout=timedelta(hours=24)))
    await rig.clock.advance(3600)
    await rig.engine.tick()
    await held.came.wait()
    await rig.clock.advance(3600)
    await rig.engine.tick()
    manual = await rig.service.run_now("task")
    assert (manual.state, manual.reason) == (State.SKIPPED, "OVERLAP")
    assert await rig.states() == ["RUNNING", "SKIPPED", "SKIPPED"]
    held.opened.set()
    await rig.engine.idle()


async def test_allow_all_runs_both(rig: Rig, gate):
    """With ALLOW_ALL a second execution runs beside the first."""
    held = gate("both")
    await rig.register(payload={"gate": "both"}, policy=Policy(overlap=Overlap.ALLOW_ALL, timeout=timedelta(hours=24)))
    for _ in range(2):
        await rig.clock.advance(3600)
        await rig.engine.tick()
    while len(held.entered) < 2:
        held.came.clear()
        await held.came.wait()
    assert await rig.states() == ["RUNNING", "RUNNING"]
    held.opened.set()
    await rig.engine.idle()
    assert await rig.states() == ["SUCCEEDED", "SUCCEEDED"]


async def test_after_a_restart_an_overdue_task_runs_once_and_covers_the_rest(database: Path):
    """Down from 10:00 to 15:10: one execution for 15:00 covers 11:00 to 14:00."""
    async with new_rig(database) as before:
        await before.register()
    later = FakeClock(at("2026-01-31T15:10"))
    async with new_rig(database, clock=later, recover=True) as after:
        await after.tick()
        (execution,) = await after.history()
    assert execution.scheduled_time == at("2026-01-31T15:00")
    assert execution.covers is not None
    assert execution.covers.count == 4
    assert check(database, at_rest=True) == []


async def test_a_once_schedule_fires_once(rig: Rig):
    """An instant fires at its time, then never again, and the task stays."""
    await rig.register(schedule="2026-01-31T10:05:00Z")
    await rig.skip(300)
    await rig.skip(86_400)
    assert await rig.states() == ["SUCCEEDED"]
    assert (await rig.service.get_task("task")).next_run_time is None


@pytest.mark.slow
async def test_a_thousand_tasks_due_at_one_second_all_run(rig: Rig):
    """No limit stops a task: 1,200 due at once (more than one look fires) all succeed."""
    for number in range(1200):
        await rig.register(f"t{number}", policy=replace(Policy(), retry=RetryPolicy(max_retries=0)))
    await rig.skip(3600)
    tasks = [await rig.service.get_task(f"t{number}") for number in range(1200)]
    assert all(task.stats.success_count == 1 for task in tasks)
