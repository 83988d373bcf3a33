"""Handing over: nothing is lost, and many things cost one wake-up."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from schedule_grpc.engine.hand_over import HandOver


class Loop:
    """An event loop that takes its turns when the test says so."""

    def __init__(self) -> None:
        self.ready: list[Callable[[], None]] = []
        self.closed = False

    def call_soon(self, call: Callable[[], None]) -> None:
        """Note a call."""
        if self.closed:
            raise RuntimeError("Event loop is closed")
        self.ready.append(call)

    call_soon_threadsafe = call_soon

    def turn(self) -> None:
        """Make the calls that are ready."""
        ready, self.ready = self.ready, []
        for call in ready:
            call()


@pytest.fixture
def loop() -> Any:
    """Where things go."""
    return Loop()


def test_what_waits_together_goes_with_one_wake_up(loop: Any):
    """In order; what comes after the loop has looked wakes it again."""
    taken: list[int] = []
    over = HandOver(loop, taken.append)
    for number in range(3):
        over.give(number)
    assert len(loop.ready) == 1
    loop.turn()
    assert taken == [0, 1, 2]
    over.give(3)
    loop.turn()
    assert (taken, loop.ready) == ([0, 1, 2, 3], [])


def test_what_one_turn_of_the_giver_gives_goes_after_it(loop: Any):
    """The receiver sleeps meanwhile."""
    taken: list[int] = []
    giver: Any = Loop()
    over = HandOver(loop, taken.append, giver=giver)
    over.give(1)
    over.give(2)
    assert (len(giver.ready), loop.ready) == (1, [])
    giver.turn()
    over.give(3)
    assert (giver.ready, len(loop.ready)) == ([], 1)
    loop.turn()
    assert taken == [1, 2, 3]


def test_what_is_given_while_things_are_taken_has_the_next_turn(loop: Any):
    """Not this one: it might never end."""
    over: HandOver[int]

    def take(number: int) -> None:
        taken.append(number)
        if number < 3:
            over.give(number + 1)

    taken: list[int] = []
    over = HandOver(loop, take)
    over.give(1)
    for turns in range(1, 4):
        loop.turn()
        assert taken == [1, 2, 3][:turns]
    assert loop.ready == []


def test_a_thing_that_cannot_be_taken_keeps_no_other(loop: Any):
    """The others have the next turn."""

    def take(number: int) -> None:
        if number == 0:
            raise MemoryError
        taken.append(number)

    taken: list[int] = []
    over = HandOver(loop, take)
    for number in range(3):
        over.give(number)
    with pytest.raises(MemoryError):
        loop.turn()
    loop.turn()
    assert taken == [1, 2]


def test_a_loop_that_has_closed_takes_nothing(loop: Any):
    """Nor does it complain."""
    taken: list[int] = []
    over = HandOver(loop, taken.append)
    loop.closed = True
    over.give(1)
    assert taken == []


async def test_many_threads_give_at_once():
    """Each thing comes once, and those of one thread in its order."""
    taken: list[tuple[int, int]] = []
    all_taken = asyncio.Event()

    def take(thing: tuple[int, int]) -> None:
        taken.append(thing)
        if len(taken) == 4000:
            all_taken.set()

    over = HandOver(asyncio.get_running_loop(), take)

    def give(thread: int) -> None:
        for number in range(1000):
            over.give((thread, number))

    threads = [threading.Thread(target=give, args=(number,), daemon=True) for number in range(4)]
    for thread in threads:
        thread.start()
    await all_taken.wait()
    assert [[number for of, number in taken if of == thread] for thread in range(4)] == [list(range(1000))] * 4
