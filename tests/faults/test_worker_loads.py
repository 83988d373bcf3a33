"""Much at once for workers: thousands of executions, a greedy handler, a slow worker, a megabyte of log a second."""

import asyncio
import logging
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from support.callers.load import CRON, Load, settled
from support.patience import calling, until
from support.servers.crew import workers
from support.servers.process import Server, served
from support.stories import checked, story
from support.witnesses import effects
from support.witnesses.checker.reading import rows
from support.workers.raw import RawWorker, Verdict, raw_workers

from schedule_grpc.client import AsyncClient
from schedule_grpc.domain.execution.log_lines import MAX_LINES, MAX_LOG_BYTES
from schedule_grpc.domain.policy import Overlap, Policy
from schedule_grpc.domain.registration import Registration
from schedule_grpc.domain.task import define
from schedule_grpc.pb import worker_pb2 as pb

AT_A_TIME = 1000
WAITS = "SELECT start_time - available_time AS waited FROM task_executions WHERE handler = '{}' AND state = 'SUCCEEDED'"
STORED = """
SELECT execution_id, sum(bytes) AS bytes, sum(json_array_length(lines)) AS lines FROM execution_logs
GROUP BY execution_id
"""
SUCCEEDED = " FROM task_executions WHERE state = 'SUCCEEDED'"
PARALLEL = Policy(overlap=Overlap.ALLOW_ALL, timeout=timedelta(hours=1))
SMALL = 5.0
"""Seconds that an execution of a rare handler may wait behind a backlog of another one, which takes far longer. An
outcome may take as long beside log lines."""
log = logging.getLogger(__name__)
pytestmark = pytest.mark.keyless  # proxies hide which server a worker calls, and raw workers show no key


