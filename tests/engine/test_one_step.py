"""When due tasks are recorded: as they start, or, where no slot is free for a while, to wait in the queue."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.rigs.rig import Rig, limit, new_rig

from schedule_grpc.domain.execution import Execution, State
from schedule_grpc.domain.planning import Firing
from schedule_grpc.domain.policy import Policy
from schedule_grpc.domain.retry import RetryPolicy
from schedule_grpc.engine.loop import FIRED_AT_ONCE, FIRED_BESIDE, MOMENT, PATIENCE
from schedule_grpc.store.claims import Fired

ONCE = RetryPolicy(max_retries=0)
HALF_A_MINUTE = timedelta(seconds=30)


@pytest.fixture
async def narrow(place: Path | str) -> AsyncIterator[Rig]:
    """A service with one slot."""
    async with new_rig(place, concurrency=1) as rig:
        yield rig


async def states(rig: Rig, *names: str) -> list[list[str]]:
    """Return the states of the executions of each task."""
    return [await rig.states(name) for name in names]


async def due(rig: Rig, *names: str) -> None:
    """Register tasks that wait at a gate of their name, and let them come due, one after the other."""
    for number, name in enumerate(names):
        await rig.register(name, f"{number} 11 * * *", payload={"gate": name})
    await rig.clock.advance(3600 + 60 * len(names))


async def test_what_is_due_starts_as_it_is_recorded(rig: Rig, gate):
    """One look is enough: nobody sees it wait."""
    held = gate("task")
    await due(rig, "task")
    assert await rig.engine.tick()
    assert await rig.states("task") == ["RUNNING"]
    held.opened.set()
    await rig.tick()
    assert await rig.states("task") == ["SUCCEEDED"]


async def test_what_has_no_slot_is_recorded_after_a_while(narrow: Rig, gate):
    """It stays due until then; no slot is free, and it waits in the queue."""
    held = gate("a")
    gate("b").opened.set()
    await due(narrow, "a", "b")
    while await narrow.engine.tick():
        pass
    assert await states(narrow, "a", "b") == [["RUNNING"], []]
    assert narrow.engine.next_time is not None
    assert narrow.engine.next_time <= narrow.clock.now() + PATIENCE
    await narrow.clock.advance(PATIENCE.total_seconds())
    assert await narrow.engine.tick()
    assert await states(narrow, "a", "b") == [["RUNNING"], ["PENDING"]]
    held.opened.set()
    await narrow.tick()
    assert await states(narrow, "a", "b") == [["SUCCEEDED"], ["SUCCEEDED"]]


async def test_what_finds_a_slot_soon_starts_without_waiting_in_the_queue(narrow: Rig, gate):
    """The slot is free before patience ends: the next one that is due begins at once, in the order of their times."""
    first, second, _ = gate("a"), gate("b"), gate("c")
    await due(narrow, "a", "b", "c")
    while await narrow.engine.tick():
        pass
    first.opened.set()
    await narrow.engine.idle()
    while await narrow.engine.tick():
        pass
    assert await states(narrow, "a", "b", "c") == [["SUCCEEDED"], ["RUNNING"], []]
    second.opened.set()
    await narrow.engine.idle()
    await narrow.engine.tick()
    assert await states(narrow, "a", "b", "c") == [["SUCCEEDED"], ["SUCCEEDED"], ["RUNNING"]]
    gate("c").opened.set()
    await narrow.tick()


async def test_what_waits_in_the_queue_comes_before_what_is_due(narrow: Rig, gate):
    """A run by hand that waited for the slot is older."""
    held, run = gate("a"), gate("run")
    await narrow.register("by-hand", "@manual", payload={"gate": "run"})
    await narrow.register("b", "30 11 * * *", payload={"gate": "b"})
    await due(narrow, "a")
    await narrow.engine.tick()
    await narrow.service.run_now("by-hand", detach=True)
    await narrow.clock.advance(1800)
    held.opened.set()
    await narrow.engine.idle()
    while await narrow.engine.tick():
        pass
    assert await narrow.states("by-hand") == ["RUNNING"]
    assert await narrow.states("b") in ([], ["PENDING"])
    run.opened.set()
    gate("b").opened.set()
    await narrow.tick()
    assert await states(narrow, "by-hand", "b") == [["SUCCEEDED"], ["SUCCEEDED"]]


async def test_a_handler_with_its_own_limit_does_not_keep_others_from_one_step(rig: Rig, gate):
    """Those of its executions that wait cannot start, whatever else does."""
    limit(rig, fate=1)
    held = gate("a")
    await rig.register("other", "30 11 * * *", handler="in-thread", policy=Policy(timeout=HALF_A_MINUTE, retry=ONCE))
    await due(rig, "a", "b")
    while await rig.engine.tick():
        pass
    assert await states(rig, "a", "b") == [["RUNNING"], ["PENDING"]]
    await rig.clock.advance(1800)  # longer than the timeout of the one that runs: its slot may be free by now
    while await rig.engine.tick():
        pass
    assert await rig.states("other") == ["RUNNING"]
    held.opened.set()
    gate("b").opened.set()
    await rig.clock.advance(30)  # its timeout ends the one in a thread
    await rig.tick()
    assert await states(rig, "a", "b") == [["SUCCEEDED"]] * 2


async def test_what_waits_for_its_handlers_slot_is_seen_behind_others(rig: Rig, gate):
    """Others begin beside it, and are looked behind: it is not forgotten over them."""
    limit(rig, fate=1)
    held, second = gate("a"), gate("b")
    await due(rig, "a", "b")
    while await rig.engine.tick():
        pass
    soon = rig.clock.now() + timedelta(seconds=10)
    await rig.register("other", soon.isoformat(), handler="in-thread", policy=Policy(timeout=HALF_A_MINUTE, retry=ONCE))
    await rig.clock.advance(10)
    while await rig.engine.tick():
        pass
    assert await states(rig, "a", "b", "other") == [["RUNNING"], ["PENDING"], ["RUNNING"]]
    held.opened.set()
    while rig.engine.running > 1:
        await rig.written()
    while await rig.engine.tick():
        pass
    assert await states(rig, "a", "b") == [["SUCCEEDED"], ["RUNNING"]]
    second.opened.set()
    await rig.clock.advance(30)  # its timeout ends the one in a thread
    await rig.tick()


async def test_a_free_slot_is_wanted_while_a_share_keeps_some_waiting(place: Path | str, gate):
    """Slots are kept for others: one of the greedy handler's starts though four are free, and three of it wait."""
    patient = Policy(timeout=HALF_A_MINUTE, retry=ONCE)
    async with new_rig(place, concurrency=20) as rig:
        held = gate("greedy")
        for number in range(19):
            await rig.register(f"t{number}", "@manual", payload={"gate": "greedy"})
            await rig.service.run_now(f"t{number}", detach=True)
            if number == 14:  # the others come while these run
                await rig.engine.tick()
        await rig.register("other", "@manual", handler="in-thread", policy=patient)
        await rig.service.run_now("other", detach=True)
        await rig.engine.tick()
        assert rig.engine.running == 17
        assert rig.engine._loop.behind
        held.opened.set()
        await rig.clock.advance(30)
        await rig.tick()


