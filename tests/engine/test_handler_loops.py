"""Event loops of handlers: real threads, and handlers that do not give way until the test says so."""

import asyncio
import sys
import threading
from typing import Any

import pytest
import structlog
from support.patience import until
from support.rigs.loops_scene import MINUTE, Scene, where

from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.engine import handler_loops
from schedule_grpc.handlers import Offer, Raised, TaskContext, perform
from schedule_grpc.handlers.perform import GRACE, HELD_UP_GRACES


async def test_handlers_run_apart_from_the_server(scene: Scene):
    """Async ones, in one loop, with its bindings; each in a context in which lines of the log name its execution."""

    async def bound(_: TaskContext) -> Any:
        return structlog.contextvars.get_contextvars()

    assert (await scene.call(where)).result == ["handlers 1", 1]
    assert (await scene.call(bound)).result == {"execution": scene.context().execution_id}
    assert structlog.contextvars.get_contextvars() == {}


async def test_one_that_blocks_costs_itself(scene: Scene):
    """What waited behind it begins in another loop, with that one's bindings, and so does what comes."""
    blocking = await scene.blocked()
    waiting = scene.call(where)
    await scene.loops.relieve()
    assert (await waiting).result == ["handlers 2", 2]
    assert (await scene.call(where)).result == ["handlers 2", 2]
    scene.held.set()
    assert (await blocking).result == "at last"


async def test_time_that_is_waited_for_a_turn_does_not_count(scene: Scene):
    """Its timeout is shorter than the wait."""
    blocking = await scene.blocked()
    waiting = scene.call(where)
    await scene.clock.advance(10 * MINUTE)
    assert not waiting.done()
    await scene.loops.relieve()
    fate = await waiting
    assert (fate.kind, fate.result) == (None, ["handlers 2", 2])
    scene.held.set()
    await blocking


async def test_a_neighbour_of_one_that_blocks_is_not_abandoned(scene: Scene):
    """Its time is up, and it cannot hear of it: it is waited for beyond its grace, and may be tried again."""
    beside = await scene.neighbour()
    blocking = await scene.blocked()
    await scene.clock.advance(MINUTE + 3 * GRACE)
    assert not beside.done()
    scene.held.set()
    fate = await beside
    assert (fate.kind, fate.abandoned) == (FailureKind.TIMEOUT, False)
    await blocking


async def test_one_that_blocks_for_too_long_is_abandoned(scene: Scene):
    """Nobody holds it up but itself; its neighbours are given up with it only when it has blocked for minutes."""
    beside = await scene.neighbour()
    blocking = await scene.blocked()
    await scene.clock.advance(MINUTE + GRACE)
    fate = await blocking
    assert (fate.kind, fate.abandoned) == (FailureKind.TIMEOUT, True)
    assert fate.left is not None
    assert not fate.left.done()
    assert not beside.done()
    await scene.clock.advance(GRACE * HELD_UP_GRACES)
    assert (await beside).abandoned
    scene.held.set()
    await fate.left


async def test_a_loop_that_is_left_idle_is_closed(scene: Scene):
    """Once its last handler has ended; the newest one stays."""
    blocking = await scene.blocked()
    await scene.loops.relieve()
    scene.held.set()
    await blocking

    async def one_is_left() -> bool:
        await scene.loops.relieve()
        return len(scene.loops._loops) == 1

    await until(one_is_left)
    assert [env.closed for env in scene.made] == [True, False]
    assert (await scene.call(where)).result == ["handlers 2", 2]


async def test_there_are_not_more_loops_than_is_sensible(scene: Scene, monkeypatch):
    """Every handler blocks: what comes waits."""
    monkeypatch.setattr(handler_loops, "MOST_LOOPS", 2)
    calls = []
    for _ in range(2):
        scene.entered.clear()
        calls.append(await scene.blocked())
        await scene.loops.relieve()
    waiting = scene.call(where)
    await scene.loops.relieve()
    assert len(scene.made) == 2
    assert not waiting.done()
    scene.held.set()
    await asyncio.gather(*calls)
    assert (await waiting).result == ["handlers 2", 2]


async def test_what_is_stopped_before_its_turn_does_not_begin(scene: Scene):
    """It waits behind one that blocks, and its end is asked for."""
    began = []

    async def notes(_: TaskContext) -> None:
        began.append(1)

    blocking = await scene.blocked()
    waiting = scene.loops.begin(notes, scene.context())
    waiting.cancel()
    scene.held.set()
    end = await waiting.end
    assert isinstance(end, Raised)
    assert isinstance(end.error, asyncio.CancelledError)
    assert began == []
    await blocking


