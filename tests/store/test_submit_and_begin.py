"""A run by hand begins in one step or in two, submitted and then claimed: the same rows, and the same is told."""

import asyncio
from typing import Any

import asyncpg
import pytest
from support.patience import until
from support.rigs.begin_scene import BEFORE, ME, left_behind, moves, request, states, told_by
from support.rigs.rig import Rig, new_rig
from support.servers.postgres import Postgres

from schedule_grpc.domain.access.namespace import DEFAULT_NAMESPACE
from schedule_grpc.domain.execution import Execution, State
from schedule_grpc.domain.policy import Overlap, Policy
from schedule_grpc.errors import InvalidArgument, TaskDisabled, TaskNotFound
from schedule_grpc.store import ClaimRequest, ManualRun, Submitted

PAYLOAD = {"a": 1}


async def submitted(rig: Rig, *runs: ManualRun, request: ClaimRequest | None = None) -> Submitted:
    """Submit runs together."""
    await rig.hold_lease(ME)
    return await rig.store.submit(runs, now=rig.clock.now(), request=request)


def answered(found: Submitted) -> list[str]:
    """Return the answers' states, and the names of their errors."""
    return [str(each.state) if isinstance(each, Execution) else type(each).__name__ for each in found.answers]


@pytest.mark.parametrize("payload", [None, PAYLOAD])
@pytest.mark.parametrize("overlap", Overlap)
@pytest.mark.parametrize("before", BEFORE, ids=lambda each: each.__name__)
async def test_one_step_is_two(rig: Rig, before: Any, overlap: Overlap, payload: Any):
    """Whatever is open."""
    names = "one-step", "two-step"
    for name in names:
        await rig.register(name, policy=Policy(overlap=overlap))
        await rig.hold_lease(ME)
        await before(rig, name)
    one, two = (ManualRun(namespace=DEFAULT_NAMESPACE, name=name, payload=payload) for name in names)

    told = told_by(rig)
    later = await submitted(rig, two)
    claimed = (await rig.store.claim(request(rig))).claims
    by_two, told[:] = moves(told), []
    at_once = await submitted(rig, one, request=request(rig))

    assert (len(later.claims), len(at_once.claims)) == (0, len(claimed))
    assert sorted(moves(told)) == sorted(by_two)
    assert left_behind(rig, "one-step") == left_behind(rig, "two-step")
    for claim in at_once.claims:
        assert claim.execution == await rig.store.find_execution(DEFAULT_NAMESPACE, claim.execution.id)
        assert at_once.answers == (claim.execution,)
        assert claim.payload == (payload or {})


async def test_each_is_answered_for_itself(rig: Rig):
    """One that is refused keeps no other from its run."""
    for name in "abc":
        await rig.register(name)
    await rig.service.disable("b")
    runs = [ManualRun(namespace=DEFAULT_NAMESPACE, name=name) for name in ("a", "b", "nobody", "c")]
    found = await submitted(rig, *runs, request=request(rig))
    assert answered(found) == ["RUNNING", TaskDisabled.__name__, TaskNotFound.__name__, "RUNNING"]
    assert await states(rig, "a", "b", "c") == ["RUNNING", "RUNNING"]


async def test_a_request_id_stands_for_one_run_however_they_come(rig: Rig):
    """Together, or one after the other; for another task or payload it is refused."""
    for name in "ab":
        await rig.register(name)
    runs = [
        ManualRun(namespace=DEFAULT_NAMESPACE, name="a", request_id="r"),
        ManualRun(namespace=DEFAULT_NAMESPACE, name="b", request_id="other"),
        ManualRun(namespace=DEFAULT_NAMESPACE, name="a", request_id="r"),
        ManualRun(namespace=DEFAULT_NAMESPACE, name="a", request_id="r", payload=PAYLOAD),
        ManualRun(namespace=DEFAULT_NAMESPACE, name="b", request_id="r"),
    ]
    found = await submitted(rig, *runs, request=request(rig))
    again = await submitted(rig, *runs, request=request(rig))
    refused = [InvalidArgument.__name__] * 2
    assert answered(found) == answered(again) == ["RUNNING"] * 3 + refused
    assert found.answers[0] == found.answers[2] == again.answers[0]
    assert (len(found.claims), len(again.claims)) == (2, 0)
    assert await states(rig, "a", "b") == ["RUNNING", "RUNNING"]


async def test_a_request_id_whose_run_was_refused_is_free(rig: Rig):
    """The next one of those that come together has it."""
    await rig.register("a")
    runs = [
        ManualRun(namespace=DEFAULT_NAMESPACE, name="nobody", request_id="r"),
        ManualRun(namespace=DEFAULT_NAMESPACE, name="a", request_id="r"),
    ]
    assert answered(await submitted(rig, *runs)) == [TaskNotFound.__name__, "PENDING"]


