"""kill -9 in the midst of what is large: a thousand registrations, a thousand occurrences, retention's round."""

import asyncio
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count as count_from
from pathlib import Path

import pytest
from support.callers.load import registrations
from support.machine.wall_clock import WallClock
from support.patience import calling, until
from support.servers.process import Server, code_of_the_next, served, start
from support.stories import checked, story
from support.witnesses.checker import Acknowledged
from support.witnesses.effects import contradictions

from schedule_grpc.domain.policy import Overlap, Policy, Retention, Window
from schedule_grpc.errors import Unavailable
from schedule_grpc.runtime.failpoints import STEPS, VARIABLE

MANY, KEPT = 1000, 5


def count(folder: Path, sql: str) -> int:
    """Return what a query counts in the server's file."""
    with closing(sqlite3.connect(f"file:{folder / 'schedule.db'}?mode=ro", uri=True)) as connection:
        number: int
        (number,) = connection.execute(sql).fetchone()
    return number


async def started(folder: Path, **variables: str) -> Server:
    """Start a server that keeps up with a thousand handlers."""
    return await asyncio.to_thread(start, folder, handlers="support.handlers.noting", **variables)


@story
async def test_killed_in_a_batch_of_a_thousand(tmp_path: Path):
    """All of its tasks are there or none, whenever the server dies; asked again, all are."""
    names = [f"task-{number}" for number in range(MANY)]
    expected = {"begun": 0, "written": 0, "committed": MANY}
    for step in STEPS:
        server = await started(tmp_path, **{VARIABLE: f"register_tasks.{step}=kill"})
        async with calling(server.address, attempts=1) as client:
            with pytest.raises(Unavailable):
                await client.batch_register_tasks(registrations(names, "@daily"))
        assert await asyncio.to_thread(server.ended) == -9
        assert count(tmp_path, "SELECT count(*) FROM scheduled_tasks") == expected[step]
    async with served(tmp_path, handlers="support.handlers.noting") as server:
        async with calling(server.address) as client:
            assert len(await client.batch_register_tasks(registrations(names, "@daily"))) == MANY
        await asyncio.to_thread(server.terminate)
    assert await checked(tmp_path / "schedule.db", Acknowledged(tasks=names), at_rest=True) == []


@story
async def test_killed_in_a_backfill_of_a_thousand(tmp_path: Path):
    """Before and after its commit, and while it is worked off: each occurrence runs, in one execution."""
    end = datetime.now(UTC).replace(second=0, microsecond=0)
    begin = end - timedelta(minutes=MANY)
    past = Policy(window=Window(end_time=end), overlap=Overlap.ALLOW_ALL)
    async with served(tmp_path, handlers="support.handlers.noting") as server, calling(server.address) as client:
        await client.register_task(name="task", schedule="* * * * *", handler="quick", policy=past)
    for point in ("backfill.written=kill", "backfill.committed=kill"):
        server = await started(tmp_path, **{VARIABLE: point})
        async with calling(server.address, attempts=1) as client:
            with pytest.raises(Unavailable):
                await client.backfill_task("task", start_time=begin, end_time=end)
        assert await asyncio.to_thread(server.ended) == -9
    for point in ("claim.written=kill@5", "record.written=kill@40"):
        killed = partial(code_of_the_next, tmp_path, handlers="support.handlers.noting", **{VARIABLE: point})
        assert await asyncio.to_thread(killed) == -9
    async with served(tmp_path, handlers="support.handlers.noting") as server:
        async with calling(server.address) as client:
            again = await client.backfill_task("task", start_time=begin, end_time=end)
            assert (len(again.executions), again.existing_count) == (0, MANY)

        async def all_ran() -> bool:
            done = "SELECT count(*) FROM task_executions WHERE state = 'SUCCEEDED'"
            return await asyncio.to_thread(count, tmp_path, done) == MANY

        await until(all_ran)
        await asyncio.to_thread(server.terminate)
    assert await checked(tmp_path / "schedule.db", at_rest=True) == []
    assert await asyncio.to_thread(contradictions, tmp_path / "schedule.db") == []


@story
async def test_killed_while_the_history_is_pruned(tmp_path: Path):
    """What retention keeps is kept, what it takes goes in the end, and what was accounted for stays accounted for."""
    clock = WallClock(tmp_path)
    few = Policy(retention=Retention(max_count=KEPT))
    server = await started(tmp_path, **clock.variables(), **{VARIABLE: "remove.written=kill"})
    async with calling(server.address) as client:
        await client.register_task(name="by-hand", schedule="@manual", handler="quick", policy=few)
        await client.register_task(name="every-second", schedule="every 1 second", handler="quick", policy=few)
        for _ in range(25):
            await asyncio.gather(*(client.run_task_now("by-hand") for _ in range(3)))
    ran = "SELECT count(*) FROM task_executions WHERE task_name = 'by-hand' AND state = 'SUCCEEDED'"
    before = count(tmp_path, ran)
    assert before > 4 * KEPT
    minutes = count_from(2, 2)
    for left in (before, KEPT):

        async def killed(server: Server = server) -> bool:
            clock.jump(next(minutes) * 60)  # the round begins a minute after the start, and again after ten
            await asyncio.sleep(0.5)
            return server.process.poll() is not None

        await until(killed)
        assert server.ended() == -9
        assert count(tmp_path, ran) == left
        assert await checked(tmp_path / "schedule.db", Acknowledged(tasks=["by-hand", "every-second"])) == []
        server = await started(tmp_path, **clock.variables(), **{VARIABLE: "remove.committed=kill"})
    await asyncio.to_thread(server.terminate)
    assert await checked(tmp_path / "schedule.db") == []
