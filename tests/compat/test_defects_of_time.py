"""Defects of the older service (compat.md, section 3) that concern when something runs; a test is named after each."""

import time
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise

import pytest
from support.rigs.rig import START, Gates, Rig, at

from schedule_grpc.domain.execution import Trigger
from schedule_grpc.domain.policy import CatchUp, Overlap, Policy
from schedule_grpc.domain.schedule import parse
from schedule_grpc.domain.task import Definition
from schedule_grpc.errors import InvalidSchedule

HOUR = 3600


async def test_defect_01_a_task_never_ran_again(rig: Rig):
    """It runs at every occurrence, not only at the first."""
    await rig.register("task", "@hourly")
    for _ in range(3):
        await rig.skip(HOUR)
    assert await rig.states() == ["SUCCEEDED"] * 3


async def test_defect_02_a_manual_run_moved_the_next_run(rig: Rig):
    """It stays where it was."""
    before = await rig.register("task", "@hourly")
    await rig.clock.advance(60)
    await rig.service.run_now("task", detach=True)
    await rig.tick()
    after = await rig.service.get_task("task")
    assert (after.next_run_time, after.settled_time) == (before.next_run_time, before.settled_time)


async def test_defect_03_a_task_that_had_never_run_fired_at_once(rig: Rig):
    """Not even @yearly."""
    for schedule in ("@yearly", "@hourly", "every 5 minutes"):
        await rig.register(schedule.strip("@").replace(" ", "-"), schedule)
    await rig.tick()
    assert [await rig.states(name) for name in ("yearly", "hourly", "every-5-minutes")] == [[], [], []]


@pytest.mark.parametrize(("text", "days"), [("every 1 week", 7), ("every 2 weeks", 14), ("every 7 weeks", 49)])
def test_defect_09_weeks_meant_days_of_the_week(text: str, days: int):
    """They are so many weeks apart, on Sundays."""
    first, second = parse(text).upcoming(START, 2)
    assert second - first == timedelta(days=days)
    assert (first.weekday(), first.hour) == (6, 0)


@pytest.mark.parametrize(
    ("text", "apart"),
    [
        ("every 45 minutes", timedelta(minutes=45)),
        ("every 7 minutes", timedelta(minutes=7)),
        ("every 5 hours", timedelta(hours=5)),
        ("every 3 days", timedelta(days=3)),
        ("every 90 minutes", timedelta(minutes=90)),
    ],
)
def test_defect_10_intervals_restarted_with_the_hour_day_or_month(text: str, apart: timedelta):
    """A hundred in a row are equally far apart."""
    times = parse(text).upcoming(START, 100)
    assert {later - earlier for earlier, later in pairwise(times)} == {apart}


def test_defect_10_every_0_minutes():
    """It is refused: it has no meaning."""
    with pytest.raises(InvalidSchedule, match="below the shortest"):
        parse("every 0 minutes")


async def test_defect_14_enabling_kept_a_stale_next_run(rig: Rig):
    """It counts from now, and what fell into the pause does not run."""
    await rig.register("task", "@hourly", enabled=False)
    await rig.clock.advance(5 * HOUR + 60)
    task = await rig.service.enable("task")
    assert task.next_run_time == at("2026-01-31T16:00")
    await rig.tick()
    assert await rig.states() == []


async def test_defect_17_one_slow_task_delayed_all_others(rig: Rig, gate):
    """A task that takes twenty seconds delays none: the others start at their time."""
    slow: Gates = gate("slow")
    await rig.register("slow", "* * * * *", payload={"gate": "slow"})
    await rig.register("quick", "* * * * *")
    await rig.clock.advance(60)
    await rig.engine.tick()
    await slow.came.wait()
    while await rig.states("quick") != ["SUCCEEDED"]:
        await rig.engine.tick()
    (quick,) = await rig.history("quick")
    assert quick.start_time == at("2026-01-31T10:01")
    assert await rig.states("slow") == ["RUNNING"]
    slow.opened.set()
    await rig.tick()


