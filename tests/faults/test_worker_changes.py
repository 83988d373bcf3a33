"""What changes under workers: a handler is offered or not, a new version is deployed, executions are cancelled."""

import asyncio
import logging
from datetime import timedelta
from pathlib import Path

import pytest
from support.callers.load import Load, settled
from support.patience import calling, until
from support.servers.crew import workers
from support.servers.process import served
from support.servers.replicas import let_go, reaches
from support.stories import checked, story
from support.witnesses import effects
from support.witnesses.checker.reading import rows
from support.workers.raw import Outcome, RawWorker, Verdict, raw_workers

from schedule_grpc.client import AsyncClient
from schedule_grpc.domain.execution import Reason, State
from schedule_grpc.domain.policy import Overlap, Policy
from schedule_grpc.pb import worker_pb2 as pb

PARALLEL = Policy(overlap=Overlap.ALLOW_ALL)
SOON = 10.0
"""Seconds within which what waits for a worker begins once one is there; a look costs one at most."""
log = logging.getLogger(__name__)
pytestmark = pytest.mark.keyless  # proxies hide which server a worker calls, and raw workers show no key


@story
async def test_a_handler_that_no_worker_offers_and_then_one(tmp_path: Path):
    """That it waits is seen; it begins once a worker is there, unless its start deadline has passed before."""
    async with served(tmp_path, handlers=None) as server, workers(tmp_path) as crew, calling(server.address) as client:
        waits = Policy(overlap=Overlap.ALLOW_ALL)
        brief = Policy(start_deadline=timedelta(seconds=1))
        for name, policy in (("waits", waits), ("brief", brief)):
            await client.register_task(
                name=name, schedule="@manual", handler="quick", policy=policy, allow_unknown_handler=True
            )

        async def lacks_worker() -> bool:
            return (await client.get_task("waits")).no_worker

        async def has_worker() -> bool:
            return not await lacks_worker()

        runs = [(await client.run_task_now("waits", detach=True)).execution.id for _ in range(10)]
        missed = (await client.run_task_now("brief", detach=True)).execution.id
        late = await until(reaches(client, missed, State.MISSED))
        assert (await client.get_task("waits")).no_worker
        await crew.start(server.address)
        for each in runs:
            await until(reaches(client, each, State.SUCCEEDED))
        await until(has_worker)
        await crew.stop_all()
        await until(lacks_worker)
        found = await settled(server.address, tmp_path / "schedule.db", Load().log, replicas=tmp_path)
    (worker,) = rows(tmp_path / "schedule.db", "SELECT start_time FROM workers")
    began = rows(tmp_path / "schedule.db", "SELECT max(start_time) AS last FROM task_executions")
    took = (began[0]["last"] - worker["start_time"]) / 1e6
    log.info("offered by no worker, then by one: 10 executions began within %.2f s of RegisterWorker", took)
    assert found == []
    assert (late.reason, late.attempt) == (Reason.START_DEADLINE, 0)
    assert took < SOON


async def runs(client: AsyncClient, told: list[str]) -> None:
    """Run a task again and again, without an end."""
    while True:
        told.append((await client.run_task_now("task", detach=True)).execution.id)


@story
async def test_a_new_version_is_deployed_under_load(tmp_path: Path, long: bool):
    """One worker after the other: nothing fails, nothing runs twice, and the history names both versions."""
    number = 6 if long else 2
    told: list[str] = []
    async with served(tmp_path, handlers=None) as server, workers(tmp_path) as crew, calling(server.address) as client:
        old = [await crew.start(server.address, "--version", "v1", name=f"old-{each}") for each in range(number)]
        await client.register_task(name="task", schedule="@manual", handler="slow", policy=PARALLEL)
        working = asyncio.create_task(runs(client, told))

        async def more() -> bool:
            return len(told) >= so_many

        for each, worker in enumerate(old):
            so_many = len(told) + 50
            await until(more)
            await crew.start(server.address, "--version", "v2", name=f"new-{each}")
            await crew.stop(worker)
        so_many = len(told) + 50
        await until(more)
        await let_go(working)
        found = await settled(server.address, tmp_path / "schedule.db", Load().log, replicas=tmp_path)
        await crew.stop_all()
    ended = rows(tmp_path / "schedule.db", "SELECT state, attempt, hand_backs, worker FROM task_executions")
    by_version = {version: sum(version in row["worker"] for row in ended) for version in ("v1", "v2")}
    back = sum(row["hand_backs"] for row in ended)  # given as the worker began to stop: not begun
    log.info("deployed under load: %d executions, by version %s, %d handed back", len(ended), by_version, back)
    assert found == []
    assert {(row["state"], row["attempt"]) for row in ended} == {("SUCCEEDED", 1)}
    assert len(effects.begun(tmp_path)) == len(ended)
    assert min(by_version.values()) > 20
    assert sum(by_version.values()) == len(ended)


