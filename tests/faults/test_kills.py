"""kill -9 under load, at random moments and at every step of every write; restart at once; the checker decides."""

import asyncio
import logging
import random
import statistics
import time
from contextlib import suppress
from pathlib import Path

import pytest
from load import Load, settled
from process import Server, serving, start

from schedule_grpc.failpoints import OPERATIONS, STEPS, VARIABLE

pytestmark = pytest.mark.timeout(900)

SHORT, LONG = 6, 200
log = logging.getLogger(__name__)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Where the server keeps its file."""
    return tmp_path / "schedule.db"


def started(folder: Path, **variables: str) -> Server:
    """Start a server with the handlers of the load."""
    return start(folder, handlers="fault_handlers", **variables)


async def stopped(working: "asyncio.Task[None]") -> None:
    """Let clients go: what they asked for and were not told stands in their log."""
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
    for _ in range(kills):
        working = asyncio.create_task(load.work(server.address))
        await asyncio.sleep(moments.uniform(0.05, 0.6))
        began = time.perf_counter()
        await asyncio.to_thread(server.kill)
        server = await asyncio.to_thread(started, tmp_path)
        recoveries.append(time.perf_counter() - began)
        await stopped(working)
        await load.repeat(server.address)
    found = await settled(server.address, database, load.log)
    code, _ = await asyncio.to_thread(server.terminate)
    log.info("%d kills, %d tasks, %d executions acknowledged", kills, len(load.log.tasks), len(load.log.executions))
    log.info("kill -9 to serving: median %.2f s, worst %.2f s", statistics.median(recoveries), max(recoveries))
    assert (code, found) == (0, [])
    assert len(load.log.executions) > 10 * kills / 2


@pytest.mark.parametrize("operation", ["change_tasks", "submit", "fire", "claim", "record"])
async def test_killed_at_every_step_of_a_write(tmp_path: Path, database: Path, operation: str):
    """Before it is written, in its open transaction, and once it is on disk but nobody has been told."""
    load = Load()
    with serving(tmp_path, handlers="fault_handlers") as server:
        await load.prepare(server.address)
    for number, step in enumerate(STEPS):
        visit = 4 + number if operation in ("change_tasks", "submit") else 2
        server = await asyncio.to_thread(started, tmp_path, **{VARIABLE: f"{operation}.{step}=kill@{visit}"})
        working = asyncio.create_task(load.work(server.address))
        assert await asyncio.to_thread(server.ended) == -9
        await stopped(working)
    server = await asyncio.to_thread(started, tmp_path)
    await load.repeat(server.address)
    found = await settled(server.address, database, load.log)
    code, _ = await asyncio.to_thread(server.terminate)
    assert (code, found) == (0, [])


@pytest.mark.parametrize("operation", ["submit", "fire", "claim", "change_tasks"])
async def test_a_fault_in_a_write_is_no_ones_loss(tmp_path: Path, database: Path, operation: str):
    """An exception of ours in its transaction: the others go on, and what was asked for happens at the next try."""
    load = Load()
    variables = {VARIABLE: f"{operation}.written=error@{1 if operation == 'fire' else 3}"}
    with serving(tmp_path, handlers="fault_handlers", **variables) as server:
        await load.prepare(server.address)
        working = asyncio.create_task(load.work(server.address))
        await asyncio.sleep(1.5)
        await stopped(working)
        await load.repeat(server.address)
        found = await settled(server.address, database, load.log)
        code, errors = await asyncio.to_thread(server.terminate)
    assert (code, found) == (0, [])
    assert "FailpointReached" in errors


def test_a_point_that_is_none_is_refused(tmp_path: Path):
    """A typo must not look like a server that survived."""
    with pytest.raises(AssertionError, match=r"claim\.writen=kill is not OPERATION\.STEP=ACTION"):
        start(tmp_path, **{VARIABLE: "claim.writen=kill"})


def test_every_operation_of_the_store_has_its_points():
    """Those that write, by the names of their functions."""
    code = Path("schedule_grpc/store/sql_store.py").read_text()
    written = {line.partition("self._write(")[2].partition(",")[0].partition(")")[0] for line in code.splitlines()}
    named = {each.rpartition(".")[2] for each in written if "." in each}
    assert set(OPERATIONS) - {"migrate"} <= named
