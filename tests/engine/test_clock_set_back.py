"""The clock is set back by an hour: what waits does so no longer than it is meant to."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from support.rigs.rig import Rig, new_rig
from support.witnesses.checker import check

from schedule_grpc.domain.execution import State
from schedule_grpc.domain.policy import Policy
from schedule_grpc.domain.retry import RetryPolicy

HOUR = timedelta(hours=1)
BACKOFF = timedelta(seconds=30)


@pytest.fixture
async def rig(place: Path | str) -> AsyncIterator[Rig]:
    """A whole service; the checker is told that its clock was set back."""
    async with new_rig(place) as built:
        yield built
    assert check(place, set_back=True) == []


async def fail_once(rig: Rig) -> str:
    """Have an execution fail its first attempt; return its id."""
    retry = RetryPolicy(initial_backoff=BACKOFF, max_backoff=BACKOFF)
    failing = {"fate": "fail-at-first", "times": 1}
    await rig.register("task", "@manual", payload=failing, policy=Policy(retry=retry))
    execution = await rig.service.run_now("task", detach=True)
    await rig.tick()
    return execution.id


async def test_a_retry_waits_for_its_backoff(rig: Rig):
    """From the moment at which the jump is seen, not for the hour."""
    await fail_once(rig)
    rig.clock.set_wall(rig.clock.now() - HOUR)
    await rig.tick()
    await rig.skip(BACKOFF.total_seconds() - 1)
    assert await rig.states() == ["PENDING"]
    await rig.skip(1)
    assert await rig.states() == ["SUCCEEDED"]


async def test_a_run_by_hand_is_not_skipped_for_the_hour(rig: Rig):
    """The retry before it is over, so the gate is free."""
    await fail_once(rig)
    rig.clock.set_wall(rig.clock.now() - HOUR)
    await rig.tick()
    await rig.skip(BACKOFF.total_seconds())
    await rig.service.run_now("task", payload={}, detach=True)
    await rig.tick()
    assert sorted(await rig.states()) == ["SUCCEEDED", "SUCCEEDED"]


async def test_a_retry_that_a_restart_finds(place: Path | str):
    """The clock was set back while no server ran."""
    async with new_rig(place) as rig:
        await fail_once(rig)
        clock = rig.clock
    clock.set_wall(clock.now() - HOUR)
    async with new_rig(place, clock=clock, recover=True) as rig:
        await rig.skip(BACKOFF.total_seconds())
        assert await rig.states() == ["SUCCEEDED"]


async def test_what_waits_for_a_slot_waits_for_nothing_else(place: Path | str):
    """A run by hand that had not begun."""
    async with new_rig(place) as rig:
        await rig.register("task", "@manual")
        await rig.service.run_now("task", detach=True)
        clock = rig.clock
    clock.set_wall(clock.now() - HOUR)
    async with new_rig(place, clock=clock, recover=True) as rig:
        await rig.tick()
        assert await rig.states() == ["SUCCEEDED"]


async def test_jitter_is_waited_for_once(rig: Rig):
    """An occurrence that was recorded to start up to a minute later: its task's schedule changed meanwhile."""
    policy = Policy(jitter=timedelta(minutes=1))
    await rig.register("task", "@hourly", policy=policy)
    await rig.clock.advance(HOUR)
    await rig.register("task", "@daily", policy=policy)
    await rig.engine.tick()
    (execution,) = await rig.history()
    wait = execution.available_time - execution.create_time
    assert timedelta(0) < wait <= timedelta(minutes=1)
    rig.clock.set_wall(rig.clock.now() - HOUR)
    await rig.tick()
    await rig.skip(wait.total_seconds())
    assert (await rig.history())[0].state is State.SUCCEEDED


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(seconds=9)])
async def test_what_is_right_stays(rig: Rig, ahead: timedelta):
    """A clock that is corrected by seconds, or not at all, shortens no wait."""
    await fail_once(rig)
    (before,) = await rig.history()
    rig.clock.set_wall(rig.clock.now() - ahead)
    await rig.tick()
    assert (await rig.history()) == (before,)