async def test_of_one_task_none_of_several_begins(rig: Rig):
    """Each comes to the gate in its turn; the engine claims what it lets through."""
    await rig.register("task", policy=Policy(overlap=Overlap.ALLOW_ALL))
    found = await submitted(rig, *[ManualRun(namespace=DEFAULT_NAMESPACE, name="task")] * 3, request=request(rig))
    assert (answered(found), found.claims) == (["PENDING"] * 3, ())


@pytest.mark.parametrize(("limit", "limits", "begin"), [(2, {}, 2), (100, {"fate": 3}, 3), (100, {}, 5)])
async def test_no_more_begin_than_there_are_slots(rig: Rig, limit: int, limits: dict[str, int], begin: int):
    """The others are recorded, and wait."""
    names = [f"task-{number}" for number in range(5)]
    for name in names:
        await rig.register(name)
    asked = request(rig, limit=limit, limits=limits)
    found = await submitted(rig, *[ManualRun(namespace=DEFAULT_NAMESPACE, name=name) for name in names], request=asked)
    assert sorted(answered(found)) == ["PENDING"] * (5 - begin) + ["RUNNING"] * begin
    assert len(found.claims) == begin


async def test_nothing_overtakes_what_waits_for_the_handler(rig: Rig):
    """The run that was there first is claimed first."""
    for name in "ab":
        await rig.register(name)
    await submitted(rig, ManualRun(namespace=DEFAULT_NAMESPACE, name="a"))
    found = await submitted(rig, ManualRun(namespace=DEFAULT_NAMESPACE, name="b"), request=request(rig))
    assert (answered(found), found.claims) == (["PENDING"], ())
    first, second = (await rig.store.claim(request(rig))).claims
    assert (first.task.name, second.task.name) == ("a", "b")


async def test_what_waits_for_a_handler_of_others_is_no_hindrance(rig: Rig):
    """It cannot start here; nor can what has its handler's own limit reached."""
    await rig.register("elsewhere", handler="elsewhere", allow_unknown_handler=True)
    await rig.register("limited", handler="in-thread")
    await rig.register("task")
    await submitted(
        rig,
        ManualRun(namespace=DEFAULT_NAMESPACE, name="elsewhere"),
        ManualRun(namespace=DEFAULT_NAMESPACE, name="limited"),
    )
    asked = ClaimRequest(
        owner=ME,
        handlers=frozenset({"fate", "in-thread"}),
        limit=10,
        running={"in-thread": 1},
        now=rig.clock.now(),
        limits={"in-thread": 1},
    )
    found = await submitted(
        rig,
        ManualRun(namespace=DEFAULT_NAMESPACE, name="task"),
        ManualRun(namespace=DEFAULT_NAMESPACE, name="elsewhere"),
        request=asked,
    )
    assert answered(found) == ["RUNNING", "SKIPPED"]


async def test_nothing_overtakes_what_is_due_and_has_not_fired(rig: Rig):
    """An occurrence waits for its slot from its time on, recorded or not."""
    await rig.register("due", "@hourly")
    await rig.register("task", "@manual")
    await rig.clock.advance(3600)
    found = await submitted(rig, ManualRun(namespace=DEFAULT_NAMESPACE, name="task"), request=request(rig))
    assert (answered(found), found.claims) == (["PENDING"], ())


async def test_one_without_a_lease_begins_nothing(rig: Rig):
    """Where servers share a database; the run is recorded all the same."""
    await rig.register("task")
    found = await rig.store.submit(
        [ManualRun(namespace=DEFAULT_NAMESPACE, name="task")], now=rig.clock.now(), request=request(rig)
    )
    begins = not rig.store.is_shared
    assert [claim.execution.state for claim in found.claims] == [State.RUNNING] * begins
    assert await states(rig, "task") == ["RUNNING" if begins else "PENDING"]


async def test_a_run_waits_for_a_deletion_under_way_and_finds_no_task(postgres: Postgres):
    """Another server deletes the task: once it has, there is nothing to run, and nothing is recorded."""
    with postgres.database() as url:
        other, third = await asyncpg.connect(url), await asyncpg.connect(url)
        async with new_rig(url) as rig:
            task = await rig.register("task", "@manual")

            async def waits() -> bool:
                sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                return bool(await third.fetchval(sql))

            async with other.transaction():
                await other.execute("UPDATE scheduled_tasks SET delete_time = 1 WHERE uid = $1", task.uid)
                running = asyncio.create_task(rig.service.run_now("task", detach=True))
                await until(waits)
            with pytest.raises(TaskNotFound):
                await running
            assert not await other.fetch("SELECT FROM task_executions")
        await other.close()
        await third.close()