async def test_a_child_task_that_exits_ends_no_loop(scene: Scene):
    """SystemExit in a task of a handler's own."""

    async def exits(_: TaskContext) -> None:
        async def child() -> None:
            sys.exit(3)

        await asyncio.gather(asyncio.create_task(child()))

    fate = await scene.call(exits)
    assert (fate.kind, "SystemExit" in (fate.error or "")) == (FailureKind.ERROR, True)
    assert (await scene.call(where)).result == ["handlers 1", 1]


async def _interrupts() -> None:
    raise KeyboardInterrupt


def _stops() -> None:
    asyncio.get_running_loop().stop()


def _cancels_all() -> None:
    for task in asyncio.all_tasks():
        if "neighbour" not in repr(task.get_coro()) and task.get_name() != "h exec_t_1_a":
            task.cancel()


@pytest.mark.parametrize("harm", [lambda: asyncio.create_task(_interrupts()), _stops, _cancels_all])
async def test_a_handler_that_ends_its_loop_ends_no_loop(scene: Scene, harm):
    """KeyboardInterrupt in a task of its own, the loop stopped, every task cancelled: its neighbours go on."""
    began, go = threading.Event(), threading.Event()

    async def neighbour(_: TaskContext) -> str:
        began.set()
        while not go.is_set():  # noqa: ASYNC110 (another thread's event)
            await asyncio.sleep(0.01)
        return "as ever"

    async def harms(_: TaskContext) -> str:
        kept = harm()
        await asyncio.sleep(0.1)
        return "after" if kept is None or kept.done() else "before"

    beside = scene.call(neighbour)
    await asyncio.to_thread(began.wait, 60)
    assert (await scene.call(harms)).result == "after"
    go.set()
    assert (await beside).result == "as ever"
    assert (await scene.call(where)).result == ["handlers 1", 1]


async def test_what_moved_to_another_loop_begins_there(scene: Scene):
    """Both are blocked; the first one is free again sooner, and must not call it with the other one's bindings."""
    blocking, first = await scene.blocked(), scene.loops.current
    moved = scene.call(where)
    await asyncio.sleep(0)
    entered, later = threading.Event(), threading.Event()

    async def blocks_the_second(_: TaskContext) -> None:
        entered.set()
        later.wait(60)

    scene.loops.open()
    second = scene.call(blocks_the_second)
    await asyncio.to_thread(entered.wait, 60)
    for call in first.let_go():
        scene.loops.current.give(call)
    scene.held.set()
    await blocking
    await asyncio.sleep(0.2)
    assert not moved.done()
    later.set()
    assert (await moved).result == ["handlers 2", 2]
    await second


async def test_what_waits_for_its_turn_is_stopped_at_once(scene: Scene):
    """It was not called: that is no attempt."""
    blocking = await scene.blocked()
    stop = asyncio.get_running_loop().create_future()
    offer = Offer(name="h", description="", function=where, is_async=True)
    waiting = asyncio.create_task(perform(offer, scene.context(), timeout=MINUTE, stop=stop, begin=scene.loops.begin))
    await asyncio.sleep(0)
    stop.set_result(None)
    fate = await waiting
    assert (fate.begun, fate.stopped, fate.abandoned) == (False, True, False)
    scene.held.set()
    await blocking


async def test_a_neighbour_is_not_waited_for_by_a_process_that_ends(scene: Scene):
    """It gets its grace, and no more: it ends with the process."""
    began, leaving = threading.Event(), asyncio.Event()

    async def neighbour(_: TaskContext) -> None:
        began.set()
        await asyncio.Event().wait()

    stop = asyncio.get_running_loop().create_future()
    offer = Offer(name="h", description="", function=neighbour, is_async=True)
    beside = asyncio.create_task(
        perform(offer, scene.context(), timeout=MINUTE, stop=stop, begin=scene.loops.begin, leaving=leaving)
    )
    await asyncio.to_thread(began.wait, 60)
    blocking = await scene.blocked()
    stop.set_result(None)
    leaving.set()
    await scene.clock.advance(GRACE)
    assert (await beside).abandoned
    scene.held.set()
    await blocking


async def test_closing_does_not_wait_for_one_that_blocks(scene: Scene, monkeypatch):
    """The process ends without it."""
    monkeypatch.setattr(handler_loops, "CLOSING_SECONDS", 0.1)
    blocking = await scene.blocked()
    await scene.loops.close()
    assert not scene.made[0].closed
    scene.held.set()
    await blocking
