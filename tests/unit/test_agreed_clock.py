"""The time on which servers agree: the database's, whatever their own wall clocks say."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from schedule_grpc.errors import DatabaseUnavailable
from schedule_grpc.runtime.agreed_clock import EVERY, SAMPLES, AgreedClock
from schedule_grpc.testing import FakeClock

MACHINE = datetime(2026, 1, 31, 10, 0, tzinfo=UTC)
DATABASE = MACHINE + timedelta(minutes=10)
SECOND = timedelta(seconds=1)

Ask = Callable[[], Awaitable[datetime]]


@pytest.fixture
def machine() -> FakeClock:
    """A server's own clock, which is ten minutes behind."""
    return FakeClock(MACHINE)


def answering(machine: FakeClock, *ways: tuple[float, float], ahead: timedelta = DATABASE - MACHINE) -> Ask:
    """Return the way to a database: seconds until the question is there, and until its answer is back, each time."""
    times = iter(ways)

    async def ask() -> datetime:
        there, back = next(times, (0.0, 0.0))
        await passes(there)
        time = machine.now() + ahead
        await passes(back)
        return time

    async def passes(seconds: float) -> None:
        if seconds:
            await machine.advance(seconds)

    return ask


async def away() -> datetime:
    """Answer as a database that is away."""
    raise DatabaseUnavailable("away")


def test_nobody_knows_the_time_before_it_is_agreed(machine: FakeClock):
    """Nothing may fire by then."""
    with pytest.raises(AssertionError, match="agree"):
        AgreedClock(machine).now()


async def test_the_time_is_the_databases(machine: FakeClock):
    """And goes on as the machine's monotonic clock does."""
    clock = AgreedClock(machine)
    await clock.agree(answering(machine))
    assert clock.now() == DATABASE
    await machine.advance(3)
    assert clock.now() == DATABASE + 3 * SECOND
    assert clock.monotonic() == machine.monotonic()


async def test_the_quickest_answer_counts(machine: FakeClock):
    """Each can be wrong by half of its way: that of the slow ones is long, and all of it one way."""
    clock = AgreedClock(machine)
    await clock.agree(answering(machine, (0.5, 0), (0, 0.4), (0.01, 0.01), (0.3, 0), (0, 0.6)))
    assert clock.now() - machine.now() == DATABASE - MACHINE


async def test_answers_that_are_all_slow_change_nothing(machine: FakeClock):
    """They waited for a connection, say: what was agreed before is better. Before anything was, they must do."""
    clock = AgreedClock(machine)
    await clock.agree(answering(machine, *[(4, 0)] * SAMPLES))
    assert machine.now() + (DATABASE - MACHINE) - clock.now() == -2 * SECOND
    await clock.agree(answering(machine))
    await clock.agree(answering(machine, *[(4, 0)] * SAMPLES))
    assert clock.now() - machine.now() == DATABASE - MACHINE


async def test_a_small_correction_back_stands_still(machine: FakeClock):
    """The time never goes back by seconds: it waits until it is right."""
    clock = AgreedClock(machine)
    await clock.agree(answering(machine))
    assert clock.now() == DATABASE
    await clock.agree(answering(machine, ahead=DATABASE - MACHINE - 2 * SECOND))
    assert clock.now() == DATABASE
    await machine.advance(1)
    assert clock.now() == DATABASE
    await machine.advance(2)
    assert clock.now() == DATABASE + SECOND


async def test_a_big_correction_back_is_one(machine: FakeClock):
    """As a wall clock that was set back: a database that failed over, say."""
    clock = AgreedClock(machine)
    await clock.agree(answering(machine))
    assert clock.now() == DATABASE
    await clock.agree(answering(machine, ahead=timedelta(0)))
    assert clock.now() == MACHINE


async def test_a_database_that_is_away(machine: FakeClock):
    """The time goes on as it was agreed before."""
    clock = AgreedClock(machine)
    await clock.agree(answering(machine))
    with pytest.raises(DatabaseUnavailable):
        await clock.agree(away)
    await machine.advance(1)
    assert clock.now() == DATABASE + SECOND


async def test_waiting_is_for_the_agreed_time(machine: FakeClock):
    """Whatever the machine's wall clock says."""
    clock = AgreedClock(machine)
    await clock.agree(answering(machine))
    waiting = asyncio.create_task(clock.wait_until(DATABASE + timedelta(milliseconds=500), asyncio.Event()))
    await machine.advance(0.4)
    assert not waiting.done()
    await machine.advance(0.2)
    await asyncio.wait_for(waiting, 1)


async def test_it_keeps_agreeing_whatever_happens(machine: FakeClock):
    """The database is away, then a fault of ours, then it answers: the clock follows."""
    clock = AgreedClock(machine)
    await clock.agree(answering(machine))
    answers = [away, faulty, *[answering(machine, ahead=timedelta(hours=1))] * SAMPLES]

    async def ask() -> datetime:
        return await (answers.pop(0) if answers else answering(machine, ahead=timedelta(hours=1)))()

    keeping = asyncio.create_task(clock.keep_agreeing(ask))
    for _ in range(int(4 * EVERY)):
        await machine.advance(1)
    assert clock.now() == machine.now() + timedelta(hours=1)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)


async def faulty() -> datetime:
    """Answer as nobody expects."""
    raise ZeroDivisionError