async def test_defect_18_one_tasks_bookkeeping_error_ended_the_round(rig: Rig, monkeypatch):
    """A task that cannot be planned leaves the others alone."""
    for name in ("a", "broken", "z"):
        await rig.register(name, "@hourly")
    plain = Definition.due

    def due(definition, *arguments, **options):
        if definition.name == "broken":
            raise RuntimeError("bookkeeping")
        return plain(definition, *arguments, **options)

    monkeypatch.setattr("schedule_grpc.domain.task.Definition.due", due)
    await rig.clock.advance(HOUR)
    await rig.engine.tick()
    await rig.engine.idle()
    assert (await rig.states("a"), await rig.states("z")) == (["SUCCEEDED"], ["SUCCEEDED"])
    monkeypatch.undo()
    await rig.tick()
    assert await rig.states("broken") == ["SUCCEEDED"]


async def test_defect_19_no_overlap_guard(rig: Rig, gate):
    """While one runs, the next is SKIPPED, and says why."""
    await rig.register("task", "* * * * *", payload={"gate": "g"}, policy=Policy(timeout=timedelta(hours=1)))
    slow = gate("g")
    await rig.clock.advance(60)
    await rig.engine.tick()
    await rig.clock.advance(60)
    await rig.engine.tick()
    first, second = await rig.history()
    assert (first.state, second.state, second.reason) == ("RUNNING", "SKIPPED", "OVERLAP")
    slow.opened.set()
    await rig.tick()


async def test_defect_20_four_triggers_ran_a_task_up_to_four_times(rig: Rig):
    """At midnight of a Sunday all four come: each task runs for the one that means its schedule."""
    for name, schedule in (("five", "*/5 * * * *"), ("hour", "@hourly"), ("day", "@daily"), ("week", "@weekly")):
        await rig.register(name, schedule)
    for cron in ("*/5 * * * *", "0 * * * *", "0 0 * * *", "0 0 * * 0"):
        await rig.service.trigger_cron(cron)
    await rig.tick()
    assert [await rig.states(name) for name in ("five", "hour", "day", "week")] == [["SUCCEEDED"]] * 4


async def test_defect_21_occurrences_during_a_long_run_vanished(rig: Rig, gate):
    """Each has its row: run after it, or SKIPPED with a reason."""
    slow = gate("g")
    policy = Policy(timeout=timedelta(hours=1), overlap=Overlap.BUFFER_ONE)
    await rig.register("task", "* * * * *", payload={"gate": "g"}, policy=policy)
    for _ in range(4):
        await rig.clock.advance(60)
        await rig.engine.tick()
    assert await rig.states() == ["RUNNING", "PENDING", "SKIPPED", "SKIPPED"]
    slow.opened.set()
    await rig.tick()
    assert await rig.states() == ["SUCCEEDED", "SUCCEEDED", "SKIPPED", "SKIPPED"]


async def test_defect_21_occurrences_during_a_downtime_vanished(rig: Rig):
    """Caught up as the task's policy says."""
    await rig.register("task", "@hourly", policy=Policy(catch_up=CatchUp.ALL))
    await rig.skip(3 * HOUR + 60)
    history = await rig.history()
    assert [(each.state, each.trigger) for each in history] == [("SUCCEEDED", Trigger.CATCH_UP)] * 3


@pytest.fixture
def new_york(monkeypatch) -> Iterator[None]:
    """A server that stands in New York."""
    with monkeypatch.context() as there:
        there.setenv("TZ", "America/New_York")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("new_york")
async def test_defect_34_the_servers_local_time_zone(rig: Rig):
    """It is UTC unless the task says otherwise, wherever the server stands."""
    task = await rig.register("task", "30 12 * * *")
    assert task.next_run_time == at("2026-01-31T12:30")
    local = await rig.register("local", "30 12 * * *", time_zone="America/New_York")
    assert local.next_run_time == at("2026-01-31T17:30")
