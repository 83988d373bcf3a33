"""A run by hand begins in one step or in two, submitted and then claimed: the same rows, and the same is told."""

from typing import Any

import pytest
from support.rigs.begin_scene import BEFORE, ME, left_behind, moves, request, states, told_by
from support.rigs.rig import Rig

from schedule_grpc.domain.execution import Execution, State
from schedule_grpc.domain.policy import Overlap, Policy
from schedule_grpc.errors import InvalidArgument, TaskDisabled, TaskNotFound
from schedule_grpc.store import ClaimRequest, ManualRun, Submitted

PAYLOAD = {"a": 1}


async def submitted(service: Rig, *runs: ManualRun, request: ClaimRequest | None = None) -> Submitted:
    """Submit runs together."""
    await service.hold_lease(ME)
    return await service.store.submit(runs, now=service.clock.now(), request=request)


def answered(found: Submitted) -> list[str]:
    """Return the answers' states, and the names of their errors."""
    return [str(each.state) if isinstance(each, Execution) else type(each).__name__ for each in found.answers]


@pytest.mark.parametrize("payload", [None, PAYLOAD])
@pytest.mark.parametrize("overlap", Overlap)
@pytest.mark.parametrize("before", BEFORE, ids=lambda each: each.__name__)
async def test_one_step_is_two(service: Rig, before: Any, overlap: Overlap, payload: Any):
    """Whatever is open."""
    names = "one-step", "two-step"
    for name in names:
        await service.register(name, policy=Policy(overlap=overlap))
        await service.hold_lease(ME)
        await before(service, name)
    one, two = (ManualRun(name=name, payload=payload) for name in names)

    told = told_by(service)
    later = await submitted(service, two)
    claimed = (await service.store.claim(request(service))).claims
    by_two, told[:] = moves(told), []
    at_once = await submitted(service, one, request=request(service))

    assert (len(later.claims), len(at_once.claims)) == (0, len(claimed))
    assert sorted(moves(told)) == sorted(by_two)
    assert left_behind(service, "one-step") == left_behind(service, "two-step")
    for claim in at_once.claims:
        assert claim.execution == await service.store.find_execution(claim.execution.id)
        assert at_once.answers == (claim.execution,)
        assert claim.payload == (payload or {})


async def test_each_is_answered_for_itself(service: Rig):
    """One that is refused keeps no other from its run."""
    for name in "abc":
        await service.register(name)
    await service.service.disable("b")
    runs = [ManualRun(name=name) for name in ("a", "b", "nobody", "c")]
    found = await submitted(service, *runs, request=request(service))
    assert answered(found) == ["RUNNING", TaskDisabled.__name__, TaskNotFound.__name__, "RUNNING"]
    assert await states(service, "a", "b", "c") == ["RUNNING", "RUNNING"]


async def test_a_request_id_stands_for_one_run_however_they_come(service: Rig):
    """Together, or one after the other; for another task or payload it is refused."""
    for name in "ab":
        await service.register(name)
    runs = [
        ManualRun(name="a", request_id="r"),
        ManualRun(name="b", request_id="other"),
        ManualRun(name="a", request_id="r"),
        ManualRun(name="a", request_id="r", payload=PAYLOAD),
        ManualRun(name="b", request_id="r"),
    ]
    found = await submitted(service, *runs, request=request(service))
    again = await submitted(service, *runs, request=request(service))
    refused = [InvalidArgument.__name__] * 2
    assert answered(found) == answered(again) == ["RUNNING"] * 3 + refused
    assert found.answers[0] == found.answers[2] == again.answers[0]
    assert (len(found.claims), len(again.claims)) == (2, 0)
    assert await states(service, "a", "b") == ["RUNNING", "RUNNING"]


async def test_a_request_id_whose_run_was_refused_is_free(service: Rig):
    """The next one of those that come together has it."""
    await service.register("a")
    runs = [ManualRun(name="nobody", request_id="r"), ManualRun(name="a", request_id="r")]
    assert answered(await submitted(service, *runs)) == [TaskNotFound.__name__, "PENDING"]


async def test_of_one_task_none_of_several_begins(service: Rig):
    """Each comes to the gate in its turn; the engine claims what it lets through."""
    await service.register("task", policy=Policy(overlap=Overlap.ALLOW_ALL))
    found = await submitted(service, *[ManualRun(name="task")] * 3, request=request(service))
    assert (answered(found), found.claims) == (["PENDING"] * 3, ())


@pytest.mark.parametrize(("limit", "limits", "begin"), [(2, {}, 2), (100, {"fate": 3}, 3), (100, {}, 5)])
async def test_no_more_begin_than_there_are_slots(service: Rig, limit: int, limits: dict[str, int], begin: int):
    """The others are recorded, and wait."""
    names = [f"task-{number}" for number in range(5)]
    for name in names:
        await service.register(name)
    asked = request(service, limit=limit, limits=limits)
    found = await submitted(service, *[ManualRun(name=name) for name in names], request=asked)
    assert sorted(answered(found)) == ["PENDING"] * (5 - begin) + ["RUNNING"] * begin
    assert len(found.claims) == begin


async def test_nothing_overtakes_what_waits_for_the_handler(service: Rig):
    """The run that was there first is claimed first."""
    for name in "ab":
        await service.register(name)
    await submitted(service, ManualRun(name="a"))
    found = await submitted(service, ManualRun(name="b"), request=request(service))
    assert (answered(found), found.claims) == (["PENDING"], ())
    first, second = (await service.store.claim(request(service))).claims
    assert (first.task.name, second.task.name) == ("a", "b")


async def test_what_waits_for_a_handler_of_others_is_no_hindrance(service: Rig):
    """It cannot start here; nor can what has its handler's own limit reached."""
    await service.register("elsewhere", handler="elsewhere", allow_unknown_handler=True)
    await service.register("limited", handler="in-thread")
    await service.register("task")
    await submitted(service, ManualRun(name="elsewhere"), ManualRun(name="limited"))
    asked = ClaimRequest(
        owner=ME,
        handlers=frozenset({"fate", "in-thread"}),
        limit=10,
        running={"in-thread": 1},
        now=service.clock.now(),
        limits={"in-thread": 1},
    )
    found = await submitted(service, ManualRun(name="task"), ManualRun(name="elsewhere"), request=asked)
    assert answered(found) == ["RUNNING", "SKIPPED"]


async def test_nothing_overtakes_what_is_due_and_has_not_fired(service: Rig):
    """An occurrence waits for its slot from its time on, recorded or not."""
    await service.register("due", "@hourly")
    await service.register("task", "@manual")
    await service.clock.advance(3600)
    found = await submitted(service, ManualRun(name="task"), request=request(service))
    assert (answered(found), found.claims) == (["PENDING"], ())


async def test_one_without_a_lease_begins_nothing(service: Rig):
    """Where servers share a database; the run is recorded all the same."""
    await service.register("task")
    found = await service.store.submit([ManualRun(name="task")], now=service.clock.now(), request=request(service))
    begins = not service.store.shared
    assert [claim.execution.state for claim in found.claims] == [State.RUNNING] * begins
    assert await states(service, "task") == ["RUNNING" if begins else "PENDING"]
