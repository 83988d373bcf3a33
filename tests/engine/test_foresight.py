"""What a look saw coming is fired without another look, unless anything changed since."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.rigs.rig import Rig, at, new_rig

from schedule_grpc.domain.retry import RetryPolicy
from schedule_grpc.domain.task import Policy
from schedule_grpc.engine.foresight import AHEAD
from schedule_grpc.engine.loop import FIRED_AT_ONCE, LOOKED_AT

HALF_PAST = at("2026-01-31T10:30:00")


@dataclass
class Looks:
    """Counts the looks of an engine, those in the steps that fire not among them."""

    rig: Rig
    count: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        """Stand between the engine and its store."""
        look = self.rig.store.look

        async def counted(*arguments: Any, **named: Any) -> Any:
            self.count += 1
            return await look(*arguments, **named)

        self.rig.store.look = counted  # type: ignore[method-assign]


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[Rig]:
    """A service that has its database to itself."""
    async with new_rig(tmp_path / "schedule.db") as rig:
        yield rig


async def spread(rig: Rig, count: int) -> None:
    """Register tasks that come due once, ten milliseconds apart, from half past ten on."""
    for number in range(count):
        due = HALF_PAST + number * timedelta(milliseconds=10)
        await rig.register(f"task-{number}", due.isoformat())
    await rig.tick()


async def to(rig: Rig, milliseconds: int) -> None:
    """Move the clock so far behind half past ten."""
    until = HALF_PAST + timedelta(milliseconds=milliseconds)
    await rig.clock.advance((until - rig.clock.now()).total_seconds())


async def started(rig: Rig, count: int) -> list[bool]:
    """Tell of the first tasks which have run."""
    return [bool(await rig.history(f"task-{number}")) for number in range(count)]


async def test_what_was_seen_coming_needs_no_look(own: Rig):
    """One look shows all that is due within the second after it, and each is fired at its time."""
    await spread(own, 10)
    await to(own, -500)
    await own.tick()
    looks = Looks(own)
    for number in range(10):
        await to(own, 10 * number - 1)
        await own.tick()
        assert await started(own, 10) == [True] * number + [False] * (10 - number)
        await to(own, 10 * number)
        await own.tick()
    assert await started(own, 10) == [True] * 10
    assert looks.count == 1


async def test_it_sees_a_second_ahead(own: Rig):
    """What comes later is looked at then: a look is so old at most."""
    await spread(own, 1)
    await to(own, -2000)
    await own.tick()
    looks = Looks(own)
    await to(own, 0)
    await own.tick()
    assert (await started(own, 1), looks.count) == ([True], 1)
    assert timedelta(seconds=1) == AHEAD


async def test_a_task_that_comes_meanwhile_is_seen(own: Rig):
    """A registration, a deletion and a change each make the engine look again."""
    await spread(own, 4)
    await to(own, 0)
    await own.tick()
    await own.register("soon", (HALF_PAST + timedelta(milliseconds=15)).isoformat())
    await to(own, 5)
    await own.tick()
    await own.service.delete("task-1")
    await to(own, 15)
    await own.tick()
    assert await own.states("soon") == ["SUCCEEDED"]
    await own.service.disable("task-2")
    await to(own, 30)
    await own.tick()
    assert [await own.states(f"task-{number}") for number in (0, 2, 3)] == [["SUCCEEDED"], [], ["SUCCEEDED"]]


async def test_a_retry_is_not_overlooked(own: Rig):
    """It becomes available between what was seen coming."""
    await spread(own, 30)
    await own.register(
        "fails",
        "@manual",
        payload={"fate": "fail-at-first", "times": 1},
        policy=Policy(retry=RetryPolicy(initial_backoff=timedelta(milliseconds=100))),
    )
    await to(own, 0)
    await own.tick()
    await own.service.run_now("fails", detach=True)
    await own.tick()
    assert await own.states("fails") == ["PENDING"]
    for milliseconds in range(0, 300, 10):
        await to(own, milliseconds)
        await own.tick()
    assert await own.states("fails") == ["SUCCEEDED"]
    assert await started(own, 30) == [True] * 30


async def test_what_was_fired_late_comes_again_in_time(own: Rig):
    """It is due again before all that was seen coming then has come."""
    await to(own, -1000)
    await own.register("often", "every 1 second")
    for milliseconds in (0, 500, 1100, 2000):
        await to(own, milliseconds)
        await own.tick()
    starts = [each.start_time for each in await own.history("often")]
    assert starts == [HALF_PAST + timedelta(seconds=seconds) for seconds in (0, 1.1, 2)]


async def test_what_comes_again_before_what_was_seen_coming_goes_before_it(own: Rig):
    """The next tick is for the task that was just fired, not for the one that the look saw behind it."""
    await to(own, -1000)
    await own.register("often", "every 1 second")
    await own.register("late", (HALF_PAST + timedelta(milliseconds=2050)).isoformat())
    for milliseconds in (0, 500, 1100):
        await to(own, milliseconds)
        await own.tick()
    assert own.engine.next_time == HALF_PAST + timedelta(seconds=2)


async def test_no_tick_comes_for_what_a_look_did_not_see(own: Rig):
    """Where a look ended, nothing happens: what ends just before that is not kept for a tick that starts nothing."""
    await own.register("later", (HALF_PAST + timedelta(minutes=1)).isoformat())
    await spread(own, 2)
    await to(own, 0)
    await own.tick()
    await to(own, 10)
    await own.tick()
    assert await started(own, 2) == [True, True]
    assert own.engine.next_time == HALF_PAST + timedelta(minutes=1)


async def test_more_than_one_look_shows_come_in_their_order(own: Rig):
    """A look shows so many; those behind them are looked at when these are fired, and none is left out."""
    await spread(own, LOOKED_AT + 20)
    await to(own, -10)
    await own.tick()
    await to(own, 10 * (LOOKED_AT + 20))
    await own.tick()
    assert await started(own, LOOKED_AT + 20) == [True] * (LOOKED_AT + 20)
    assert LOOKED_AT < FIRED_AT_ONCE


async def test_a_clock_that_is_set_back_is_looked_at_again(own: Rig):
    """What was seen coming by the clock of before says nothing of now."""
    await spread(own, 2)
    await to(own, 0)
    await own.tick()
    looks = Looks(own)
    own.clock.set_wall(HALF_PAST - timedelta(milliseconds=100))
    await own.tick()
    assert looks.count == 1


async def test_a_wait_that_is_shortened_is_looked_at_again(own: Rig):
    """The clock was set back, and again: nobody tells of what is let wait no longer for that."""
    backoff = RetryPolicy(initial_backoff=timedelta(seconds=1))
    await own.register("fails", "@manual", payload={"fate": "fail-at-first", "times": 1}, policy=Policy(retry=backoff))
    own.clock.set_wall(own.clock.now() - timedelta(days=1))
    await own.tick()
    await own.service.run_now("fails", detach=True)
    await own.tick()
    own.clock.set_wall(own.clock.now() - timedelta(days=1))
    for _ in range(12):
        await own.skip(1)
    assert await own.states("fails") == ["SUCCEEDED"]


async def test_a_firing_that_fails_leaves_nothing_out(own: Rig, monkeypatch):
    """Whether it was written is not known: the next tick looks."""
    await spread(own, 2)
    await to(own, 0)
    await own.tick()
    looks = Looks(own)
    fire = own.store.fire

    async def refused(*_: Any, **__: Any) -> Any:
        raise OSError("no disk")

    monkeypatch.setattr(own.store, "fire", refused)
    await to(own, 10)
    with pytest.raises(OSError, match="no disk"):
        await own.engine.tick()
    monkeypatch.setattr(own.store, "fire", fire)
    await own.tick()
    assert (await started(own, 2), looks.count >= 1) == ([True, True], True)


async def test_an_engine_that_hears_nothing_looks_each_time(tmp_path: Path):
    """Nobody tells it what changes."""
    async with new_rig(tmp_path / "schedule.db", hears=False) as rig:
        await spread(rig, 3)
        await to(rig, -100)
        await rig.tick()
        looks = Looks(rig)
        for number in range(3):
            await to(rig, 10 * number)
            await rig.tick()
        assert looks.count >= 3
