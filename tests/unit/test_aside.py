"""Computing beside the event loop: what is heavy does not hold it up, what is light is done at once."""

import asyncio
import threading
from typing import Any

import pytest

from schedule_grpc.runtime.threads import LIGHT, Aside, weight_of

LOOP = "loop"


def where() -> str:
    """Say where this is computed."""
    return LOOP if threading.current_thread() is threading.main_thread() else "aside"


@pytest.mark.parametrize(("weight", "place"), [(0, LOOP), (LIGHT, LOOP), (LIGHT + 1, "aside"), (None, "aside")])
async def test_what_is_heavy_is_computed_in_a_thread(weight: int | None, place: str):
    """And what is light without one."""
    assert await Aside().compute(where, weight=weight) == place


async def test_one_thing_is_computed_at_a_time():
    """The second one begins when the first has ended; the loop goes on meanwhile."""
    aside, go, begun = Aside(), threading.Event(), threading.Event()

    def first() -> str:
        begun.set()
        assert go.wait(60)
        return "first"

    started = asyncio.create_task(aside.compute(first))
    await asyncio.to_thread(begun.wait, 60)
    order: list[str] = []
    second = asyncio.create_task(aside.compute(lambda: order.append("second")))
    for _ in range(100):
        await asyncio.sleep(0)  # the loop is free
    assert order == []
    go.set()
    assert await started == "first"
    await second
    assert order == ["second"]


async def test_what_is_raised_is_raised_to_the_caller_and_the_next_has_its_turn():
    """A failure holds nobody up."""
    aside = Aside()
    with pytest.raises(ZeroDivisionError):
        await aside.compute(lambda: 1 // 0)
    assert await aside.compute(where) == "aside"


async def test_a_caller_who_leaves_gives_up_its_place():
    """Also one that still waits for its turn."""
    aside, go = Aside(), threading.Event()
    first = asyncio.create_task(aside.compute(lambda: go.wait(60)))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(aside.compute(where))
    await asyncio.sleep(0)
    waiting.cancel()
    go.set()
    assert await first
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await aside.compute(where) == "aside"


@pytest.mark.parametrize(
    ("value", "heavy"),
    [
        ({}, False),
        (None, False),
        ({"a": [1, 2.5, None, "text"]}, False),
        ({"a": "x" * 2 * LIGHT}, True),
        ([1] * LIGHT, True),
        ([[]] * LIGHT, True),
        ({str(number): number for number in range(LIGHT)}, True),
        ([[[1] * 50] * 50] * 50, True),
    ],
)
def test_weight(value: Any, heavy: bool):
    """Of texts their length, of everything else how many values there are, wherever they stand."""
    assert (weight_of(value) > LIGHT) is heavy


def test_weighing_looks_at_no_more_than_it_must():
    """Half a million values, and values within themselves, are as quick as a few thousand."""
    endless: list[Any] = []
    endless.append(endless)
    endless.append(endless)
    assert weight_of([1] * 500_000) > LIGHT
    assert weight_of(endless) > LIGHT
