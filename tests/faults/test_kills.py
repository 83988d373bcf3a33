"""kill -9 under load, at random moments and at every step of every write; restart at once; the checker decides."""

import asyncio
import logging
import os
import random
import re
import statistics
import time
from contextlib import suppress
from pathlib import Path

import pytest
from support.callers.load import Load, settled
from support.patience import calling, until
from support.servers.process import Server, served, start
from support.stories import checked, story

from schedule_grpc.domain.execution import State
from schedule_grpc.runtime.failpoints import OPERATIONS, VARIABLE

SHORT, LONG = 5, 200
BETWEEN_KILLS = 5
"""Executions acknowledged on the average, at least."""
VISITS = {
    "register_tasks": (4, 9),
    "change_tasks": (4, 9),
    "submit": (3, 6),
    "fire": (1, 3),
    "claim": (2, 5, 11),
    "record": (2, 5, 11),
} | dict.fromkeys(("backfill", "cancel", "trigger", "expire"), (1, 2))
"""At which visits each write is killed: early and late ones, so that first attempts and retries are hit."""
LOST = ("claim.committed=error", "record.committed=error", "record.written=error@3")
AT_START = ("offer_handlers", "rescue")
log = logging.getLogger(__name__)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Where the server keeps its file."""
    return tmp_path / "schedule.db"


def started(folder: Path, **variables: str) -> Server:
    """Start a server with the handlers of the load."""
    return start(folder, handlers="support.handlers.noting", **variables)


async def stopped(working: "asyncio.Task[None]") -> None:
    """Let clients go: what they asked for and were not told stands in their ledger."""
    working.cancel()
    with suppress(asyncio.CancelledError):
        await working


async def test_killed_at_random(tmp_path: Path, database: Path, long: bool):
    """Nothing acknowledged is gone, nothing ran twice, nothing stays open: after each kill, and at the end."""
    moments = random.Random(7)  # noqa: S311
    load, recoveries = Load(), []
    kills = LONG if long else SHORT
    server = await asyncio.to_thread(started, tmp_path)
    await load.prepare(server.address)
    for number in range(kills):
        working = asyncio.create_task(load.work(server.address))
        await asyncio.sleep(moments.uniform(0.05, 0.6))
        await load.acknowledged(BETWEEN_KILLS * (number + 1))
        began = time.perf_counter()
        await asyncio.to_thread(server.kill)
        server = await asyncio.to_thread(started, tmp_path)
        recoveries.append(time.perf_counter() - began)
        await stopped(working)
        await load.repeat(server.address)
        if number % (kills // SHORT) == 0:
            assert await checked(database, load.log.told()) == []
    found = await settled(server.address, database, load.log)
    code, _ = await asyncio.to_thread(server.terminate)
    log.info("%d kills, %d tasks, %d executions acknowledged", kills, len(load.log.tasks), len(load.log.executions))
    log.info("kill -9 to serving: median %.2f s, worst %.2f s", statistics.median(recoveries), max(recoveries))
    assert (code, found) == (0, [])
    assert len(load.log.executions) > BETWEEN_KILLS * kills


async def killed_at(tmp_path: Path, step: str) -> None:
    """Kill a server at this step of each write, one after the other; then ask again, and look."""
    load = Load()
    async with served(tmp_path, handlers="support.handlers.noting") as server:
        await load.prepare(server.address)
    for operation in AT_START:
        with pytest.raises(AssertionError, match="exit -9"):
            await asyncio.to_thread(started, tmp_path, **{VARIABLE: f"{operation}.{step}=kill"})
    for operation, visits in VISITS.items():
        for visit in visits if os.environ.get("FAULTS") == "long" else visits[:1]:
            await killed_once(tmp_path, load, f"{operation}.{step}=kill@{visit}")
    server = await asyncio.to_thread(started, tmp_path)
    await load.repeat(server.address)
    found = await settled(server.address, tmp_path / "schedule.db", load.log)
    code, _ = await asyncio.to_thread(server.terminate)
    assert (code, found) == (0, [])


async def killed_once(tmp_path: Path, load: Load, point: str) -> None:
    """Let clients work until the server dies at a point; at work that was left it may do so before it greets."""
    try:
        server = await asyncio.to_thread(started, tmp_path, **{VARIABLE: point})
    except AssertionError as ended:
        if "exit -9" not in str(ended):
            raise
        return
    working = asyncio.create_task(load.work(server.address))
    assert (point, await asyncio.to_thread(server.ended)) == (point, -9)
    await stopped(working)


@story
async def test_killed_before_each_write(tmp_path: Path):
    """Nothing of it has happened: between fire and claim, before the claim, before the result is written."""
    await killed_at(tmp_path, "begun")


@story
async def test_killed_in_each_open_transaction(tmp_path: Path):
    """All of it is written, nothing is committed."""
    await killed_at(tmp_path, "written")


@story
async def test_killed_after_each_commit(tmp_path: Path):
    """It is on disk, and nobody has been told: who asks again hears of the same."""
    await killed_at(tmp_path, "committed")


@story
async def test_killed_while_it_looks_after_what_runs(tmp_path: Path):
    """In a round of the upkeep, while a handler runs long: it runs again, once."""
    variables = {VARIABLE: "recover_own.written=kill@2"}
    server = await asyncio.to_thread(start, tmp_path, handlers="support.handlers.hostile", **variables)
    async with calling(server.address) as client:
        await client.register_task(name="task", schedule="@manual", handler="slow", payload={"seconds": 25})
        execution = (await client.run_task_now("task", detach=True)).execution
    assert await asyncio.to_thread(server.ended) == -9
    async with served(tmp_path, handlers="support.handlers.hostile") as server, calling(server.address) as client:

        async def runs_again() -> bool:
            found = await client.get_execution(execution.id)
            return found.state is State.RUNNING and found.attempt == 2

        await until(runs_again)
    assert await checked(tmp_path / "schedule.db") == []


@story
async def test_killed_between_the_record_of_a_run_and_its_beginning(tmp_path: Path):
    """Recorded RUNNING as it was asked for, and its handler never called: rescued as what a claim left behind is."""
    server = await asyncio.to_thread(
        start, tmp_path, handlers="support.handlers.hostile", **{VARIABLE: "submit.committed=kill"}
    )
    async with calling(server.address) as client:
        await client.register_task(name="task", schedule="@manual", handler="slow", payload={"seconds": 0})
        call = asyncio.create_task(client.run_task_now("task", request_id="r"))
        assert await asyncio.to_thread(server.ended) == -9
        call.cancel()
        await asyncio.wait([call])
    async with served(tmp_path, handlers="support.handlers.hostile") as server, calling(server.address) as client:
        run = (await client.run_task_now("task", request_id="r")).execution
    assert (run.state, run.attempt, len(run.failed_attempts)) == (State.SUCCEEDED, 2, 1)
    assert await checked(tmp_path / "schedule.db") == []


@story
async def test_a_fault_in_a_write_is_no_ones_loss(tmp_path: Path):
    """Exceptions of ours in transactions: the others go on, and what was asked for happens at the next try."""
    load, database = Load(), tmp_path / "schedule.db"
    points = [f"{operation}.written=error@{visit}" for operation, visits in VISITS.items() for visit in visits[-1:]]
    variables = {VARIABLE: ",".join(point for point in points if not point.startswith("record"))}
    async with served(tmp_path, handlers="support.handlers.noting") as server:
        await load.prepare(server.address)
        await asyncio.to_thread(server.terminate)
    async with served(tmp_path, handlers="support.handlers.noting", **variables) as server:
        working = asyncio.create_task(load.work(server.address))

        async def all_reached() -> bool:
            reached = re.findall(r"FailpointReached: (\w+)", server.written())
            return set(reached) >= VISITS.keys() - {"record"}

        await until(all_reached)
        await stopped(working)
        await load.repeat(server.address)
        found = await settled(server.address, database, load.log)
        code, _ = await asyncio.to_thread(server.terminate)
    assert (code, found) == (0, [])


@story
async def test_a_claim_or_a_result_that_is_lost_on_its_way(tmp_path: Path):
    """On disk, and its answer an exception of ours: the claim is handed back and runs, the result is not run again."""
    async with served(tmp_path, handlers="support.handlers.noting", **{VARIABLE: ",".join(LOST)}) as server:
        load = Load()
        await load.prepare(server.address)

        async def all_reached() -> bool:
            return server.written().count("FailpointReached: ") == len(LOST)

        await until(all_reached)  # handed back in the second round of upkeep, where all were claimed at once
        found = await settled(server.address, tmp_path / "schedule.db", load.log)
        code, _ = await asyncio.to_thread(server.terminate)
    assert (code, found) == (0, [])


def test_a_point_that_is_none_is_refused(tmp_path: Path):
    """A typo must not look like a server that survived."""
    with pytest.raises(AssertionError, match=r"claim\.writen=kill is not OPERATION\.STEP=ACTION"):
        start(tmp_path, **{VARIABLE: "claim.writen=kill"})


def test_every_operation_of_the_store_has_its_points():
    """Those that write, by the names of their functions."""
    code = "\n".join(module.read_text() for module in Path("schedule_grpc/store").glob("*.py"))
    written = {line.partition("self._write(")[2].partition(",")[0].partition(")")[0] for line in code.splitlines()}
    named = {each.rpartition(".")[2] for each in written if "." in each}
    assert set(OPERATIONS) - {"migrate", "audit"} == named  # audit is a step of every one
