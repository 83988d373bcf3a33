"""Handlers that are offered once the engine is there: it asks the registry at each tick."""

from typing import Any

import pytest
from support.rigs.rig import Gates, Rig, fate

from schedule_grpc.domain.task import Handler
from schedule_grpc.handlers import TaskContext, handler


@handler("late", description="Comes later", concurrency=1)
async def late(ctx: TaskContext) -> Any:
    """Do as ``fate`` does."""
    return await fate(ctx)


def offer_late(rig: Rig) -> None:
    """Offer it to the registry that the rig's engine was made with."""
    rig.engine._loop._registry.add_function(late)


@pytest.fixture
async def waiting(rig: Rig) -> Rig:
    """A service with two runs of tasks whose handler is not offered; its engine has found nothing to do."""
    for name in ("a", "b"):
        await rig.register(name, "@manual", handler="late", payload={"gate": "g"}, allow_unknown_handler=True)
        await rig.service.run_now(name, detach=True)
    await rig.tick()
    assert [await rig.states(name) for name in "ab"] == [["PENDING"]] * 2
    return rig


async def test_what_waited_for_a_handler_runs_once_it_is_offered(waiting: Rig, gate):
    """Nothing else tells the engine of it; and no more at once than the handler allows."""
    gates: Gates = gate("g")
    offer_late(waiting)
    await waiting.engine.tick()
    assert [await waiting.states(name) for name in "ab"] == [["RUNNING"], ["PENDING"]]
    gates.opened.set()
    await waiting.tick()
    assert [await waiting.states(name) for name in "ab"] == [["SUCCEEDED"]] * 2


async def test_a_handler_that_is_offered_later_is_remembered(waiting: Rig, gate):
    """Tasks may name it, also once this server is gone, and on every other one."""
    gate("g").opened.set()
    offer_late(waiting)
    await waiting.tick()
    known = await waiting.store.known_handlers()
    assert Handler(name="late", description="Comes later", offered=False) in known
