"""Leases of servers that share a database: who may end one, and what nobody may do without one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from support.patience import until
from support.rigs.rig import Rig, new_rig
from support.servers.postgres import Postgres
from support.witnesses.checker import check

from schedule_grpc.domain.execution import State
from schedule_grpc.engine import leases as lease
from schedule_grpc.events import AlertsChanged, Hub
from schedule_grpc.store import open_store


@pytest.fixture
async def shared(postgres: Postgres) -> AsyncIterator[Rig]:
    """A service on a database that others use too; afterwards the checker finds nothing."""
    with postgres.database() as url:
        async with new_rig(url) as rig:
            await rig.engine._lease.take()
            yield rig
        assert check(url) == []


@asynccontextmanager
async def kept(rig: Rig, monkeypatch) -> AsyncIterator[lease.SharedLease]:
    """Within this context the lease is renewed, by its thread, many times a second."""
    monkeypatch.setattr(lease, "BEAT", 0.01)
    held = rig.engine._lease
    assert isinstance(held, lease.SharedLease)
    held.keep(on_held=lambda: None)
    yield held
    await held.leave()


async def holders(rig: Rig) -> dict[str, int]:
    """Return who holds a lease, and how often it was renewed."""
    line = rig.store.lease_line()
    try:
        return {holder.id: holder.beat for holder in await line.look(seconds=5)}
    finally:
        await line.close()


async def renewals(rig: Rig, number: int) -> None:
    """Return once the lease was renewed so often more."""
    owner = rig.engine._upkeep._owner
    before = (await holders(rig))[owner]

    async def renewed() -> bool:
        return (await holders(rig))[owner] >= before + number

    await until(renewed)


async def started(rig: Rig, *names: str) -> None:
    """Let a run of each of these tasks begin; their handlers wait at the gate."""
    for name in names:
        await rig.register(name, "@manual", payload={"gate": "g"})
        await rig.service.run_now(name, detach=True)
    await rig.engine.tick()


async def test_it_is_renewed_whatever_blocks_the_event_loop(shared: Rig, monkeypatch):
    """By a thread of its own: nothing of the loop's is needed."""
    owner = shared.engine._upkeep._owner
    async with kept(shared, monkeypatch):
        other = await asyncpg.connect(str(shared.place))
        before = (await holders(shared))[owner]
        beats = "SELECT beat FROM replicas WHERE id = $1"
        # The loop stands still from here on, but for what this other thread asks.
        after = await asyncio.to_thread(lambda: asyncio.run(beat_of(str(shared.place), owner, before + 20)))
        assert after >= before + 20
        assert await other.fetchval(beats, owner) >= after
        await other.close()


async def beat_of(url: str, owner: str, at_least: int) -> int:
    """Return the count of a lease once it has come so far."""
    connection = await asyncpg.connect(url)
    try:
        while True:
            beat = await connection.fetchval("SELECT beat FROM replicas WHERE id = $1", owner)
            if beat >= at_least:
                return int(beat)
            await asyncio.sleep(0.01)
    finally:
        await connection.close()


async def test_a_row_that_somebody_holds_costs_nobody_a_lease(shared: Rig, gate, monkeypatch):
    """A shell with an open transaction holds a task's row, and an execution's: leases go on."""
    held = gate("g")
    await started(shared, "a", "b")
    async with kept(shared, monkeypatch) as own:
        shell = await asyncpg.connect(str(shared.place))
        async with shell.transaction():
            await shell.execute("SELECT 1 FROM scheduled_tasks FOR UPDATE")
            await shell.execute("SELECT 1 FROM task_executions FOR UPDATE")
            await renewals(shared, 5)
            assert (own.holds, own.term) == (True, 0)
        await shell.close()
    held.opened.set()
    await shared.tick()
    assert await shared.states("a") == await shared.states("b") == ["SUCCEEDED"]


async def test_a_lease_that_is_just_being_renewed_is_not_ended(shared: Rig, gate):
    """Its renewal waits for the disk: the row is held, and who would end it leaves it alone."""
    gate("g")
    await started(shared, "a")
    owner = shared.engine._upkeep._owner
    beat = (await holders(shared))[owner]
    renewing = await asyncpg.connect(str(shared.place))
    async with renewing.transaction():
        await renewing.execute("UPDATE replicas SET seen_time = seen_time")
        assert await shared.store.take_over({owner: beat}, now=shared.clock.now()) == 0
    await renewing.close()
    assert await shared.states("a") == ["RUNNING"]
    assert await shared.store.take_over({owner: beat}, now=shared.clock.now()) == 1
    assert await shared.states("a") == ["PENDING"]


async def test_a_lease_under_which_something_is_claimed_is_not_ended(shared: Rig):
    """Or the claim would be nobody's."""
    owner = shared.engine._upkeep._owner
    beat = (await holders(shared))[owner]
    claiming = await asyncpg.connect(str(shared.place))
    async with claiming.transaction():
        await claiming.execute("SELECT 1 FROM replicas FOR KEY SHARE")
        await shared.store.take_over({owner: beat}, now=shared.clock.now())
        await shared.store.renew_lease(shared.engine._lease._replica, now=shared.clock.now())
    await claiming.close()
    assert await holders(shared) == {owner: beat + 1}


async def test_without_a_lease_nothing_is_claimed(shared: Rig, gate):
    """Another server has ended it, and this one does not know yet."""
    gate("g").opened.set()
    owner = shared.engine._upkeep._owner
    await shared.store.take_over({owner: (await holders(shared))[owner]}, now=shared.clock.now())
    await started(shared, "a")
    assert await shared.states("a") == ["PENDING"]
    await shared.store.renew_lease(shared.engine._lease._replica, now=shared.clock.now())
    await shared.tick()
    assert await shared.states("a") == ["SUCCEEDED"]


async def test_a_server_whose_lease_was_ended_lets_go(shared: Rig, gate, monkeypatch):
    """At its next renewal it knows; its attempt stops, its record is refused, and it takes a new lease."""
    held = gate("g")
    await started(shared, "a")
    owner = shared.engine._upkeep._owner
    await shared.store.take_over({owner: (await holders(shared))[owner]}, now=shared.clock.now())
    async with kept(shared, monkeypatch) as own:

        async def knows() -> bool:
            return own.term == 1 and own.holds

        await until(knows)
        shared.engine._runner.stop_beyond_lease()
        await shared.engine.idle()
        assert held.entered[0].cancelled.is_set()
    (execution,) = await shared.history("a")
    assert (execution.state, len(execution.failed_attempts)) == (State.PENDING, 1)


async def test_a_server_that_leaves_gives_up_its_lease(shared: Rig, monkeypatch):
    """Nobody waits for it to end."""
    async with kept(shared, monkeypatch):
        await renewals(shared, 1)
    assert await holders(shared) == {}


async def test_who_becomes_first_is_told_to_speak(shared: Rig, monkeypatch, tmp_path: Path):
    """What the one before did not tell of alerts is its business from now on."""
    told: list[object] = []
    own = shared.engine._lease
    own.first = False
    with shared.hub.listening(told.extend):
        finished = asyncio.Event()
        keeping = asyncio.create_task(shared.engine._upkeep._watch(finished))
        await shared.clock.advance(2)
        own.first = True
        await shared.clock.advance(2)
        finished.set()
        await shared.until_done(keeping)
    assert [event for event in told if isinstance(event, AlertsChanged)] == [AlertsChanged()]


async def test_a_file_knows_no_leases(database: Path):
    """Nobody shares it."""
    store = await open_store(database, Hub())
    with pytest.raises(AssertionError, match="nobody shares"):
        store.lease_line()
    await store.close()