async def test_nothing_waits_for_a_slot_once_all_is_started(rig: Rig, gate):
    """The step that started it looks behind itself; in a shared database the next look does."""
    held = gate("one")
    await rig.register("task", "@manual", payload={"gate": "one"})
    await rig.service.run_now("task", detach=True)
    await rig.engine.tick()
    assert rig.engine._loop.is_done != rig.store.is_shared
    if rig.store.is_shared:
        await rig.engine.tick()
    assert not rig.engine._loop.behind
    held.opened.set()
    await rig.tick()


class Ticks:
    """An engine that runs, the looks that it takes of its own, and the commits that it makes."""

    def __init__(self, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        for name in ("look", "fire", "claim", "record"):
            monkeypatch.setattr(rig.store, name, self._noted(name, getattr(rig.store, name)))

    def _noted(self, name, method):
        async def noting(*arguments, **options):
            self.asked.append(name)
            return await method(*arguments, **options)

        return noting


async def one_that_waits(rig: Rig, gate) -> Execution:
    """Return an execution that waits for its jitter: a changed schedule has settled its occurrence."""
    gate("late").opened.set()
    policy = Policy(jitter=HALF_A_MINUTE)
    await rig.register("task", "@hourly", payload={"gate": "late"}, policy=policy)
    await rig.clock.advance(3600)
    await rig.register("task", "@yearly", payload={"gate": "late"}, policy=policy)
    (waiting,) = await rig.history()
    assert waiting.state is State.PENDING
    return waiting


async def test_what_waits_for_its_time_is_claimed_without_a_look_before(rig: Rig, gate, monkeypatch):
    """The step before has seen when it comes: on a file one step claims it, and looks behind itself."""
    waiting = await one_that_waits(rig, gate)
    while await rig.engine.tick():
        await rig.engine.idle()
    ticks = Ticks(rig, monkeypatch)
    await rig.clock.advance((waiting.available_time - rig.clock.now()).total_seconds())
    await rig.engine.tick()
    await rig.engine.idle()
    assert ticks.asked == (["look", "claim", "record"] if rig.store.is_shared else ["claim", "record"])
    assert await rig.states() == ["SUCCEEDED"]


async def test_what_came_due_meanwhile_is_not_passed_over(rig: Rig, gate):
    """A claim without a look before it sees behind itself what else there is to do."""
    await one_that_waits(rig, gate)
    await rig.tick()
    await rig.register("other", "1 * * * *")
    await rig.clock.advance(60)
    while await rig.engine.tick():
        await rig.engine.idle()
    assert await states(rig, "task", "other") == [["SUCCEEDED"], ["SUCCEEDED"]]


async def test_what_comes_within_a_moment_comes_together(rig: Rig):
    """The next tick is a moment after the last one at the earliest: what became available since shares its commit."""
    clock = rig.clock
    await rig.register("first", "every 10 seconds")
    await clock.advance(10)
    await rig.tick()
    await rig.register("second", (clock.now() + timedelta(seconds=1, milliseconds=1)).isoformat())
    await rig.register("third", (clock.now() + timedelta(seconds=1, milliseconds=4)).isoformat())
    await clock.advance(1.001)
    while await rig.engine.tick():
        pass
    assert rig.engine.next_time == clock.now() + MOMENT
    await clock.advance(MOMENT.total_seconds())
    await rig.tick()
    assert await states(rig, "second", "third") == [["SUCCEEDED"], ["SUCCEEDED"]]


async def test_reports_wait_for_a_tick_that_comes_soon(rig: Rig, gate, monkeypatch):
    """They are written in the commit of what it starts: at once where somebody waits for one, or nothing comes soon."""
    held, waited_for = gate("held"), gate("waited for")
    for name in ("held", "waited for"):
        await rig.register(name.replace(" ", "-"), "@manual", payload={"gate": name})
    engine, soon = rig.engine, [False]
    monkeypatch.setattr(type(engine._loop), "ticks_soon", property(lambda _: bool(soon[0])))
    running = asyncio.create_task(engine.run())
    asked = asyncio.create_task(rig.service.run_now("waited-for"))
    await waited_for.came.wait()
    execution = await rig.service.run_now("held", detach=True)
    await held.came.wait()
    soon[0] = True
    waited_for.opened.set()
    assert (await asked).state is State.SUCCEEDED
    reported, record = asyncio.Event(), engine._runner._recorder.record

    def noted(*arguments):
        record(*arguments)
        reported.set()

    monkeypatch.setattr(engine._runner._recorder, "record", noted)
    held.opened.set()
    await reported.wait()
    await rig.written()
    assert (await rig.service.execution(execution.id)).state is State.RUNNING
    engine._woken.set()
    await engine.idle()
    assert (await rig.service.execution(execution.id)).state is State.SUCCEEDED
    engine.stop()
    await rig.until_done(running)


async def test_looks_that_fail_keep_no_report_waiting(rig: Rig, gate, monkeypatch):
    """A report that waits for the next tick is written though that one fails, and the next."""
    held = gate("held")
    await rig.register("task", "@manual", payload={"gate": "held"})
    engine = rig.engine
    running = asyncio.create_task(engine.run())
    execution = await rig.service.run_now("task", detach=True)
    await held.came.wait()

    async def failing(*_arguments, **_options):
        raise ZeroDivisionError

    monkeypatch.setattr(type(engine._loop), "ticks_soon", property(lambda _: True))
    monkeypatch.setattr(engine._loop, "tick", failing)
    held.opened.set()
    engine._woken.set()
    while engine.running:
        await rig.clock.advance(1)
        await rig.written()
    assert (await rig.service.execution(execution.id)).state is State.SUCCEEDED
    engine.stop()
    await rig.until_done(running)


async def test_what_is_due_while_others_wait_goes_in_growing_sets(tmp_path: Path):
    """Small at first, so that nobody who waits is late; larger while more is due than one step takes."""
    async with new_rig(tmp_path / "schedule.db", concurrency=FIRED_AT_ONCE) as rig:
        await rig.register("fails", "@manual", payload={"fate": "raise"}, policy=Policy(retry=RetryPolicy()))
        for number in range(5 * FIRED_BESIDE):
            await rig.register(f"task-{number}", "0 11 * * *")
        await rig.clock.advance(3599.5)
        await rig.service.run_now("fails", detach=True)
        await rig.tick()
        assert await rig.states("fails") == ["PENDING"]
        sizes = []
        fire = rig.store.fire

        async def watched(firings: Sequence[Firing], **named: Any) -> Fired:
            sizes.append(len(firings))
            return await fire(firings, **named)

        rig.store.fire = watched  # type: ignore[method-assign]
        await rig.skip(0.5)
        assert sizes == [FIRED_BESIDE, 2 * FIRED_BESIDE, 2 * FIRED_BESIDE]
