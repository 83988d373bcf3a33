"""The clock that tests are given: it stands still until it is told to move."""

import asyncio
import contextvars
from datetime import datetime, timedelta, timezone
from functools import partial

import pytest
from support.rigs.rig import START, at

from schedule_grpc.runtime.clock import MAX_WAIT, Clock
from schedule_grpc.testing import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still."""
    return FakeClock(START)


async def test_both_clocks_move_together(clock: FakeClock):
    """By seconds or by a timedelta; in between they stand still."""
    moved: Clock = clock
    assert (moved.now(), moved.monotonic()) == (START, 0)
    await clock.advance(1.5)
    await clock.advance(timedelta(minutes=1))
    assert (moved.now(), moved.monotonic()) == (START + timedelta(seconds=61.5), 61.5)


async def test_ten_thousand_small_steps_add_up(clock: FakeClock):
    """Nothing is lost to rounding: tests compare instants for equality."""
    for _ in range(1000):
        await clock.advance(0.1)
    assert clock.now() == START + timedelta(seconds=100)


async def test_a_timeout_fires_when_fake_time_has_passed_and_not_before(clock: FakeClock):
    """It raises TimeoutError in the one who waits."""

    async def wait() -> str:
        try:
            async with clock.timeout(10):
                await asyncio.Event().wait()
        except TimeoutError:
            return f"after {clock.monotonic():g} s"
        return "never"

    waiting = asyncio.create_task(wait())
    await clock.advance(9.999)
    assert not waiting.done()
    await clock.advance(100)
    assert await waiting == "after 10 s"


async def test_a_body_that_ends_in_time_is_left_alone(clock: FakeClock):
    """Its timeout rings into the void."""
    async with clock.timeout(1):
        pass
    await clock.advance(5)
    assert clock.monotonic() == 5


async def test_a_timeout_of_nothing_fires_at_once(clock: FakeClock):
    """As the machine's does: nobody has to move the clock."""
    for seconds in (0, -1):
        with pytest.raises(TimeoutError):
            async with clock.timeout(seconds):
                await asyncio.Event().wait()


async def test_an_alarm_rings_once_at_its_time(clock: FakeClock):
    """Under the context of who set it; one that was cancelled does not ring, be it between its time and its call."""
    rung: list[tuple[str, float, str]] = []
    variable = contextvars.ContextVar("variable", default="nothing")

    def ring(name: str) -> None:
        rung.append((name, clock.monotonic(), variable.get()))

    variable.set("set")
    clock.call_later(2, partial(ring, "b"))
    clock.call_later(1, partial(ring, "a"))
    clock.call_later(1, partial(ring, "never")).cancel()
    clock.call_later(0, partial(ring, "never")).cancel()
    variable.set("changed")
    clock.call_later(-1, partial(ring, "at once"))
    assert rung == []
    await clock.advance(10)
    assert rung == [("at once", 0, "changed"), ("a", 1, "set"), ("b", 2, "set")]


async def test_whoever_waits_is_woken_in_the_order_of_time(clock: FakeClock):
    """In one advance, and what the woken begin on the way is still served."""
    order: list[tuple[str, float]] = []

    async def sleeper(name: str, *naps: float) -> None:
        for nap in naps:
            try:
                async with clock.timeout(nap):
                    await asyncio.Event().wait()
            except TimeoutError:
                order.append((name, clock.monotonic()))

    sleeping = [asyncio.create_task(sleeper(*each)) for each in (("a", 5), ("b", 2, 4), ("c", 2), ("d", 50))]
    await clock.advance(0)
    await clock.advance(10)
    assert order == [("b", 2), ("c", 2), ("a", 5), ("b", 6)]
    sleeping[-1].cancel()
    await asyncio.wait(sleeping)


async def test_a_wait_ends_at_its_time_by_its_event_or_after_a_second(clock: FakeClock):
    """The first of them; a wall clock that jumps is noticed within `MAX_WAIT`."""

    async def waited(when: datetime | None, event: asyncio.Event) -> float:
        began = clock.monotonic()
        await clock.wait_until(when, event)
        return clock.monotonic() - began

    async def run(when: datetime | None, *, ring: bool = False) -> float:
        event = asyncio.Event()
        waiting = asyncio.create_task(waited(when, event))
        await clock.advance(0.25)
        if ring:
            event.set()
        await clock.advance(5)
        return await waiting

    assert await run(clock.now() + timedelta(seconds=0.5)) == 0.5
    assert await run(clock.now() + timedelta(days=1)) == MAX_WAIT
    assert await run(None) == MAX_WAIT
    assert await run(None, ring=True) == 0.25
    assert await run(clock.now()) == 0
    assert await run(clock.now() - timedelta(days=1)) == 0


async def test_an_event_that_is_set_already_ends_the_wait_at_once(clock: FakeClock):
    """Without any move."""
    event = asyncio.Event()
    event.set()
    await clock.wait_until(None, event)


async def test_the_wall_clock_may_jump_and_monotonic_time_does_not(clock: FakeClock):
    """Forward or back; timeouts go on as if nothing had happened."""
    fired = asyncio.Event()

    async def wait() -> None:
        try:
            async with clock.timeout(10):
                await asyncio.Event().wait()
        except TimeoutError:
            fired.set()

    waiting = asyncio.create_task(wait())
    await clock.advance(4)
    clock.set_wall(START - timedelta(days=365))
    assert clock.monotonic() == 4
    await clock.advance(5)
    assert not fired.is_set()
    assert clock.now() == START - timedelta(days=365) + timedelta(seconds=5)
    clock.set_wall(START + timedelta(days=365))
    await clock.advance(1)
    assert fired.is_set()
    await waiting


async def test_an_instant_of_another_zone_is_told_in_utc():
    """now() is UTC, as the machine's clock has it."""
    berlin = timezone(timedelta(hours=1))
    clock = FakeClock(datetime(2026, 1, 31, 11, 0, tzinfo=berlin))
    assert clock.now().isoformat() == "2026-01-31T10:00:00+00:00"
    clock.set_wall(datetime(2026, 1, 31, 12, 0, tzinfo=berlin))
    assert clock.now().isoformat() == "2026-01-31T11:00:00+00:00"


async def test_what_is_no_instant_and_no_step_forward_is_refused(clock: FakeClock):
    """A naive time would fail far away from here; monotonic time never goes back."""
    naive = at("2026-01-31T10:00").replace(tzinfo=None)
    with pytest.raises(ValueError, match="aware"):
        FakeClock(naive)
    with pytest.raises(ValueError, match="aware"):
        clock.set_wall(naive)
    with pytest.raises(ValueError, match="back"):
        await clock.advance(-1)


async def test_a_cancelled_waiter_hears_its_cancellation(clock: FakeClock):
    """Which is not a timeout."""

    async def wait() -> None:
        async with clock.timeout(10):
            await asyncio.Event().wait()

    waiting = asyncio.create_task(wait())
    await clock.advance(1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await clock.advance(20)
