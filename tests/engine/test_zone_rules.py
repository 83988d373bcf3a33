"""A server starts with other tz data than the one before: next runs follow the rules there are, none twice."""

import asyncio
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from support.machine.zone_rules import Rules, zone_rules
from support.rigs.rig import Rig, at, new_rig
from support.witnesses.checker import check

from schedule_grpc.domain.access.namespace import DEFAULT_NAMESPACE
from schedule_grpc.domain.registration import Registration
from schedule_grpc.domain.task import CatchUp, Policy, define
from schedule_grpc.engine import engine
from schedule_grpc.events import TaskChanged
from schedule_grpc.store import Review, Store
from schedule_grpc.testing import FakeClock

ZONE = "Test/Rules"
EAST = {"UTC": "U0", "UTC+1": "A-1", "UTC+2": "B-2"}


@pytest.fixture
def rules(tmp_path: Path) -> Iterator[Rules]:
    """The zone at an hour before UTC, as every test begins."""
    with zone_rules(tmp_path / "zoneinfo") as rule:
        rule(ZONE, EAST["UTC+1"])
        yield rule


@pytest.mark.parametrize(
    ("east", "first"), [("UTC+2", "2026-02-01T07:00"), ("UTC", "2026-02-01T09:00"), ("UTC+1", "2026-02-01T08:00")]
)
async def test_the_next_run_follows_the_rules(place: Path | str, rules: Rules, east: str, first: str):
    """It is what a preview says, and the first run is on time: neither early nor late by the change."""
    clock = FakeClock(at("2026-01-31T10:00"))
    async with new_rig(place, clock=clock) as rig:
        task = await rig.register("task", "0 9 * * *", time_zone=ZONE)
        assert task.next_run_time == at("2026-02-01T08:00")
    rules(ZONE, EAST[east])
    async with new_rig(place, clock=clock, recover=True) as rig:
        task = await rig.service.get_task("task")
        assert task.next_run_time == at(first) == task.schedule.next_after(clock.now())
        assert task.settled_time == clock.now()
        for _ in range(48):
            await rig.skip(1800)
        (execution,) = await rig.history("task")
        assert (execution.scheduled_time, execution.start_time) == (at(first), at(first))
    assert check(place) == []


@pytest.mark.parametrize(
    ("east", "following"), [("UTC+2", "2026-02-02T07:00"), ("UTC", "2026-02-01T09:00")], ids=["east", "west"]
)
async def test_what_is_settled_stays_settled(place: Path | str, rules: Rules, east: str, following: str):
    """After a run by the old rules: what the new ones put before it does not run, what they put after it does."""
    clock = FakeClock(at("2026-01-31T10:00"))
    async with new_rig(place, clock=clock) as rig:
        await rig.register("task", "0 9 * * *", time_zone=ZONE)
        await rig.skip(22 * 3600)
        assert len(await rig.history("task")) == 1
    rules(ZONE, EAST[east])
    async with new_rig(place, clock=clock, recover=True) as rig:
        assert (await rig.service.get_task("task")).next_run_time == at(following)
        await rig.tick()
        assert len(await rig.history("task")) == 1


async def test_what_the_new_rules_made_due_meanwhile_runs_at_once(place: Path | str, rules: Rules):
    """The server was away when it came due; by the old rules it is still ahead."""
    clock = FakeClock(at("2026-01-31T10:00"))
    async with new_rig(place, clock=clock) as rig:
        await rig.register("task", "0 9 * * *", time_zone=ZONE, policy=Policy(catch_up=CatchUp.ALL))
    await clock.advance(21.5 * 3600)
    rules(ZONE, EAST["UTC+2"])
    async with new_rig(place, clock=clock, recover=True) as rig:
        await rig.tick()
        (execution,) = await rig.history("task")
        assert execution.scheduled_time == at("2026-02-01T07:00")
        assert (await rig.service.get_task("task")).next_run_time == at("2026-02-02T07:00")


async def test_daylight_saving_time_is_abolished(place: Path | str, rules: Rules):
    """The rule of the weeks ahead changes, not today's: only what lies behind it moves."""
    clock = FakeClock(at("2026-03-28T10:00"))
    rules(ZONE, "CET-1CEST,M3.5.0,M10.5.0/3")
    async with new_rig(place, clock=clock) as rig:
        assert (await rig.register("near", "0 12 * * *", time_zone=ZONE)).next_run_time == at("2026-03-28T11:00")
        assert (await rig.register("far", "0 12 1 * *", time_zone=ZONE)).next_run_time == at("2026-04-01T10:00")
    rules(ZONE, "CET-1")
    async with new_rig(place, clock=clock, recover=True) as rig:
        assert (await rig.service.get_task("near")).next_run_time == at("2026-03-28T11:00")
        assert (await rig.service.get_task("far")).next_run_time == at("2026-04-01T11:00")


