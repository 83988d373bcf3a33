"""Runs by hand that begin as they are recorded, where the engine of the same process has slots for them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.rigs.rig import Rig, new_rig

from schedule_grpc.domain.execution import State
from schedule_grpc.errors import TaskNotFound


def slow_submissions(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> tuple[asyncio.Event, asyncio.Event]:
    """Let what is submitted be on disk before it is answered; return what is set then, and what lets it be answered."""
    submit, reached, goes_on = rig.store.submit, asyncio.Event(), asyncio.Event()

    async def slow(*arguments, **more):
        submitted = await submit(*arguments, **more)
        reached.set()
        await goes_on.wait()
        return submitted

    monkeypatch.setattr(rig.store, "submit", slow)
    return reached, goes_on


@pytest.fixture
async def begun(place: Path | str) -> AsyncIterator[Rig]:
    """A service with two slots whose engine has begun, but looks only when it is told to."""
    async with new_rig(place, concurrency=2) as rig:
        await rig.engine.tick()
        rig.engine.begun = True
        yield rig


async def register(rig: Rig, gate, *names: str) -> None:
    """Register tasks whose handlers wait at gates of their names."""
    for name in names:
        gate(name)
        await rig.register(name, "@manual", payload={"gate": name})


def looks(rig: Rig) -> bool:
    """Tell whether the engine is to look again, and let it forget that."""
    woken = rig.engine._woken.is_set()
    rig.engine._woken.clear()
    return woken


async def test_a_run_begins_without_a_look(begun: Rig, gate):
    """It is recorded RUNNING, its handler is called, and the engine has nothing to look for."""
    await register(begun, gate, "task")
    looks(begun)
    execution = await begun.service.run_now("task", detach=True)
    assert execution.state is State.RUNNING
    await gate("task").came.wait()
    assert not looks(begun)
    gate("task").opened.set()
    await begun.engine.idle()
    assert await begun.states() == ["SUCCEEDED"]


async def test_a_caller_who_waits_is_answered_with_the_end(begun: Rig):
    """As if a look had found it."""
    await begun.register("task", "@manual")
    execution = await begun.service.run_now("task", payload={"a": 1})
    assert execution.state is State.SUCCEEDED
    assert execution.result == {"success": True, "seen": {"a": 1}}


async def test_what_finds_no_slot_waits_for_the_engine(begun: Rig, gate):
    """It wakes the engine, and starts in its turn."""
    await register(begun, gate, "a", "b", "c", "d")
    for name in "ab":
        await begun.service.run_now(name, detach=True)
    looks(begun)
    assert (await begun.service.run_now("c", detach=True)).state is State.PENDING
    assert looks(begun)
    freed = asyncio.Event()
    begun.engine._runner._on_free = freed.set
    gate("a").opened.set()
    await freed.wait()
    assert (await begun.service.run_now("d", detach=True)).state is State.PENDING  # c waits longer
    await begun.engine.tick()
    assert [await begun.states(name) for name in "cd"] == [["RUNNING"], ["PENDING"]]
    for name in "bcd":
        gate(name).opened.set()
    await begun.tick()


async def test_calls_and_looks_share_the_slots(begun: Rig, gate):
    """However they meet, no more runs than there are slots."""
    names = "abcdefgh"
    await register(begun, gate, *names)
    begun.engine.begun = False
    for name in names[:3]:
        await begun.service.run_now(name, detach=True)
    begun.engine.begun = True
    calls = [begun.service.run_now(name, detach=True) for name in names[3:]]
    await asyncio.gather(begun.engine.tick(), *calls, begun.engine.tick())
    assert begun.engine.running == 2
    for name in names:
        gate(name).opened.set()
    await begun.tick()
    assert [await begun.states(name) for name in names] == [["SUCCEEDED"]] * len(names)


async def test_runs_that_come_during_a_write_share_the_next(begun: Rig, monkeypatch: pytest.MonkeyPatch):
    """Each has its own answer, be it an error."""
    for name in "ab":
        await begun.register(name, "@manual")
    written, submit = [], begun.store.submit

    async def watched(runs, **more):
        written.append([run.name for run in runs])
        return await submit(runs, **more)

    monkeypatch.setattr(begun.store, "submit", watched)
    calls = [begun.service.run_now(name, detach=True) for name in ("a", "nobody", "b")]
    first, second, third = await asyncio.gather(*calls, return_exceptions=True)
    assert (first.task_name, type(second), third.task_name) == ("a", TaskNotFound, "b")
    assert written == [["a", "nobody", "b"]]
    await begun.engine.idle()


async def test_a_run_whose_caller_left_runs(begun: Rig, monkeypatch: pytest.MonkeyPatch):
    """Its slot is not lost, nor is it."""
    await begun.register("task", "@manual")
    reached, goes_on = slow_submissions(begun, monkeypatch)
    call = asyncio.create_task(begun.service.run_now("task", detach=True))
    await reached.wait()
    call.cancel()
    await asyncio.wait([call])
    goes_on.set()
    async with begun.engine._runner.claiming:
        pass
    await begun.engine.idle()
    assert await begun.states() == ["SUCCEEDED"]


async def test_an_engine_that_stops_begins_nothing(begun: Rig):
    """The run is recorded for the next one."""
    await begun.register("task", "@manual")
    begun.engine.stop()
    assert (await begun.service.run_now("task", detach=True)).state is State.PENDING


async def test_an_engine_that_stops_drains_what_a_call_is_recording(begun: Rig, gate, monkeypatch: pytest.MonkeyPatch):
    """It began before: the engine ends once that has ended, too."""
    await register(begun, gate, "task")
    reached, goes_on = slow_submissions(begun, monkeypatch)
    call = asyncio.create_task(begun.service.run_now("task", detach=True))
    await reached.wait()
    begun.engine.stop()
    running = asyncio.create_task(begun.engine.run())
    await begun.written()
    goes_on.set()
    await call
    await gate("task").came.wait()
    gate("task").opened.set()
    await running
    assert await begun.states() == ["SUCCEEDED"]
