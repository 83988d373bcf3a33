"""What is due begins in one step or in two, fired and then claimed: both leave the same rows and tell the same."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from support.rigs.begin_scene import BEFORE, ME, left_behind, moves, request, states, told_by
from support.rigs.rig import Rig

from schedule_grpc.domain.access.namespace import DEFAULT_NAMESPACE
from schedule_grpc.domain.execution import State
from schedule_grpc.domain.planning import Firing, plan
from schedule_grpc.domain.policy import CatchUp, Overlap, Policy

SECOND = timedelta(seconds=1)


async def plans(rig: Rig, *names: str) -> list[Firing]:
    """Return the firings of tasks that are due."""
    now = rig.clock.now()
    return [plan(await rig.service.get_task(name), now) for name in names]


@pytest.mark.parametrize("catch_up", CatchUp)
@pytest.mark.parametrize("overlap", Overlap)
@pytest.mark.parametrize("before", BEFORE, ids=lambda each: each.__name__)
async def test_one_step_is_two(rig: Rig, before: Any, overlap: Overlap, catch_up: CatchUp):
    """Whatever is open, and however many occurrences are due."""
    names = "one-step", "two-step"
    for name in names:
        await rig.register(name, "@hourly", policy=Policy(overlap=overlap, catch_up=catch_up))
        await rig.hold_lease(ME)
        await before(rig, name)
    await rig.clock.advance(3 * 3600)
    await rig.hold_lease(ME)
    now, (one, two) = rig.clock.now(), await plans(rig, *names)

    told = told_by(rig)
    fired = await rig.store.fire([two], now=now)
    claimed = (await rig.store.claim(request(rig))).claims
    by_two, told[:] = moves(told), []
    at_once = await rig.store.fire([one], now=now, request=request(rig))

    # Of several that come together none begins at once.
    coming = [execution for execution in one.executions if execution.state is State.PENDING]
    assert len(at_once.claims) == (len(claimed) if len(coming) == 1 else 0)
    begun = (*at_once.claims, *(await rig.store.claim(request(rig))).claims)

    assert len(at_once.executions) == len(fired.executions)
    assert len(begun) == len(claimed)
    assert sorted(moves(told)) == sorted(by_two)
    assert left_behind(rig, "one-step") == left_behind(rig, "two-step")
    for claim in begun:
        assert claim.execution == await rig.store.find_execution(DEFAULT_NAMESPACE, claim.execution.id)


async def test_what_waits_for_its_jitter_does_not_begin(rig: Rig):
    """It is available only later."""
    await rig.register("task", "@hourly", policy=Policy(jitter=timedelta(minutes=30)))
    await rig.hold_lease(ME)
    await rig.clock.advance(3600)
    await rig.hold_lease(ME)
    fired = await rig.store.fire(await plans(rig, "task"), now=rig.clock.now(), request=request(rig))
    assert fired.claims == ()
    assert await states(rig, "task") == ["PENDING"]


async def test_a_handler_that_is_not_offered_here_does_not_begin(rig: Rig):
    """It waits for a server that offers it."""
    await rig.register("task", "@hourly", handler="elsewhere", allow_unknown_handler=True)
    await rig.hold_lease(ME)
    await rig.clock.advance(3600)
    await rig.hold_lease(ME)
    fired = await rig.store.fire(await plans(rig, "task"), now=rig.clock.now(), request=request(rig))
    assert fired.claims == ()
    assert await states(rig, "task") == ["PENDING"]


@pytest.mark.parametrize(("limit", "limits", "begin"), [(2, {}, 2), (100, {"fate": 3}, 3), (100, {}, 5)])
async def test_no_more_begin_than_there_are_slots(rig: Rig, limit: int, limits: dict[str, int], begin: int):
    """The others are recorded, and wait."""
    names = [f"task-{number}" for number in range(5)]
    for name in names:
        await rig.register(name, "@hourly")
    await rig.clock.advance(3600)
    await rig.hold_lease(ME)
    asked = request(rig, limit=limit, limits=limits)
    fired = await rig.store.fire(await plans(rig, *names), now=rig.clock.now(), request=asked)
    assert (len(fired.executions), len(fired.claims)) == (5, begin)
    assert sorted(await states(rig, *names)) == ["PENDING"] * (5 - begin) + ["RUNNING"] * begin


async def test_one_without_a_lease_begins_nothing(rig: Rig):
    """Where servers share a database; what is due is recorded all the same."""
    await rig.register("task", "@hourly")
    await rig.clock.advance(3600)
    fired = await rig.store.fire(await plans(rig, "task"), now=rig.clock.now(), request=request(rig))
    begins = not rig.store.is_shared
    assert [claim.execution.state for claim in fired.claims] == [State.RUNNING] * begins
    assert await states(rig, "task") == ["RUNNING" if begins else "PENDING"]


async def test_a_firing_that_was_overtaken_begins_nothing(rig: Rig):
    """The occurrence ran already, and its task has moved on."""
    await rig.register("task", "@hourly")
    await rig.clock.advance(3600)
    await rig.hold_lease(ME)
    firings, now = await plans(rig, "task"), rig.clock.now()
    assert len((await rig.store.fire(firings, now=now, request=request(rig))).claims) == 1
    assert (await rig.store.fire(firings, now=now, request=request(rig))).claims == ()
    assert await states(rig, "task") == ["RUNNING"]


async def test_an_occurrence_that_has_its_row_does_not_begin_again(rig: Rig):
    """A clock that was set back, and a schedule that names the same instant again."""
    task = await rig.register("task", "@hourly", policy=Policy(overlap=Overlap.ALLOW_ALL))
    await rig.clock.advance(3600)
    await rig.hold_lease(ME)
    now = rig.clock.now()
    first = plan(task, now)
    assert len((await rig.store.fire([first], now=now, request=request(rig))).claims) == 1
    moved = await rig.service.get_task("task")
    again = Firing(
        task=moved,
        settled_time=now,
        next_run_time=first.next_run_time,
        executions=(replace(first.executions[0], id="another"),),
    )
    fired = await rig.store.fire([again], now=now, request=request(rig))
    assert (fired.executions, fired.claims) == ((), ())
    assert len(await states(rig, "task")) == 1
