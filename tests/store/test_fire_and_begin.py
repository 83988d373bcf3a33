"""What is due begins in one step or in two, fired and then claimed: both leave the same rows and tell the same."""

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from checker.reading import rows
from msgspec.structs import replace
from rig import Rig

from schedule_grpc.events import Event, Transition
from schedule_grpc.execution import State
from schedule_grpc.planning import Firing, plan
from schedule_grpc.policy import CatchUp, Overlap, Policy
from schedule_grpc.store import ClaimRequest

ME = "me"
SECOND = timedelta(seconds=1)


def request(service: Rig, *, limit: int = 100, limits: dict[str, int] | None = None) -> ClaimRequest:
    """Return what asks for attempts of ``fate``."""
    return ClaimRequest(
        owner=ME,
        handlers=frozenset({"fate"}),
        limit=limit,
        running={},
        now=service.clock.now(),
        limits=limits or {},
    )


async def plans(service: Rig, *names: str) -> list[Firing]:
    """Return the firings of tasks that are due."""
    now = service.clock.now()
    return [plan(await service.service.get_task(name), now) for name in names]


def told_by(service: Rig) -> list[Event]:
    """Return a list to which is added whatever is told from now on."""
    told: list[Event] = []
    service.hub.listening(told.extend).__enter__()
    return told


def shown(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows without what no two of them share."""
    return [
        {
            column: re.sub(r"(one|two)-step|exec_\S+", "…", value) if isinstance(value, str) else value
            for column, value in row.items()
            if column not in {"id", "uid", "task_uid", "lease_token"}
        }
        for row in found
    ]


def left_behind(service: Rig, name: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the rows of a task and of its executions."""
    executions = "SELECT * FROM task_executions WHERE task_name = '{}' ORDER BY create_time, scheduled_time, id"
    tasks = "SELECT * FROM scheduled_tasks WHERE name = '{}'"
    return (
        shown([dict(row) for row in rows(service.place, tasks.format(name))]),
        shown([dict(row) for row in rows(service.place, executions.format(name))]),
    )


async def nobody(_service: Rig, _name: str) -> None:
    """Nothing is open."""


async def one_runs(service: Rig, name: str) -> None:
    """An attempt is in progress."""
    await service.service.run_now(name, detach=True)
    assert len((await service.store.claim(request(service))).claims) == 1


async def one_runs_and_one_waits(service: Rig, name: str) -> None:
    """An attempt is in progress, and a run waits behind it, or runs beside it where the policy lets it."""
    await one_runs(service, name)
    await service.service.run_now(name, detach=True)
    await service.store.claim(request(service))


BEFORE = (nobody, one_runs, one_runs_and_one_waits)


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
    by_two, told[:] = _moves(told), []
    at_once = await service.store.fire([one], now=now, request=request(service))

    # Of several that come together none begins at once.
    coming = [execution for execution in one.executions if execution.state is State.PENDING]
    assert len(at_once.claims) == (len(claimed) if len(coming) == 1 else 0)
    begun = (*at_once.claims, *(await service.store.claim(request(service))).claims)

    assert len(at_once.executions) == len(fired.executions)
    assert len(begun) == len(claimed)
    assert sorted(_moves(told)) == sorted(by_two)
    assert left_behind(service, "one-step") == left_behind(service, "two-step")
    for claim in begun:
        assert claim.execution == await service.store.find_execution(claim.execution.id)


def _moves(told: Sequence[Event]) -> list[tuple[str, str]]:
    return [(str(event.before), str(event.execution.state)) for event in told if isinstance(event, Transition)]


async def states(service: Rig, *names: str) -> list[str]:
    """Return the states of all executions of some tasks."""
    return [state for name in names for state in await service.states(name)]


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
