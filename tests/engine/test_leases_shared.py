"""Leases on a database that others use too."""

from datetime import timedelta

import asyncpg
from checker import check
from postgres import Postgres
from rig import rig


async def test_a_row_that_somebody_holds_costs_nobody_a_lease(postgres: Postgres, gate):
    """A shell with an open transaction holds a task's row: what runs of it, and of others, keeps its lease."""
    held = gate("g")
    with postgres.database() as url:
        async with rig(url) as service:
            for name in ("a", "b"):
                await service.register(name, "@manual", payload={"gate": "g"})
                await service.service.run_now(name, detach=True)
            await service.engine.tick()
            tokens = {key: running.claim.lease_token for key, running in service.engine._runner.held().items()}
            other = await asyncpg.connect(url)
            async with other.transaction():
                await other.execute("SELECT 1 FROM scheduled_tasks WHERE name = 'a' FOR UPDATE")
                until = service.clock.now() + timedelta(minutes=1)
                extended = await service.store.extend_leases(tokens, until=until)
            await other.close()
            held.opened.set()
            await service.work()
        assert len(tokens) == 2
        assert extended.kept == frozenset(tokens)
        assert check(url, at_rest=True) == []
