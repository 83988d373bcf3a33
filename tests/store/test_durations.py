"""How long executions took, by handler: each figure is that of the rows, of the newest ones of a day."""

from datetime import timedelta

import pytest
from support.rigs.rig import GATES, Gates, Rig

from schedule_grpc.domain.access.caller import Caller
from schedule_grpc.domain.access.grant import Grant
from schedule_grpc.domain.access.permit import Permit
from schedule_grpc.domain.access.scope import Scope
from schedule_grpc.domain.summary import HandlerDuration
from schedule_grpc.handlers import TaskContext, handler
from schedule_grpc.service import summary as service_summary

SECOND = timedelta(seconds=1)


async def ran(rig: Rig, task: str, *lengths: int) -> None:
    """Let a task run for so many seconds each, a minute apart."""
    for seconds in lengths:
        GATES["held"] = Gates()
        await rig.service.run_now(task, detach=True)
        await rig.tick(wait=False)
        await rig.clock.advance(seconds)
        GATES.pop("held").opened.set()
        await rig.tick()
        await rig.clock.advance(60)


async def test_a_figure_is_within_what_95_of_100_took(rig: Rig):
    """By handler, of what ran and has ended: neither of what runs, nor of what never ran."""

    @handler("quick")
    async def quick(_: TaskContext) -> None:
        """End at once."""

    await rig.register("held", "@manual", payload={"gate": "held"}, policy={"timeout": timedelta(hours=1)})
    await rig.register("quick", "@manual", quick)
    await ran(rig, "held", *range(21, 0, -1))
    await rig.service.run_now("quick", detach=True)
    await rig.tick()
    GATES["held"] = Gates()
    for _ in range(2):  # the second is skipped
        await rig.service.run_now("held", detach=True)
        await rig.tick(wait=False)
    found = await rig.service.durations()
    assert found.handlers == {
        "fate": HandlerDuration(p95=20 * SECOND, count=21),
        "quick": HandlerDuration(p95=timedelta(0), count=1),
    }
    assert (found.is_whole, found.complete_from) == (True, rig.clock.now() - timedelta(days=1))
    GATES.pop("held").opened.set()
    await rig.tick()


async def test_of_many_executions_the_newest_are_looked_at(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    """And it is said since when; older ones than a day are not."""
    await rig.register("held", "@manual", payload={"gate": "held"}, policy={"timeout": timedelta(hours=1)})
    await ran(rig, "held", 9, 5, 3)
    monkeypatch.setattr(service_summary, "MOST_DURATIONS", 2)
    found = await rig.service.durations()
    assert found.handlers == {"fate": HandlerDuration(p95=5 * SECOND, count=2)}
    assert not found.is_whole
    assert found.complete_from == rig.clock.now() - timedelta(seconds=5 + 3 + 2 * 60)
    await rig.clock.advance(24 * 3600)
    assert (await rig.service.durations()).handlers == {}


async def test_the_figures_are_kept_for_a_minute(rig: Rig):
    """A page that many have open costs the database one reading."""
    await rig.register("held", "@manual", payload={"gate": "held"})
    assert (await rig.service.durations()).handlers == {}
    GATES["held"] = Gates()
    GATES["held"].opened.set()
    await rig.service.run_now("held", detach=True)
    await rig.tick()
    assert (await rig.service.durations()).handlers == {}
    await rig.clock.advance(60)
    assert (await rig.service.durations()).handlers["fate"].count == 1


async def test_who_sees_some_tasks_is_told_no_figures(rig: Rig):
    """They are of all tasks of a handler."""
    caller = Caller(name="key:test", grants=(Grant.read("observe@default/mine-"),))
    assert await rig.service.seen_by(Permit(caller, "default", Scope.OBSERVE)).durations() is None
