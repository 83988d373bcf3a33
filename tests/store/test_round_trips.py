"""How often PostgreSQL is asked: through a network, each question costs its way there and back."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from support.rigs.begin_scene import request
from support.rigs.rig import Rig, new_rig
from support.servers.postgres import Postgres

from schedule_grpc.database.postgres import database as postgres
from schedule_grpc.domain.access.audit import Author
from schedule_grpc.domain.access.caller import ANYBODY, Caller
from schedule_grpc.domain.access.grant import read_grants
from schedule_grpc.domain.access.namespace import DEFAULT_NAMESPACE
from schedule_grpc.domain.access.permit import Permit
from schedule_grpc.domain.access.scope import Scope
from schedule_grpc.domain.execution import Outcome
from schedule_grpc.domain.planning import plan
from schedule_grpc.store import Claim
from schedule_grpc.store.claims import ManualRun

ASKING = ("execute", "fetch", "fetchmany", "fetchrow")


@pytest.fixture
async def rig(postgres: Postgres, postgres_database: str) -> AsyncIterator[Rig]:
    """A service on PostgreSQL that holds its lease, with two tasks."""
    async with new_rig(postgres.url(postgres_database)) as found:
        await found.hold_lease("me")
        for name in ("one", "two"):
            await found.register(name)
        yield found


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list to which each question is added; what is sent before a statement is none of its own."""
    questions: list[str] = []
    for name in ASKING:
        asking = getattr(postgres.Connection, name)

        async def noted(connection: Any, sql: str, *values: Any, asking: Any = asking, **options: Any) -> Any:
            questions.append(sql)
            return await asking(connection, sql, *values, **options)

        monkeypatch.setattr(postgres.Connection, name, noted)
    return questions


def outcome(rig: Rig, claim: Claim) -> Outcome:
    """Return the success of an attempt."""
    return Outcome(
        execution_id=claim.execution.id,
        lease_token=claim.lease_token,
        end_time=rig.clock.now(),
        duration=timedelta(0),
        claimed=claim.execution,
    )


async def test_a_run_by_hand_takes_six(rig: Rig, statements: list[str]):
    """Three until it has begun: what it must know, what it writes, COMMIT; and three for its record."""
    now = rig.clock.now()
    runs = [ManualRun(namespace=DEFAULT_NAMESPACE, name="one", payload=None, request_id=None)]
    submitted = await rig.store.submit(runs, now=now, request=request(rig))
    assert len(statements) == 3, statements
    await rig.store.record([outcome(rig, claim) for claim in submitted.claims])
    assert len(statements) == 6, statements


async def test_a_firing_takes_three(rig: Rig, statements: list[str]):
    """However many are due: leases and tasks, what is recorded and has begun, COMMIT."""
    await rig.clock.advance(3600)
    now = rig.clock.now()
    firings = [plan(await rig.service.get_task(name), now) for name in ("one", "two")]
    statements.clear()
    fired = await rig.store.fire(firings, now=now, request=request(rig))
    assert len(fired.claims) == 2
    assert len(statements) == 3, statements


async def test_an_audited_run_by_hand_takes_two_more(rig: Rig, statements: list[str]):
    """However many runs share the write: the head of the chain, which is held, and the rows. Nobody else pays."""
    caller = Caller(name="key:ci", grants=())
    author = Author(caller=caller, method="RunTaskNow", time=rig.clock.now())

    def runs(author: Author | None) -> list[ManualRun]:
        return [ManualRun(namespace=DEFAULT_NAMESPACE, name=name, author=author) for name in ("one", "two")]

    await rig.store.submit(runs(author), now=rig.clock.now())  # the first change of all also makes the chain
    counts = []
    for each in (None, Author(caller=ANYBODY, method="RunTaskNow", time=author.time), author):
        statements.clear()
        await rig.store.submit(runs(each), now=rig.clock.now())
        counts.append(len(statements))
    assert counts[0] == counts[1] == counts[2] - 2, statements


async def test_an_audited_change_takes_one_more(rig: Rig, statements: list[str]):
    """The rows bring the transaction's id along, which it would ask for else. A change by nobody takes none."""
    caller = Caller(name="key:ci", grants=read_grants(["admin@*"]))
    counts = []
    for each in (caller, caller, ANYBODY):
        service = rig.service.seen_by(Permit(each, DEFAULT_NAMESPACE, Scope.ADMIN))
        await service.enable("one")
        statements.clear()
        await service.disable("one")
        counts.append(len(statements))
    assert counts[1] - 1 == counts[2], statements