async def backlog(client: AsyncClient, handler: str, number: int) -> None:
    """Let so many executions of a handler come, a thousand at once: those of tasks that have one cron schedule."""
    each = min(AT_A_TIME, number)
    await client.batch_register_tasks(
        [
            Registration(definition=define(name=f"{handler}-{place}", schedule=CRON, handler=handler, policy=PARALLEL))
            for place in range(each)
        ]
    )
    for _ in range(number // each):
        assert len(await client.trigger_cron(CRON)) == each


async def over(place: Path, number: int) -> None:
    """Return once so many executions have succeeded."""

    async def all_over() -> bool:
        await asyncio.sleep(0.2)
        (found,) = await asyncio.to_thread(rows, place, "SELECT count(*) AS ended" + SUCCEEDED)
        return found["ended"] >= number

    await until(all_over, 600)


def percentile(values: list[float], part: float) -> float:
    """Return the value below which that part of all lies."""
    return sorted(values)[min(int(len(values) * part), len(values) - 1)]


@story
async def test_thousands_for_many_workers(tmp_path: Path, long: bool):
    """Each runs once, no worker runs more than its slots, and all have their part."""
    processes, each, slots, number = (10, 20, 10, 20_000) if long else (2, 5, 4, 2000)
    async with served(tmp_path, handlers=None) as server, workers(tmp_path) as crew, calling(server.address) as client:
        for _ in range(processes):
            await crew.start_many(server.address, each, slots=slots, seconds=0.02)
        began = time.monotonic()
        await backlog(client, "quick", number)
        await over(tmp_path / "schedule.db", number)
        took = time.monotonic() - began
        found = await settled(server.address, tmp_path / "schedule.db", Load().log, replicas=tmp_path)
        await crew.stop_all()
    marks = effects.read(tmp_path)
    did = Counter(mark.worker for mark in marks if mark.what == "begin")
    most = max(effects.most_at_once(marks).values())
    mean = number / (processes * each)
    spread = [round(count / mean, 2) for count in (min(did.values()), max(did.values()))]
    log.info("%d executions by %d workers of %d slots in %.1f s", number, processes * each, slots, took)
    log.info("most at once at a worker: %d; of the mean, a worker did %s", most, spread)
    assert found == []
    assert sum(did.values()) == number
    assert len({mark.execution for mark in marks}) == number
    assert len(did) == processes * each
    assert most <= slots
    assert spread[0] > 0.3


@story
async def test_a_greedy_handler_and_a_rare_one(tmp_path: Path, long: bool):
    """A backlog of one handler keeps executions of another one waiting for a moment only."""
    number, rare = (100_000, 100) if long else (1500, 15)
    async with served(tmp_path, handlers=None) as server, workers(tmp_path) as crew, calling(server.address) as client:
        await crew.start(server.address, lease="30s")
        greedy, other = ("quick", "slow") if long else ("slow", "quick")
        await backlog(client, greedy, number)
        await client.register_task(name="rare", schedule="@manual", handler=other)
        for _ in range(rare):
            assert (await client.run_task_now("rare")).success
        await crew.stop_all()
    place = tmp_path / "schedule.db"
    found = [*await checked(place), *await asyncio.to_thread(effects.contradictions, place, tmp_path)]
    (left,) = rows(place, "SELECT count(*) AS behind FROM task_executions WHERE state = 'PENDING'")
    behind = left["behind"]
    waited = [row["waited"] / 1e6 for row in rows(place, WAITS.format(other))]
    p99 = percentile(waited, 0.99)
    log.info("rare beside a backlog of %d, %d of it left: waited p99 %.3f s", number, behind, p99)
    assert found == []
    assert behind > 0
    assert p99 < SMALL


@story
async def test_a_slow_worker_among_fast_ones(tmp_path: Path, long: bool):
    """What it runs waits for it, and nothing else does."""
    number = 5000 if long else 1000
    async with served(tmp_path, handlers=None) as server, workers(tmp_path) as crew, calling(server.address) as client:
        slow = await crew.start_many(server.address, 1, slots=1, seconds=2)
        await crew.start_many(server.address, 3, slots=4, seconds=0.01)
        began = time.monotonic()
        await backlog(client, "quick", number)
        await over(tmp_path / "schedule.db", number)
        took = time.monotonic() - began
        found = await settled(server.address, tmp_path / "schedule.db", Load().log, replicas=tmp_path)
        await crew.stop_all()
    marks = effects.read(tmp_path)
    at_slow = [mark for mark in marks if mark.process == slow.pid and mark.what == "begin"]
    log.info("%d executions in %.1f s; the slow worker of 1 slot had %d of them", number, took, len(at_slow))
    assert found == []
    assert 1 <= len(at_slow) <= 1 + took / 2
    assert effects.most_at_once(marks)[f"{slow.pid}-0"] == 1


async def latencies(client: AsyncClient, worker: RawWorker, seconds: float) -> list[float]:
    """Return how long reports of outcomes took, one after the other, for so long."""
    took, until_then = [], time.monotonic() + seconds
    while time.monotonic() < until_then:
        await client.run_task_now("probe", detach=True)
        (given,) = await worker.given()
        began = time.monotonic()
        assert await worker.verdict(given.lease_token) == Verdict.APPLIED
        took.append(time.monotonic() - began)
    return took


async def chatting(worker: RawWorker, token: str, rate: float) -> int:
    """Report so many bytes of log lines a second, in four reports, until cancelled."""
    sequence, text = 0, "x" * 1000
    while True:
        began = time.monotonic()
        update = pb.Update(lease_token=token)
        for _ in range(int(rate / 4 / len(text))):
            sequence += 1
            line = update.log.lines.add(sequence=sequence, level="info", text=text)
            line.time.GetCurrentTime()
        assert (await worker.report(update)).verdicts == [Verdict.APPLIED]
        await worker.pull(token, wait=0)
        await asyncio.sleep(max(0.0, began + 0.25 - time.monotonic()))


@story
async def test_a_megabyte_of_log_a_second(tmp_path: Path, long: bool):
    """The bounds of what is kept hold, and outcomes do not wait for log lines."""
    number, seconds = (20, 60.0) if long else (4, 3.0)
    async with (
        served(tmp_path, handlers=None) as server,
        calling(server.address) as client,
        raw_workers(server.address, number + 1) as (probing, *chatty),
    ):
        await probing.register("probe")
        for name in ("probe", "chatty"):
            await client.register_task(
                name=name, schedule="@manual", handler=name, policy=PARALLEL, allow_unknown_handler=True
            )
        quiet = await latencies(client, probing, seconds)
        tokens = []
        for worker in chatty:
            await worker.register("chatty", slots=1)
            await client.run_task_now("chatty", detach=True)
            tokens.append((await worker.given())[0].lease_token)
        memory = server.resident()
        talking = [
            asyncio.create_task(chatting(worker, token, 1e6 / number))
            for worker, token in zip(chatty, tokens, strict=True)
        ]
        loud = await latencies(client, probing, seconds)
        grown = server.resident() - memory
        for each in talking:
            assert not each.done(), each.exception()
            each.cancel()
        await asyncio.gather(*talking, return_exceptions=True)
        for worker, token in zip(chatty, tokens, strict=True):
            assert await worker.verdict(token) == Verdict.APPLIED
        ids = [row["execution_id"] for row in rows(tmp_path / "schedule.db", STORED)]
        shown = [(await client.get_execution(each, log_lines=1000)).log for each in ids]
        found = await settled_without_notes(server, tmp_path)
    kept = rows(tmp_path / "schedule.db", STORED)
    p99 = [round(percentile(each, 0.99) * 1000, 1) for each in (quiet, loud)]
    most = {what: max(row[what] for row in kept) for what in ("bytes", "lines")}
    log.info("1 MB/s of log by %d workers for %g s: kept at most %s of an execution", number, seconds, most)
    log.info("outcomes: p99 %s ms without and with; memory of the server +%d KB", p99, grown // 1024)
    assert found == []
    assert len(kept) == number
    assert most["bytes"] < 2 * MAX_LOG_BYTES  # the oldest chunk that is needed holds lines that are not
    assert most["lines"] < 2 * MAX_LINES
    for logged in shown:
        assert logged is not None
        assert 0 < len(logged.lines) <= MAX_LINES
        assert sum(line.size for _, line in logged.lines) <= MAX_LOG_BYTES
        assert logged.dropped > 0
    assert p99[1] < SMALL * 1000


async def settled_without_notes(server: Server, folder: Path) -> list[str]:
    """Return broken promises, where no handler ran in a process that notes."""
    (folder / effects.FILE).touch()
    found = await settled(server.address, folder / "schedule.db", Load().log, replicas=folder)
    return [each for each in found if not each.endswith("no handler came to its end")]
