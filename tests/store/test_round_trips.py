"""How often PostgreSQL is asked: through a network, each question costs its way there and back."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from support.rigs.begin_scene import request
from support.rigs.rig import Rig, rig
from support.servers.postgres import Postgres

from schedule_grpc.database.postgres import database as postgres
from schedule_grpc.domain.execution import Outcome
from schedule_grpc.domain.planning import plan
from schedule_grpc.store import Claim
from schedule_grpc.store.claims import ManualRun

ASKING = ("execute", "fetch", "fetchmany", "fetchrow")


@pytest.fixture
async def service(postgres: Postgres, postgres_database: str) -> AsyncIterator[Rig]:
    """A service on PostgreSQL that holds its lease, with two tasks."""
    async with rig(postgres.url(postgres_database)) as found:
        await found.hold_lease("me")
        for name in ("one", "two"):
            await found.register(name)
        yield found


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list to which each question is added; what is sent before a statement is none of its own."""
    questions: list[str] = []
    for name in ASKING:
        asking = getattr(postgres.Connection, name)

        async def noted(connection: Any, sql: str, *values: Any, asking: Any = asking, **options: Any) -> Any:
            questions.append(sql)
            return await asking(connection, sql, *values, **options)

        monkeypatch.setattr(postgres.Connection, name, noted)
    return questions


def outcome(service: Rig, claim: Claim) -> Outcome:
    """Return the success of an attempt."""
    return Outcome(
        execution_id=claim.execution.id,
        lease_token=claim.lease_token,
        end_time=service.clock.now(),
        duration=timedelta(0),
        claimed=claim.execution,
    )


async def test_a_run_by_hand_takes_six(service: Rig, asked: list[str]):
    """Three until it has begun: what it must know, what it writes, COMMIT; and three for its record."""
    now = service.clock.now()
    runs = [ManualRun(name="one", payload=None, request_id=None)]
    submitted = await service.store.submit(runs, now=now, request=request(service))
    assert len(asked) == 3, asked
    await service.store.record([outcome(service, claim) for claim in submitted.claims])
    assert len(asked) == 6, asked


async def test_a_firing_takes_three(service: Rig, asked: list[str]):
    """However many are due: leases and tasks, what is recorded and has begun, COMMIT."""
    await service.clock.advance(3600)
    now = service.clock.now()
    firings = [plan(await service.service.get_task(name), now) for name in ("one", "two")]
    asked.clear()
    fired = await service.store.fire(firings, now=now, request=request(service))
    assert len(fired.claims) == 2
    assert len(asked) == 3, asked
