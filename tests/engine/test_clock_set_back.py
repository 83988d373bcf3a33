"""The clock is set back by an hour: what waits does so no longer than it is meant to."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from support.rigs.rig import Rig, rig
from support.witnesses.checker import check

from schedule_grpc.domain.execution import State
from schedule_grpc.domain.policy import Policy
from schedule_grpc.domain.retry import RetryPolicy

HOUR = timedelta(hours=1)
BACKOFF = timedelta(seconds=30)


@pytest.fixture
async def service(place: Path | str) -> AsyncIterator[Rig]:
    """A whole service; the checker is told that its clock was set back."""
    async with rig(place) as built:
        yield built
    assert check(place, set_back=True) == []


async def fail_once(service: Rig) -> str:
    """Have an execution fail its first attempt; return its id."""
    retry = RetryPolicy(initial_backoff=BACKOFF, max_backoff=BACKOFF)
    failing = {"fate": "fail-at-first", "times": 1}
    await service.register("task", "@manual", payload=failing, policy=Policy(retry=retry))
    execution = await service.service.run_now("task", detach=True)
    await service.work()
    return execution.id


async def test_a_retry_waits_for_its_backoff(service: Rig):
    """From the moment at which the jump is seen, not for the hour."""
    await fail_once(service)
    service.clock.set_wall(service.clock.now() - HOUR)
    await service.work()
    await service.advance(BACKOFF.total_seconds() - 1)
    assert await service.states() == ["PENDING"]
    await service.advance(1)
    assert await service.states() == ["SUCCEEDED"]


async def test_a_run_by_hand_is_not_skipped_for_the_hour(service: Rig):
    """The retry before it is over, so the gate is free."""
    await fail_once(service)
    service.clock.set_wall(service.clock.now() - HOUR)
    await service.work()
    await service.advance(BACKOFF.total_seconds())
    await service.service.run_now("task", payload={}, detach=True)
    await service.work()
    assert sorted(await service.states()) == ["SUCCEEDED", "SUCCEEDED"]


async def test_a_retry_that_a_restart_finds(place: Path | str):
    """The clock was set back while no server ran."""
    async with rig(place) as service:
        await fail_once(service)
        clock = service.clock
    clock.set_wall(clock.now() - HOUR)
    async with rig(place, clock=clock, recover=True) as service:
        await service.advance(BACKOFF.total_seconds())
        assert await service.states() == ["SUCCEEDED"]


async def test_what_waits_for_a_slot_waits_for_nothing_else(place: Path | str):
    """A run by hand that had not begun."""
    async with rig(place) as service:
        await service.register("task", "@manual")
        await service.service.run_now("task", detach=True)
        clock = service.clock
    clock.set_wall(clock.now() - HOUR)
    async with rig(place, clock=clock, recover=True) as service:
        await service.work()
        assert await service.states() == ["SUCCEEDED"]


async def test_jitter_is_waited_for_once(service: Rig):
    """An occurrence that was recorded to start up to a minute later: its task's schedule changed meanwhile."""
    policy = Policy(jitter=timedelta(minutes=1))
    await service.register("task", "@hourly", policy=policy)
    await service.clock.advance(HOUR)
    await service.register("task", "@daily", policy=policy)
    await service.engine.tick()
    (execution,) = await service.history()
    wait = execution.available_time - execution.create_time
    assert timedelta(0) < wait <= timedelta(minutes=1)
    service.clock.set_wall(service.clock.now() - HOUR)
    await service.work()
    await service.advance(wait.total_seconds())
    assert (await service.history())[0].state is State.SUCCEEDED


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(seconds=9)])
async def test_what_is_right_stays(service: Rig, ahead: timedelta):
    """A clock that is corrected by seconds, or not at all, shortens no wait."""
    await fail_once(service)
    (before,) = await service.history()
    service.clock.set_wall(service.clock.now() - ahead)
    await service.work()
    assert (await service.history()) == (before,)
