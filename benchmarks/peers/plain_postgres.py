"""The statements of a burst alone on PostgreSQL, in sets, on the service's own schema."""

import asyncio
import time
from datetime import UTC, datetime

import asyncpg

TOGETHER = 500
"""Executions in one commit, as in the service."""
DUE = """
SELECT uid, name, next_run_time FROM scheduled_tasks WHERE next_run_time <= $1 ORDER BY next_run_time, uid LIMIT $2
FOR NO KEY UPDATE SKIP LOCKED
"""
MOVE_ON = "UPDATE scheduled_tasks SET settled_time = $1, next_run_time = NULL WHERE uid = ANY($2::text[])"
START = """
INSERT INTO task_executions (
    id, task_uid, task_name, handler, "trigger", scheduled_time, create_time, available_time, start_time,
    attempt_start_time, state, attempt, gate, lease_owner, lease_token, lease_until, revision)
SELECT 'exec_' || name || '_' || at, uid, name, 'nothing', 'SCHEDULE', at, $1::bigint, $1, $1, $1, 'RUNNING', 1,
    'ACTIVE', 'plain', uid, $1 + 60000000, 1
FROM unnest($2::text[], $3::text[], $4::bigint[]) AS due (uid, name, at)
"""
END = """
UPDATE task_executions
SET state = 'SUCCEEDED', end_time = $1, result = '{"success":true}', gate = NULL, lease_owner = NULL, lease_until = NULL
FROM unnest($2::text[], $3::text[], $4::bigint[]) AS due (uid, name, at)
WHERE id = 'exec_' || due.name || '_' || at AND lease_token = uid AND state = 'RUNNING'
"""
COUNT = """
UPDATE scheduled_tasks SET success_count = success_count + 1, consecutive_failures = 0, last_success_time = $1,
    last_run_time = $1
WHERE uid = ANY($2::text[])
"""


async def drain(url: str, due: datetime) -> dict[str, float]:
    """Wait for the instant; fire, start, end and count what is due, a set at a time; return the figures."""
    connection = await asyncpg.connect(url)
    await asyncio.sleep(max((due - datetime.now(UTC)).total_seconds(), 0))
    began = time.perf_counter()
    while await _run(connection, time.time_ns() // 1000):
        pass
    spent = time.perf_counter() - began
    await connection.close()
    return {"wall s": spent}


def round_trips(url: str, count: int) -> dict[str, float]:
    """Ask the least, one after the other; return how long an answer takes."""

    async def ask() -> list[float]:
        connection, took = await asyncpg.connect(url), []
        ask_the_least = await connection.prepare("SELECT 1")
        for _ in range(count):
            began = time.perf_counter()
            await ask_the_least.fetchval()
            took.append(time.perf_counter() - began)
        await connection.close()
        return sorted(took)

    return {"p50 ms": asyncio.run(ask())[count // 2] * 1e3}


async def _run(connection: "asyncpg.Connection", now: int) -> int:
    async with connection.transaction():
        due = await connection.fetch(DUE, now, TOGETHER)
        uids, names, times = ([row[column] for row in due] for column in ("uid", "name", "next_run_time"))
        await connection.execute(MOVE_ON, now, uids)
        await connection.execute(START, now, uids, names, times)
    async with connection.transaction():
        await connection.execute(END, now, uids, names, times)
        await connection.execute(COUNT, now, uids)
    return len(due)
