"""What a look, a claim, a record cost does not grow with what is registered or kept."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from schedule_grpc.database import load_migrations
from schedule_grpc.database.sqlite_prepare import prepare
from schedule_grpc.store.queries import QUERIES

LOCKS = {name for name, sql in QUERIES._statements.items() if sql.startswith("/*")}
"""Nothing at all on SQLite."""
SMALL = {"replicas", "replicas_seen"}
"""Tables of a few rows."""
BY_DESIGN = (
    LOCKS
    | SMALL
    | {
        "known_handlers",
        "running_executions",
        "executions_without_lease",
        "count_open",
        "untold_alerts",
        "end_overdue",
        "overdue_tasks",
    }
)
"""Reads a whole small table; counts what is open, once at the start; walks indexes that hold only what is wrong now,
what runs, or what asks to be watched."""

LOOPS = ("SCAN waiting", "SCAN following", "SCAN CONSTANT ROW")
"""Steps of loose index scans: each row of them is one search."""

WALK_A_TASKS_HISTORY = {
    "executions_of_task",
    "histories_after",
    "history_of",
    "ended_before",
    "surplus_that_ran",
    "surplus_that_never_ran",
    "ended_that_ran_up_to",
    "never_ran_up_to",
    "remove_task",
}
"""Pages of the history, and retention, which reads beside the writer every ten minutes."""


class Anything(dict):
    """Gives every parameter a value."""

    def __missing__(self, _: str) -> int:
        return 0


@pytest.mark.parametrize("name", sorted(QUERIES._statements.keys() - BY_DESIGN))
def test_no_query_scans_a_table(database: Path, name: str):
    """SQLite's plan searches an index at every step, sorts nothing, and walks no task's whole history for its gate."""
    prepare(database, load_migrations("schedule_grpc.store.migrations"), 1)
    with closing(sqlite3.connect(database)) as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {getattr(QUERIES, name)}", Anything()).fetchall()
    steps = [row[3] for row in plan]
    assert not [step for step in steps if step.startswith("SCAN") and step not in LOOPS]
    assert not [step for step in steps if "TEMP B-TREE" in step]
    if name not in WALK_A_TASKS_HISTORY:
        assert not [step for step in steps if "execution_of_task_by_age" in step]
