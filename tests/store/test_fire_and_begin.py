"""What is due begins in one step or in two, fired and then claimed: both leave the same rows and tell the same."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from support.rigs.begin_scene import BEFORE, ME, left_behind, moves, request, states, told_by
from support.rigs.rig import Rig

from schedule_grpc.domain.execution import State
from schedule_grpc.domain.planning import Firing, plan
from schedule_grpc.domain.policy import CatchUp, Overlap, Policy

SECOND = timedelta(seconds=1)


async def plans(service: Rig, *names: str) -> list[Firing]:
    """Return the firings of tasks that are due."""
    now = service.clock.now()
    return [plan(await service.service.get_task(name), now) for name in names]


@pytest.mark.parametrize("catch_up", CatchUp)
@pytest.mark.parametrize("overlap", Overlap)
@pytest.mark.parametrize("before", BEFORE, ids=lambda each: each.__name__)
async def test_one_step_is_two(service: Rig, before: Any, overlap: Overlap, catch_up: CatchUp):
    """Whatever is open, and however many occurrences are due."""
    names = "one-step", "two-step"
    for name in names:
        await service.register(name, "@hourly", policy=Policy(overlap=overlap, catch_up=catch_up))
        await service.hold_lease(ME)
        await before(service, name)
    await service.clock.advance(3 * 3600)
    await service.hold_lease(ME)
    now, (one, two) = service.clock.now(), await plans(service, *names)

    told = told_by(service)
    fired = await service.store.fire([two], now=now)
    claimed = (await service.store.claim(request(service))).claims
    by_two, told[:] = moves(told), []
    at_once = await service.store.fire([one], now=now, request=request(service))

    # Of several that come together none begins at once.
    coming = [execution for execution in one.executions if execution.state is State.PENDING]
    assert len(at_once.claims) == (len(claimed) if len(coming) == 1 else 0)
    begun = (*at_once.claims, *(await service.store.claim(request(service))).claims)

    assert len(at_once.executions) == len(fired.executions)
    assert len(begun) == len(claimed)
    assert sorted(moves(told)) == sorted(by_two)
    assert left_behind(service, "one-step") == left_behind(service, "two-step")
    for claim in begun:
        assert claim.execution == await service.store.find_execution(claim.execution.id)


async def test_what_waits_for_its_jitter_does_not_begin(service: Rig):
    """It is available only later."""
    await service.register("task", "@hourly", policy=Policy(jitter=timedelta(minutes=30)))
    await service.hold_lease(ME)
    await service.clock.advance(3600)
    await service.hold_lease(ME)
    fired = await service.store.fire(await plans(service, "task"), now=service.clock.now(), request=request(service))
    assert fired.claims == ()
    assert await states(service, "task") == ["PENDING"]


async def test_a_handler_that_is_not_offered_here_does_not_begin(service: Rig):
    """It waits for a server that offers it."""
    await service.register("task", "@hourly", handler="elsewhere", allow_unknown_handler=True)
    await service.hold_lease(ME)
    await service.clock.advance(3600)
    await service.hold_lease(ME)
    fired = await service.store.fire(await plans(service, "task"), now=service.clock.now(), request=request(service))
    assert fired.claims == ()
    assert await states(service, "task") == ["PENDING"]


@pytest.mark.parametrize(("limit", "limits", "begin"), [(2, {}, 2), (100, {"fate": 3}, 3), (100, {}, 5)])
async def test_no_more_begin_than_there_are_slots(service: Rig, limit: int, limits: dict[str, int], begin: int):
    """The others are recorded, and wait."""
    names = [f"task-{number}" for number in range(5)]
    for name in names:
        await service.register(name, "@hourly")
    await service.clock.advance(3600)
    await service.hold_lease(ME)
    asked = request(service, limit=limit, limits=limits)
    fired = await service.store.fire(await plans(service, *names), now=service.clock.now(), request=asked)
    assert (len(fired.executions), len(fired.claims)) == (5, begin)
    assert sorted(await states(service, *names)) == ["PENDING"] * (5 - begin) + ["RUNNING"] * begin


async def test_one_without_a_lease_begins_nothing(service: Rig):
    """Where servers share a database; what is due is recorded all the same."""
    await service.register("task", "@hourly")
    await service.clock.advance(3600)
    fired = await service.store.fire(await plans(service, "task"), now=service.clock.now(), request=request(service))
    begins = not service.store.shared
    assert [claim.execution.state for claim in fired.claims] == [State.RUNNING] * begins
    assert await states(service, "task") == ["RUNNING" if begins else "PENDING"]


async def test_a_firing_that_was_overtaken_begins_nothing(service: Rig):
    """The occurrence ran already, and its task has moved on."""
    await service.register("task", "@hourly")
    await service.clock.advance(3600)
    await service.hold_lease(ME)
    firings, now = await plans(service, "task"), service.clock.now()
    assert len((await service.store.fire(firings, now=now, request=request(service))).claims) == 1
    assert (await service.store.fire(firings, now=now, request=request(service))).claims == ()
    assert await states(service, "task") == ["RUNNING"]


async def test_an_occurrence_that_has_its_row_does_not_begin_again(service: Rig):
    """A clock that was set back, and a schedule that names the same instant again."""
    task = await service.register("task", "@hourly", policy=Policy(overlap=Overlap.ALLOW_ALL))
    await service.clock.advance(3600)
    await service.hold_lease(ME)
    now = service.clock.now()
    first = plan(task, now)
    assert len((await service.store.fire([first], now=now, request=request(service))).claims) == 1
    moved = await service.service.get_task("task")
    again = Firing(
        task=moved,
        settled_time=now,
        next_run_time=first.next_run_time,
        executions=(replace(first.executions[0], id="another"),),
    )
    fired = await service.store.fire([again], now=now, request=request(service))
    assert (fired.executions, fired.claims) == ((), ())
    assert len(await states(service, "task")) == 1
