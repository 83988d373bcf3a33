"""A burst's statements alone, on the service's own schema: `python -m benchmarks.peers.plain_sqlite FILE COUNT`."""

import json
import sqlite3
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta

from benchmarks.bursts import once
from benchmarks.database import Database

FILLS_WITHIN = 1.0
"""Seconds."""
TOGETHER = 500
"""Executions in one commit, as in the service."""
DUE = (
    "SELECT uid, name, next_run_time FROM scheduled_tasks WHERE next_run_time <= ? ORDER BY next_run_time, uid LIMIT ?"
)
MOVE_ON = "UPDATE scheduled_tasks SET settled_time = ?, next_run_time = NULL WHERE uid = ? AND next_run_time = ?"
START = """
INSERT INTO task_executions (
    id, task_uid, task_name, handler, "trigger", scheduled_time, create_time, available_time, start_time,
    attempt_start_time, state, attempt, gate, lease_owner, lease_token, lease_until, revision)
VALUES (?, ?, ?, 'nothing', 'SCHEDULE', ?, ?, ?, ?, ?, 'RUNNING', 1, 'ACTIVE', 'plain', ?, ?, 1)
"""
END = """
UPDATE task_executions
SET state = 'SUCCEEDED', end_time = ?, result = '{"success":true}', gate = NULL, lease_owner = NULL, lease_until = NULL
WHERE id = ? AND lease_token = ? AND state = 'RUNNING'
"""
COUNT = """
UPDATE scheduled_tasks SET success_count = success_count + 1, consecutive_failures = 0, last_success_time = ?,
    last_run_time = ?
WHERE uid = ?
"""


def drain(path: str) -> int:
    """Fire, start, end and count what is due, a set at a time; return how many they were."""
    done = 0
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("PRAGMA journal_mode = WAL")
        file.execute("PRAGMA synchronous = FULL")
        file.execute("PRAGMA foreign_keys = ON")
        while due := file.execute(DUE, (time.time_ns() // 1000, TOGETHER)).fetchall():
            _run(file, due, time.time_ns() // 1000)
            done += len(due)
    return done


def _run(file: sqlite3.Connection, due: Sequence[tuple[str, str, int]], now: int) -> None:
    lease = now + 60_000_000
    file.execute("BEGIN IMMEDIATE")
    file.executemany(MOVE_ON, [(now, uid, at) for uid, _, at in due])
    file.executemany(
        START, [(f"exec_{name}_{at}", uid, name, at, now, now, now, now, uid, lease) for uid, name, at in due]
    )
    file.execute("COMMIT")
    file.execute("BEGIN IMMEDIATE")
    file.executemany(END, [(now, f"exec_{name}_{at}", uid) for uid, name, at in due])
    file.executemany(COUNT, [(now, now, uid) for uid, _, _ in due])
    file.execute("COMMIT")


def main(path: str, count: int) -> None:
    """Fill the file, and print the figures."""
    due = datetime.now(UTC) + timedelta(seconds=FILLS_WITHIN)
    once(count)(Database(f"sqlite:///{path}"), due)
    time.sleep(max((due - datetime.now(UTC)).total_seconds(), 0))
    began, used = time.perf_counter(), time.process_time()
    done = drain(path)
    assert done == count, done
    figures = {"wall s": time.perf_counter() - began, "CPU µs each": (time.process_time() - used) / count * 1e6}
    print(json.dumps(figures))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
