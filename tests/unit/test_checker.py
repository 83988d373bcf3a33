"""The checker itself: a file that is in order has nothing, and each broken promise is named."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from checker import Acknowledged, check
from rig import rig

FIRST = "(SELECT id FROM task_executions ORDER BY scheduled_time LIMIT 1)"
SECOND = "(SELECT id FROM task_executions ORDER BY scheduled_time LIMIT 1 OFFSET 1)"


@pytest.fixture
async def file(tmp_path: Path) -> Path:
    """A database in which a task of every hour ran three times."""
    path = tmp_path / "schedule.db"
    async with rig(path) as service:
        await service.register()
        for _ in range(3):
            await service.advance(3600)
    assert check(path, at_rest=True) == []
    return path


@pytest.mark.parametrize(
    ("harm", "found"),
    [
        (f"DELETE FROM task_executions WHERE id = {SECOND}", "is accounted for 0 times"),
        (
            f"UPDATE task_executions SET scheduled_time = scheduled_time - 3600000000 WHERE id = {SECOND}",
            "both exec_",
        ),
        (f"UPDATE task_executions SET state = 'RUNNING' WHERE id = {FIRST}", "state RUNNING with end_time"),
        (f"UPDATE task_executions SET gate = 'ACTIVE' WHERE id = {FIRST}", "ended but at the gate"),
        (
            f"UPDATE task_executions SET state = 'PENDING', end_time = NULL, gate = 'WAITING' WHERE id = {FIRST}",
            "waits for a gate that nobody holds",
        ),
        (
            f"UPDATE task_executions SET state = 'PENDING', end_time = NULL, gate = 'ACTIVE' WHERE id = {FIRST}",
            "still PENDING",
        ),
        (
            "UPDATE task_executions SET state = 'PENDING', end_time = NULL, gate = 'ACTIVE'",
            "the gate is held by",
        ),
        (f"UPDATE task_executions SET attempt = 3 WHERE id = {FIRST}", "at attempt 3 with 0 failed attempts"),
        (f"UPDATE task_executions SET state = 'FAILED' WHERE id = {FIRST}", "FAILED with the kind None"),
        (f"UPDATE task_executions SET reason = 'OVERLAP' WHERE id = {FIRST}", "SUCCEEDED with the reason OVERLAP"),
        ("UPDATE scheduled_tasks SET next_run_time = next_run_time + 3600000000", "next run"),
        ("UPDATE scheduled_tasks SET settled_time = settled_time - 3600000000", "next run"),
    ],
)
def test_a_broken_promise_is_found(file: Path, harm: str, found: str):
    """Each harm is done to the file behind the service's back."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        for (index,) in connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'index' AND sql <> ''"
        ).fetchall():
            connection.execute(f"DROP INDEX {index}")  # the schema itself would refuse some of this
        connection.execute(harm)
    assert any(found in each for each in check(file, at_rest=True)), check(file, at_rest=True)


def test_what_was_acknowledged_and_is_gone_is_found(file: Path):
    """Tasks, executions, and successes that are none."""
    told = Acknowledged(tasks=["task", "gone"], executions=["exec_gone"], succeeded=["exec_other"])
    assert check(file, told) == [
        "task gone was acknowledged and is gone",
        "exec_gone was acknowledged and is gone",
        "exec_other was told as SUCCEEDED and is None",
    ]