async def run(client: AsyncClient) -> str:
    """Run the task; return the execution."""
    return (await client.run_task_now("task", detach=True)).execution.id


async def stopped_in_time(client: AsyncClient, worker: RawWorker) -> State:
    """Cancel what a worker runs whose Pull waits; it stops, and hands it back."""
    execution_id = await run(client)
    (given,) = await worker.given()
    waiting = asyncio.create_task(worker.pull(given.lease_token))
    await client.cancel_execution(execution_id, note="enough")
    answer = await waiting
    while not answer.stops:
        answer = await worker.pull(given.lease_token)
    assert [(stop.lease_token, stop.reason) for stop in answer.stops] == [(given.lease_token, pb.Stop.CANCELLED)]
    released = Outcome(released=Outcome.Released(began=True))
    assert await worker.verdict(given.lease_token, released) == Verdict.APPLIED
    return (await client.get_execution(execution_id)).state


async def cancelled_while_it_waits(client: AsyncClient, worker: RawWorker) -> State:
    """Cancel what no worker has taken yet; the next Pull gets nothing of it."""
    execution_id = await run(client)
    await client.cancel_execution(execution_id, note="enough")
    assert not (await worker.pull(capacity=1, wait=0.5)).assignments
    return (await client.get_execution(execution_id)).state


async def cancelled_on_its_way(client: AsyncClient, worker: RawWorker) -> State:
    """Cancel what was given in an answer that never arrived; the worker's next Pull does not name it."""
    execution_id = await run(client)
    await worker.given()
    await client.cancel_execution(execution_id, note="enough")
    assert not (await worker.pull(wait=0.5)).assignments
    return (await until(reaches(client, execution_id, State.CANCELLED))).state


async def cancelled_while_it_is_reported(client: AsyncClient, worker: RawWorker) -> State:
    """Cancel beside the report of a success: the faster one stands."""
    execution_id = await run(client)
    (given,) = await worker.given()
    verdict, _ = await asyncio.gather(
        worker.verdict(given.lease_token), client.cancel_execution(execution_id, note="enough")
    )
    assert verdict == Verdict.APPLIED
    return (await until(reaches(client, execution_id, State.SUCCEEDED, State.CANCELLED))).state


CANCELLED = {
    "pending": cancelled_while_it_waits,
    "parked": stopped_in_time,
    "in flight": cancelled_on_its_way,
    "reporting": cancelled_while_it_is_reported,
}


@story
async def test_cancelled_at_every_step(tmp_path: Path, long: bool):
    """Waiting, given, in a lost answer, running, being reported: CANCELLED, or SUCCEEDED if that came first."""
    ends: dict[str, list[str]] = {name: [] for name in (*CANCELLED, "running")}
    async with (
        served(tmp_path, handlers=None) as server,
        calling(server.address) as client,
        raw_workers(server.address) as (worker,),
        workers(tmp_path) as crew,
    ):
        await worker.register("work", slots=4)
        await client.register_task(name="task", schedule="@manual", handler="work", policy=PARALLEL)
        for name, step in CANCELLED.items():
            for _ in range(20 if long else 3):
                ends[name].append((await step(client, worker)).value)
        await worker.leave()
        python = await crew.start(server.address, slots=4)
        await client.register_task(
            name="long", schedule="@manual", handler="long", payload={"seconds": 600}, policy=PARALLEL
        )
        for _ in range(20 if long else 3):
            execution_id = (await client.run_task_now("long", detach=True)).execution.id
            await crew.begun(execution_id)
            await client.cancel_execution(execution_id, note="enough")
            ends["running"].append((await until(reaches(client, execution_id, State.CANCELLED))).state.value)
        await crew.stop(python)
        found = await checked(tmp_path / "schedule.db", at_rest=True)
    counts = {name: {state: states.count(state) for state in sorted(set(states))} for name, states in ends.items()}
    log.info("cancelled while: %s", counts)
    assert found == []
    assert {name: set(states) - {"CANCELLED"} for name, states in ends.items() if name != "reporting"} == {
        name: set() for name in ends if name != "reporting"
    }