async def test_a_zone_comes_and_goes(place: Path | str, rules: Rules, tmp_path: Path):
    """Renamed in one edition of the tz data, there again in the next: the task waits, and goes on where it stood."""
    clock = FakeClock(at("2026-01-31T10:00"))
    rules("Test/New", EAST["UTC+1"])
    async with new_rig(place, clock=clock) as rig:
        await rig.register("task", "0 9 * * *", time_zone="Test/New")
    with zone_rules(tmp_path / "elsewhere"):
        async with new_rig(place, clock=clock, recover=True) as rig:
            await rig.skip(24 * 3600)
            assert await rig.history("task") == ()
            assert (await rig.service.get_task("task")).trouble.startswith("time_zone: 'Test/New' is not")
    rules("Test/New", EAST["UTC+2"])
    async with new_rig(place, clock=clock, recover=True) as rig:
        await rig.tick()
        (execution,) = await rig.history("task")
        assert execution.scheduled_time == at("2026-02-01T07:00")


async def test_a_disabled_and_a_deleted_task_stay_as_they_are(place: Path | str, rules: Rules):
    """They have no next run."""
    clock = FakeClock(at("2026-01-31T10:00"))
    async with new_rig(place, clock=clock) as rig:
        await rig.register("off", "0 9 * * *", time_zone=ZONE, enabled=False)
        await rig.register("gone", "0 9 * * *", time_zone=ZONE)
        await rig.service.delete("gone")
    rules(ZONE, EAST["UTC+2"])
    async with new_rig(place, clock=clock, recover=True) as rig:
        assert (await rig.service.get_task("off")).next_run_time is None
        assert await rig.store.find_task((DEFAULT_NAMESPACE, "gone")) is None


async def test_thousands_are_reviewed_while_the_server_answers(
    place: Path | str, rules: Rules, monkeypatch: pytest.MonkeyPatch
):
    """The first few before, the others as it runs; the loop and other servers hear of each."""
    monkeypatch.setattr(engine, "REVIEWED_FIRST", 1)
    clock, names = FakeClock(at("2026-01-31T10:00")), [f"task-{number}" for number in range(250)]
    async with new_rig(place, clock=clock) as rig:
        definitions = [define(name=each, schedule="0 9 * * *", time_zone=ZONE, handler="fate") for each in names]
        await rig.service.register_all([Registration(definition=definition) for definition in definitions])
    rules(ZONE, EAST["UTC+2"])
    moved: set[str] = set()
    done = asyncio.Event()

    def notice(events: object) -> None:
        moved.update(event.name for event in events if isinstance(event, TaskChanged))
        if len(moved) == len(names):
            done.set()

    async with new_rig(place, clock=clock) as rig:
        with rig.hub.listening(notice):
            await rig.engine.recover()
            assert len(moved) == 100
            running = asyncio.create_task(rig.engine.run())
            await rig.until_done(asyncio.create_task(done.wait()))
            rig.engine.stop()
            await running
        assert {(await rig.service.get_task(name)).next_run_time for name in names} == {at("2026-02-01T07:00")}


async def test_tasks_are_reviewed_again_only_for_other_rules(
    database: Path, rules: Rules, monkeypatch: pytest.MonkeyPatch
):
    """A server that starts as the one before looks at the first few, and at those that could not be read."""
    clock, names = FakeClock(at("2026-01-31T10:00")), [f"task-{number:03}" for number in range(250)]
    async with new_rig(database, clock=clock) as rig:
        definitions = [define(name=each, schedule="0 9 * * *", time_zone=ZONE, handler="fate") for each in names]
        await rig.service.register_all([Registration(definition=definition) for definition in definitions])
        await reviewed(rig)
    looks: list[str] = []
    review = Store.review

    async def counted(store: Store, *, after: str, now: datetime) -> Review:
        looks.append(after)
        return await review(store, after=after, now=now)

    monkeypatch.setattr(Store, "review", counted)
    async with new_rig(database, clock=clock) as rig:
        await reviewed(rig)
        assert looks == [""]
    rules(ZONE, EAST["UTC+2"])
    async with new_rig(database, clock=clock) as rig:
        await reviewed(rig)
        assert len(looks) == 1 + 3
        assert {(await rig.service.get_task(name)).next_run_time for name in names} == {at("2026-02-01T07:00")}


async def reviewed(rig: Rig) -> None:
    """Start a server, and let it review what there is."""
    await rig.engine.recover()
    running = asyncio.create_task(rig.engine.run())
    while rig.engine._janitor._review_after is not None:
        await rig.clock.advance(0.1)
        await rig.written()
    rig.engine.stop()
    await rig.until_done(running)
