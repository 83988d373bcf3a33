"""A server that runs no tasks gives to workers what another one's engine fires."""

from collections.abc import AsyncIterator

import pytest
from support.rigs.rig import Rig, new_rig
from support.rigs.workers import LONG, Office, office_of, second_office, soon
from support.servers.postgres import Postgres
from support.witnesses.checker import check


@pytest.fixture
async def edge(postgres: Postgres) -> AsyncIterator[tuple[Rig, Office]]:
    """A server with an engine, and one that only answers calls."""
    with postgres.database() as url:
        async with new_rig(url) as rig, office_of(rig), second_office(rig) as office:
            await rig.engine._lease.take()
            yield rig, office
        assert check(url) == []


async def test_an_occurrence_reaches_a_worker_of_the_other_server(edge: tuple[Rig, Office]):
    """The engine fires it, and has no handler for it."""
    rig, office = edge
    hand = await office.hire()
    await rig.register("task", "@hourly", "remote", allow_unknown_handler=True)
    await office.advance(2)
    waiting = hand.waits()
    await office.parked()
    await rig.clock.advance(3600 - 2 - 9)
    await soon(waiting)
    hand = await office.hire()
    waiting = hand.waits()
    await office.parked()
    await rig.clock.advance(9)
    await rig.engine.tick()
    (claim,) = (await soon(waiting)).begin
    assert claim.execution.scheduled_time is not None
    await hand.report(*hand.held)
    assert await rig.states() == ["SUCCEEDED"]


async def test_what_the_engine_runs_is_not_taken_over_by_workers(edge: tuple[Rig, Office]):
    """Its tokens are its own: a worker that names one is told that it is lost."""
    rig, office = edge
    await rig.register("task", "@manual", "fate")
    execution = await rig.service.run_now("task", detach=True)
    await rig.tick()
    hand = await office.hire("fate", held_tokens=(f"{execution.id}.{'0' * 32}",))
    assert len(hand.lost) == 1
    assert (await hand.pull(wait=LONG, held=hand.lost, capacity=0)).lost_tokens == hand.lost
    assert await rig.states() == ["SUCCEEDED"]
