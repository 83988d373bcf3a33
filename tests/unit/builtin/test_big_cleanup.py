"""A cleanup with much to do, while others use the tables: nobody waits long, and what was done stays done."""

import asyncio
import sqlite3
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from support.rigs.builtin_handler import NOW, attempt, context

from schedule_grpc.bindings import Environment
from schedule_grpc.builtin import cleanup_expired_sessions
from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.runtime.clock import SystemClock
from schedule_grpc.testing import FakeClock

EXPIRED = 60_000
LIVING = 1_000
LONGEST_WAIT = timedelta(milliseconds=1500)
"""Far more than a batch takes (some 10 ms), far less than the whole cleanup would hold a lock on a slow machine."""

FILL = {
    "sqlite": "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})"
    " INSERT INTO sessions (id, expires_at) SELECT '{kind}' || i, '{time}' FROM n",
    "postgresql": "INSERT INTO sessions (id, expires_at)"
    " SELECT '{kind}' || i, '{time}' FROM generate_series(1, {count}) AS n (i)",
}


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path, postgres, postgres_database: str) -> str:
    """A database without sessions."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/platform.db"
    postgres.psql("CREATE TABLE sessions (id text PRIMARY KEY, user_id text, expires_at text)", postgres_database)
    return str(postgres.url(postgres_database))


@pytest.fixture
async def env(url: str):
    """A database with many expired sessions among living ones."""
    # On one connection a statement waits until the one before, given up or not, is over: as SQLite's writers do.
    one_by_one = {} if url.startswith("sqlite") else {"connections": 1}
    made = Environment({"DB": {"url": url, "timeout": "60s"} | one_by_one})
    fill = FILL[await made.DB.dialect()]
    await made.DB.execute(fill.format(kind="a", count=EXPIRED, time="2020-01-01 00:00:00"))
    await made.DB.execute(fill.format(kind="b", count=LIVING, time="2999-01-01T00:00:00.000Z"))
    yield made
    await made.aclose()


async def used_by_others(url: str, stop: asyncio.Event) -> tuple[int, float]:
    """Read and write the table on connections of another program; return how often, and the longest wait in seconds."""
    if url.startswith("sqlite"):
        return await asyncio.to_thread(_use_sqlite, Path(url.removeprefix("sqlite:///")), stop)
    connection = await asyncpg.connect(url)
    times, longest = 0, 0.0
    while not stop.is_set():
        began = time.perf_counter()
        await connection.fetch("SELECT count(*) FROM (SELECT 1 FROM sessions WHERE id > 'b' LIMIT 100) AS few")
        await connection.execute("UPDATE sessions SET user_id = 'seen' WHERE id = 'b1'")
        times, longest = times + 1, max(longest, time.perf_counter() - began)
    await connection.close()
    return times, longest


def _use_sqlite(file: Path, stop: asyncio.Event) -> tuple[int, float]:
    times, longest = 0, 0.0
    with closing(sqlite3.connect(file, isolation_level=None, timeout=60)) as connection:
        while not stop.is_set():
            began = time.perf_counter()
            connection.execute("SELECT count(*) FROM (SELECT 1 FROM sessions WHERE id > 'b' LIMIT 100)").fetchall()
            connection.execute("UPDATE sessions SET user_id = 'seen' WHERE id = 'b1'")
            times, longest = times + 1, max(longest, time.perf_counter() - began)
    return times, longest


async def test_others_read_and_write_while_a_big_cleanup_runs(env: Environment, url: str):
    """By the real clock no read or write of theirs waits longer than for a batch; only what has expired is gone."""
    stop = asyncio.Event()
    using = asyncio.create_task(used_by_others(url, stop))
    ctx = context("cleanup-expired-sessions", {}, clock=SystemClock(), DB=env.DB)
    fate = await attempt(cleanup_expired_sessions, ctx)
    stop.set()
    times, longest = await using
    assert fate.result["deletedCount"] == EXPIRED
    assert await env.DB.fetch("SELECT count(*) AS n FROM sessions") == [{"n": LIVING}]
    assert times > 0
    assert longest < LONGEST_WAIT.total_seconds()


async def test_a_timeout_half_way_keeps_what_was_done(env: Environment):
    """Whole batches are gone and stay gone, the one under way happened or did not; the next attempt does the rest."""
    clock = FakeClock(NOW)
    ctx = context("cleanup-expired-sessions", {"batch_size": 100}, clock=clock, DB=env.DB)
    running = asyncio.create_task(attempt(cleanup_expired_sessions, ctx))
    while await left(env) > EXPIRED - 1000:
        pass
    await clock.advance(60)
    assert (await running).kind is FailureKind.TIMEOUT
    await env.DB.execute("DELETE FROM sessions WHERE id IS NULL")  # queues behind the batch that was under way
    remaining = await left(env)
    assert 0 < remaining <= EXPIRED - 1000
    assert remaining % 100 == 0
    again = context("cleanup-expired-sessions", {}, clock=clock, DB=env.DB)
    assert (await attempt(cleanup_expired_sessions, again)).result["deletedCount"] == remaining


async def left(env: Environment) -> int:
    """Return how many expired sessions there are."""
    (row,) = await env.DB.fetch("SELECT count(*) AS n FROM sessions WHERE id LIKE 'a%'")
    count: int = row["n"]
    return count
