"""Callers whose work is done together: each has its own answer."""

import asyncio
from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from schedule_grpc.errors import DatabaseUnavailable, TaskNotFound
from schedule_grpc.runtime.clock import MOST_TURNS, QUIET_TURNS
from schedule_grpc.service.together import AT_ONCE, Together


class Doubling:
    """Doubles numbers; notes which ones came together."""

    def __init__(self) -> None:
        self.done: list[list[int]] = []
        self.goes_on = asyncio.Event()
        self.goes_on.set()

    async def work(self, numbers: Sequence[int]) -> list[int | TaskNotFound]:
        """Fail for 13, and for 0 as a database that is away; 7 is refused."""
        self.done.append(list(numbers))
        await self.goes_on.wait()
        if 13 in numbers:
            raise ValueError(13)
        if 0 in numbers:
            raise DatabaseUnavailable("gone")
        return [TaskNotFound("7") if number == 7 else 2 * number for number in numbers]


async def answers(together: Together[int, int], *numbers: int) -> list[int | str]:
    """Ask for all at once."""
    given = await asyncio.gather(*map(together.ask, numbers), return_exceptions=True)
    return [each if isinstance(each, int) else type(each).__name__ for each in given]


async def test_those_who_ask_during_the_work_share_the_next():
    """Not more at once than are allowed."""
    doubling = Doubling()
    together = Together(doubling.work, "doubling")
    doubling.goes_on.clear()
    first = asyncio.create_task(together.ask(1))
    await asyncio.sleep(0)
    others = asyncio.create_task(answers(together, *range(100, 101 + AT_ONCE)))
    await asyncio.sleep(0)
    doubling.goes_on.set()
    assert await first == 2
    assert await others == [2 * number for number in range(100, 101 + AT_ONCE)]
    assert [len(some) for some in doubling.done] == [1, AT_ONCE, 1]


async def ask_later(together: Together[int, int], number: int, turns: int) -> int:
    """Ask after some turns of the loop."""
    for _ in range(turns):
        await asyncio.sleep(0)
    return await together.ask(number)


async def test_those_who_are_on_their_way_are_waited_for_where_callers_come_in_numbers():
    """Until none has come for some turns."""
    doubling = Doubling()
    together = Together(doubling.work, "doubling")
    assert await answers(together, 1, 2) == [2, 4]
    others = (
        ask_later(together, 4, QUIET_TURNS - 2),
        ask_later(together, 5, 2 * QUIET_TURNS - 4),
        ask_later(together, 6, 9 * QUIET_TURNS),
    )
    assert await asyncio.gather(together.ask(3), *others) == [6, 8, 10, 12]
    assert doubling.done == [[1, 2], [3, 4, 5], [6]]


async def test_those_who_keep_coming_are_not_waited_for_without_end():
    """Nor are more than one write has room for."""
    doubling = Doubling()
    together = Together(doubling.work, "doubling")
    assert await answers(together, -1, -2) == [-2, -4]
    coming = [ask_later(together, 100 + turn, turn) for turn in range(2 * MOST_TURNS)]
    assert await asyncio.gather(*coming) == [2 * (100 + turn) for turn in range(2 * MOST_TURNS)]
    assert 2 <= len(doubling.done[1]) <= MOST_TURNS + 1


async def test_a_lone_caller_waits_for_nobody():
    """Its work is under way at the next turn."""
    doubling = Doubling()
    together = Together(doubling.work, "doubling")
    await asyncio.gather(together.ask(1), ask_later(together, 2, 2))
    assert doubling.done == [[1], [2]]


async def test_an_error_is_the_answer_of_one():
    """The others have theirs."""
    assert await answers(Together(Doubling().work, "doubling"), 1, 7, 2) == [2, "TaskNotFound", 4]


async def test_a_fault_of_one_is_no_ones_else():
    """Each is tried by itself, and the log says why; the next ones find nothing amiss."""
    together = Together(Doubling().work, "doubling")
    with capture_logs() as lines:
        assert await answers(together, 1, 13, 2) == [2, "ValueError", 4]
    ((event, calls, error),) = [(line["event"], line["calls"], line["exc_info"]) for line in lines]
    assert (event, calls, error.args) == ("calls.tried_alone", 3, (13,))
    assert await answers(together, 3) == [6]


async def test_a_database_that_is_away_is_asked_once_for_all():
    """What it did is not known: nothing is done twice."""
    doubling = Doubling()
    assert await answers(Together(doubling.work, "doubling"), 1, 0, 2) == ["DatabaseUnavailable"] * 3
    assert doubling.done == [[1, 0, 2]]


async def test_a_caller_who_leaves_stops_nothing():
    """What it asked for is done, and the others have their answers."""
    doubling = Doubling()
    together = Together(doubling.work, "doubling")
    doubling.goes_on.clear()
    leaving, staying = (asyncio.create_task(together.ask(number)) for number in (1, 2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    leaving.cancel()
    doubling.goes_on.set()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert await staying == 4
    assert doubling.done == [[1, 2]]
