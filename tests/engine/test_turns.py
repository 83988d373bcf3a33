"""Turns in a loop of handlers: of those that were handed over together, each has its own, or none."""

import asyncio

import pytest
from support.patience import until
from support.rigs.loops_scene import MINUTE, Scene, where

from schedule_grpc.handlers import Offer, TaskContext, perform


async def test_what_came_with_one_that_blocks_goes_elsewhere(scene: Scene):
    """All were handed over at once: those behind it have not begun. Who ended before it is heard while it blocks."""
    first, blocking, behind = (scene.call(each) for each in (where, scene.blocks, where))
    assert (await first).result == ["handlers 1", 1]
    await asyncio.to_thread(scene.entered.wait, 60)
    current = scene.loops.current

    async def noticed() -> bool:
        return current.is_blocked

    await until(noticed)
    assert not behind.done()
    await scene.loops.relieve()
    assert (await behind).result == ["handlers 2", 2]
    scene.held.set()
    assert (await blocking).result == "at last"


async def test_one_that_is_cancelled_with_all_others_before_its_turn_was_not_called(scene: Scene):
    """A handler cancels every task of the loop: who had not begun is no attempt, and is not forgotten."""
    called = []

    async def cancels(_: TaskContext) -> str:
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        return "done"

    async def notes(_: TaskContext) -> None:
        called.append(1)

    cancelling, behind = scene.call(cancels), scene.call(notes)
    assert (await cancelling).result == "done"
    fate = await behind
    assert (fate.begun, fate.stopped, called) == (False, True, [])
    assert (await scene.call(where)).result == ["handlers 1", 1]


@pytest.mark.parametrize("elsewhere", [True, False])
async def test_one_that_cancels_itself_and_returns_has_returned(scene: Scene, elsewhere: bool):
    """In a loop of handlers as in the tests' own: what it returned counts."""

    async def cancels_itself(_: TaskContext) -> str:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        return "done"

    offer = Offer(name="h", description="", function=cancels_itself, is_async=True)
    stop = asyncio.get_running_loop().create_future()
    begin = {"begin": scene.loops.begin} if elsewhere else {}
    fate = await perform(offer, scene.context(), timeout=MINUTE, stop=stop, **begin)
    assert (fate.kind, fate.result) == (None, "done")
