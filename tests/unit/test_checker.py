"""The checker itself: a file that is in order has nothing, and each broken promise is named."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from support.rigs.rig import new_rig
from support.witnesses.checker import Acknowledged, check

FIRST = "(SELECT id FROM task_executions ORDER BY scheduled_time LIMIT 1)"
SECOND = "(SELECT id FROM task_executions ORDER BY scheduled_time LIMIT 1 OFFSET 1)"

NEWEST = "(SELECT id FROM task_executions ORDER BY scheduled_time DESC LIMIT 1)"


@pytest.fixture
async def file(tmp_path: Path) -> Path:
    """A database in which a task of every hour ran three times."""
    path = tmp_path / "schedule.db"
    async with new_rig(path) as rig:
        await rig.register()
        for _ in range(3):
            await rig.skip(3600)
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
        (f"UPDATE task_executions SET state = 'FAILED' WHERE id = {FIRST}", "FAILED with the failure_kind None"),
        (f"UPDATE task_executions SET reason = 'OVERLAP' WHERE id = {FIRST}", "SUCCEEDED with the reason OVERLAP"),
        ("UPDATE scheduled_tasks SET next_run_time = next_run_time + 3600000000", "next run"),
        ("UPDATE scheduled_tasks SET settled_time = settled_time - 3600000000", "next run"),
        ("UPDATE scheduled_tasks SET success_count = 2", "success_count is 2, and 3 are there"),
    ],
)
def test_a_broken_promise_is_found(file: Path, harm: str, found: str):
    """Each harm is done to the file behind the service's back."""
    harmed(file, harm)
    assert any(found in each for each in check(file, at_rest=True)), check(file, at_rest=True)


def harmed(file: Path, harm: str) -> None:
    """Do what the service never would."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        for (index,) in connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'index' AND sql <> ''"
        ).fetchall():
            connection.execute(f"DROP INDEX {index}")  # the schema itself would refuse some of this
        connection.execute(harm)


async def test_what_a_changed_task_owes_is_walked_from_its_change(tmp_path: Path):
    """Of two definitions the newer one's occurrences are accounted for, each once."""
    path = tmp_path / "schedule.db"
    async with new_rig(path) as rig:
        await rig.register()
        await rig.skip(3600)
        await rig.register(schedule="*/20 * * * *")
        for _ in range(3):
            await rig.skip(1200)
    assert check(path, at_rest=True) == []
    harmed(path, f"DELETE FROM task_executions WHERE id = {NEWEST}")
    assert check(path) == ["task: the occurrence 2026-01-31 12:00:00+00:00 is accounted for 0 times"]


@pytest.mark.parametrize(
    ("harm", "found"),
    [
        ("UPDATE task_executions SET covers_count = 7 WHERE covers_count > 0", "covers 4 occurrences and says 7"),
        ("UPDATE task_executions SET covers_from = covers_from + 3600000000", "is accounted for 0 times"),
        ("UPDATE task_executions SET covers_to = scheduled_time WHERE covers_count > 0", "is accounted for 2 times"),
        ("UPDATE task_executions SET covers_count = NULL WHERE covers_count > 0", "covers 4 occurrences and says None"),
    ],
)
async def test_a_range_that_is_not_what_it_says_is_found(tmp_path: Path, harm: str, found: str):
    """What one row covers is counted along the schedule."""
    path = tmp_path / "schedule.db"
    async with new_rig(path) as rig:
        await rig.register()
        await rig.skip(5 * 3600)
    assert check(path, at_rest=True) == []
    harmed(path, harm)
    assert any(found in each for each in check(path)), check(path)


async def test_attempts_that_ran_together_are_found(tmp_path: Path):
    """A retry that began before the attempt before it had ended; nothing follows where a clock was set back."""
    path = tmp_path / "schedule.db"
    async with new_rig(path) as rig:
        await rig.register("task", "@manual", payload={"fate": "fail-at-first", "times": 2})
        await rig.service.run_now("task", detach=True)
        for _ in range(5):
            await rig.skip(2)
    assert check(path, at_rest=True) == []
    harmed(path, "UPDATE task_executions SET attempt_start_time = attempt_start_time - 60000000")
    (told,) = check(path)
    assert "attempt 2 was not over when the next one began" in told
    assert check(path, set_back=True) == []


@pytest.mark.parametrize("place", range(0, 40, 3))
def test_a_damaged_file_is_told_and_not_raised(file: Path, place: int):
    """Whichever of its pages the disk lost."""
    content = bytearray(file.read_bytes())
    at = place * 4096 % len(content)
    content[at : at + 4096] = bytes(range(256)) * 16
    file.write_bytes(content)
    assert check(file) != []


@pytest.mark.parametrize("content", [b"", b"no database" * 1000], ids=["empty", "text"])
def test_what_is_no_database_is_told(tmp_path: Path, content: bytes):
    """As one finding."""
    path = tmp_path / "schedule.db"
    path.write_bytes(content)
    (told,) = check(path)
    assert "cannot be read" in told


def test_json_that_is_none_is_told(file: Path):
    """Where attempts or policies cannot be read, nothing is decided of them."""
    harmed(file, "UPDATE task_executions SET failed_attempts = '[{'")
    assert any("cannot be read" in each for each in check(file))


def test_what_was_acknowledged_and_is_gone_is_found(file: Path):
    """Tasks, executions, and successes that are none."""
    told = Acknowledged(tasks=["task", "gone"], executions=["exec_gone"], succeeded=["exec_other"])
    assert check(file, told) == [
        "task gone was acknowledged and is gone",
        "exec_gone was acknowledged and is gone",
        "exec_other was told as SUCCEEDED and is None",
    ]
