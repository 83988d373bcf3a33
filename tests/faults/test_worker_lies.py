"""Workers that say what is not so: of others' attempts, of old ones, twice, and what cannot be read."""

import logging
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from support.patience import calling
from support.servers.process import served
from support.stories import checked, story
from support.workers.raw import DONE, RawWorker, Verdict, raw_workers, succeeded

from schedule_grpc.client import AsyncClient
from schedule_grpc.domain.execution import State
from schedule_grpc.domain.policy import Overlap, Policy
from schedule_grpc.domain.retry import RetryPolicy
from schedule_grpc.pb import worker_pb2 as pb

NEVER_GOT = 1000
GARBAGE = ("", "x", "x.", ".x", "...", "\0", "ü" * 2000, "'; DROP TABLE task_executions; --", "a.b.c.d")
UNREADABLE = ("{", "NaN", "[" * 10_000, '"\\ud800"')
"""Results that are not JSON, or hold what no text holds."""
log = logging.getLogger(__name__)
pytestmark = pytest.mark.keyless  # proxies hide which server a worker calls, and raw workers show no key


async def prepared(client: AsyncClient, number: int) -> list[str]:
    """Run a task of handler `work` so often; return the executions."""
    retry = RetryPolicy(max_retries=3, initial_backoff=timedelta(milliseconds=1))
    policy = Policy(overlap=Overlap.ALLOW_ALL, retry=retry)
    await client.register_task(
        name="task", schedule="@manual", handler="work", policy=policy, allow_unknown_handler=True
    )
    return [(await client.run_task_now("task", detach=True)).execution.id for _ in range(number)]


async def state(client: AsyncClient, execution_id: str) -> tuple[State, int]:
    """Return where an execution stands."""
    found = await client.get_execution(execution_id)
    return found.state, found.attempt


async def told(worker: RawWorker, token: str, outcome: pb.Update.Outcome = DONE) -> str:
    """Report an outcome; return the verdict's name."""
    return Verdict.Verdict.Name(await worker.verdict(token, outcome))


@story
async def test_a_worker_that_lies_of_attempts(tmp_path: Path):
    """Another's, one whose result cannot be read, one that has ended, an old one: nothing changes by it."""
    async with (
        served(tmp_path, handlers=None) as server,
        calling(server.address) as client,
        raw_workers(server.address, 2) as (honest, liar),
    ):
        await prepared(client, 2)
        await honest.register("work")
        await liar.register("work")
        mine, old = await honest.given(2)
        foreign = [await told(liar, mine.lease_token)]
        assert list((await liar.pull(mine.lease_token, wait=0)).lost_tokens) == [mine.lease_token]
        assert await state(client, mine.execution_id) == (State.RUNNING, 1)
        unreadable = [
            await told(honest, mine.lease_token, pb.Update.Outcome(succeeded={"result_json": text}))
            for text in UNREADABLE
        ]
        unreadable.append(await told(honest, mine.lease_token, pb.Update.Outcome()))
        assert await state(client, mine.execution_id) == (State.RUNNING, 1)
        outcomes = [await told(honest, mine.lease_token, succeeded(each)) for each in ("first", "second", "third")]
        foreign.append(await told(liar, mine.lease_token, succeeded("fourth")))
        first = await client.get_execution(mine.execution_id)
        outcomes.append(await told(honest, old.lease_token, pb.Update.Outcome(failed={"error": "no"})))
        (again,) = await liar.given()
        assert (again.execution_id, again.attempt) == (old.execution_id, 2)
        late = await told(honest, old.lease_token)
        assert await state(client, old.execution_id) == (State.RUNNING, 2)
        outcomes.append(await told(liar, again.lease_token))
        found = await checked(tmp_path / "schedule.db", at_rest=True)
    counts = Counter([*foreign, *unreadable, *outcomes, late])
    log.info("a worker lies: %d outcomes, by verdict %s", counts.total(), dict(counts))
    assert found == []
    assert (first.state, first.result) == (State.SUCCEEDED, "first")
    assert foreign == ["STALE", "REPEATED"]
    assert unreadable == ["INVALID"] * (1 + len(UNREADABLE))
    assert outcomes == ["APPLIED", "REPEATED", "REPEATED", "APPLIED", "APPLIED"]
    assert late == "REPEATED"


@story
async def test_a_worker_that_speaks_garbage(tmp_path: Path):
    """Tokens that are none, and one made of two: all are lost, and what runs goes on."""
    log_line = pb.Update.Log(lines=[pb.Update.LogLine(sequence=1, level="info", text="x")])
    async with (
        served(tmp_path, handlers=None) as server,
        calling(server.address) as client,
        raw_workers(server.address, 2) as (honest, liar),
    ):
        await prepared(client, 2)
        await honest.register("work")
        await liar.register("work")
        one, other = await honest.given(2)
        tokens = (f"{one.execution_id}.{other.lease_token.rpartition('.')[2]}", *GARBAGE)
        verdicts = [await told(liar, token) for token in tokens]
        for token in tokens:
            assert len((await liar.pull(token, wait=0)).lost_tokens) == 1
        answer = await liar.report(
            *(pb.Update(lease_token=token, log=log_line) for token in tokens),
            *(pb.Update(lease_token=token, progress={"fraction": 0.5}) for token in tokens),
        )
        verdicts += [Verdict.Verdict.Name(each) for each in answer.verdicts]
        assert [await told(honest, each.lease_token) for each in (one, other)] == ["APPLIED"] * 2
        found = await checked(tmp_path / "schedule.db", at_rest=True)
    log.info("a worker speaks garbage: %d updates, by verdict %s", len(verdicts), dict(Counter(verdicts)))
    assert found == []
    assert verdicts == ["STALE"] * 3 * len(tokens)


@story
async def test_a_worker_that_holds_what_it_never_got(tmp_path: Path):
    """A thousand tokens, at Pull and at registration: all are lost, and what it has goes on."""
    invented = [f"default/task/{number}.{number:032x}" for number in range(NEVER_GOT)]
    async with (
        served(tmp_path, handlers=None) as server,
        calling(server.address) as client,
        raw_workers(server.address) as (worker,),
    ):
        (execution_id,) = await prepared(client, 1)
        await worker.register("work")
        (given,) = await worker.given()
        answer = await worker.pull(*invented, given.lease_token, wait=20)
        assert sorted(answer.lost_tokens) == sorted(invented)
        registered = await worker.register("work", held=(*invented[1:], given.lease_token))
        assert sorted(registered.lost_tokens) == sorted(invented[1:])
        assert await worker.verdict(given.lease_token) == Verdict.APPLIED
        ended = await client.get_execution(execution_id)
        found = await checked(tmp_path / "schedule.db", at_rest=True)
    log.info("%d tokens that the worker never got: %d lost", NEVER_GOT, len(answer.lost_tokens))
    assert found == []
    assert (ended.state, ended.attempt) == (State.SUCCEEDED, 1)
