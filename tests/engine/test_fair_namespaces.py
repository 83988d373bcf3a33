"""Namespaces share a server's slots: a backlog of one delays no other one, and a share bounds what runs at once."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.rigs.namespaces import reports, wanted
from support.rigs.rig import Rig, new_rig

from schedule_grpc.domain.access.namespace import Limits
from schedule_grpc.domain.access.quota import QuotaExceeded
from schedule_grpc.domain.execution import ExecutionFilter, State
from schedule_grpc.domain.paging import Page
from schedule_grpc.domain.registration import Registration
from schedule_grpc.domain.task import define
from schedule_grpc.handlers import TaskContext, handler
from schedule_grpc.service import Service
from schedule_grpc.store.shares import slots_of

BEGUN: list[tuple[str, str]] = []
"""The namespace and the task of each attempt, in the order in which they began."""


@handler("noting")
async def noting(ctx: TaskContext) -> None:
    """Note the attempt."""
    BEGUN.append((ctx.namespace, ctx.task.name))


@pytest.fixture
async def two(place: Path | str) -> AsyncIterator[Rig]:
    """A service with two slots."""
    BEGUN.clear()
    async with new_rig(place, noting, concurrency=2) as built:
        yield built


async def backlog(service: Service, count: int, **fields: Any) -> None:
    """Let executions wait for slots."""
    for number in range(count):
        await service.register(wanted(f"task-{number}", **fields))
        await service.run_now(f"task-{number}", detach=True)


@pytest.mark.parametrize("noisy", ["default", "reports"])
async def test_one_execution_waits_for_no_backlog_of_another_namespace(two: Rig, noisy: str):
    """It begins within one round of claims after it came, though all others are older."""
    there = await reports(two, limits=Limits(running_share=None))
    loud, quiet = (two.service, there) if noisy == "default" else (there, two.service)
    await backlog(loud, 60, handler="noting")
    await two.clock.advance(1)
    await two.engine.tick()
    await two.engine.idle()
    assert len(BEGUN) == 2
    await quiet.register(wanted("single", handler="noting"))
    for expected in (1, 2):
        before = len(BEGUN)
        await quiet.run_now("single", detach=True)
        while sum(name == "single" for _, name in BEGUN) < expected:
            assert len(BEGUN) - before <= 2
            await two.engine.tick()
            await two.engine.idle()
    while await two.engine.tick():
        await two.engine.idle()
    assert len(BEGUN) == 62


async def test_a_share_bounds_what_runs_at_once(place: Path | str, gate):
    """The other slots stay free for others, whose executions begin at once; a change is heeded within a second."""
    held = gate("held")
    async with new_rig(place, concurrency=10) as rig:
        there = await reports(rig, limits=Limits(running_share=0.25))
        await backlog(there, 8, payload={"gate": "held"})
        while await rig.engine.tick():
            pass
        assert rig.engine.running == 3
        await rig.register("other", "@manual", payload={"gate": "held"})
        await rig.service.run_now("other", detach=True)
        assert await rig.states("other") == ["PENDING"]
        await rig.engine.tick()
        assert (rig.engine.running, await rig.states("other")) == (4, ["RUNNING"])
        await rig.service.update_namespace("reports", limits={"running_share": 0.5})
        await rig.clock.advance(1)
        while await rig.engine.tick():
            pass
        assert rig.engine.running == 6
        held.opened.set()
        await rig.tick()
        ended = await there.executions(ExecutionFilter(states=frozenset({State.SUCCEEDED})), Page())
        assert len(ended.executions) == 8


async def test_occurrences_of_a_namespace_at_its_share_are_recorded_and_wait(place: Path | str, gate):
    """None is dropped: what is due fires as always, and begins when a slot of the share is free."""
    held = gate("held")
    async with new_rig(place, concurrency=4) as rig:
        there = await reports(rig, limits=Limits(running_share=0.25, max_open_executions=1, runs_per_minute=0))
        for number in range(5):
            definition = define(
                name=f"task-{number}", schedule="@hourly", handler="fate", payload={"gate": "held"}, namespace="reports"
            )
            await there.register(Registration(definition=definition))
        await rig.clock.advance(3600)
        while await rig.engine.tick():
            pass
        open_ones = (await there.executions(ExecutionFilter(), Page())).executions
        assert sorted(each.state.value for each in open_ones) == ["PENDING"] * 4 + ["RUNNING"]
        with pytest.raises(QuotaExceeded, match="max_open_executions is 1"):
            await there.run_now("task-0", detach=True)
        held.opened.set()
        await rig.tick()
        ended = (await there.executions(ExecutionFilter(), Page())).executions
        assert [each.state for each in ended] == [State.SUCCEEDED] * 5


@pytest.mark.parametrize(
    ("share", "slots"), [(0.5, 5), (0.51, 6), (0.0001, 1), (1, 10), (0.1, 1), (0.3, 3), (0.7, 7), (0.2, 2)]
)
def test_a_share_is_rounded_up(share: float, slots: int):
    """And is one slot at least."""
    assert slots_of(share, 10) == slots


def test_a_share_that_is_no_exact_fraction_is_what_it_says():
    """0.07 * 100 is a little more than 7 in binary."""
    assert slots_of(0.07, 100) == 7
