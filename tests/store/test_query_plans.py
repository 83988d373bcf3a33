"""What a look, a claim, a record cost does not grow with what is registered or kept."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from schedule_grpc.database import SetQuery, load_migrations
from schedule_grpc.database.set_query import for_sqlite
from schedule_grpc.database.sqlite_prepare import prepare
from schedule_grpc.store.queries import QUERIES

LOCKS = {name for name, sql in QUERIES._statements.items() if isinstance(sql, str) and sql.startswith("/*")}
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

WALK_A_TASKS_HISTORY = {
    "executions_of_task",
    "ended_before",
    "surplus_that_ran",
    "surplus_that_never_ran",
    "ended_that_ran_up_to",
    "never_ran_up_to",
    "remove_task",
}
"""Pages of the history, and retention, which reads beside the writer every ten minutes."""


HANDED_OVER = {"SCAN waiting", "SCAN CONSTANT ROW", "SCAN rows", "SCAN 8 CONSTANT ROWS"}
"""Walks over what the statement itself brings along."""


def _explained(query: str | SetQuery) -> tuple[str, Any]:
    if isinstance(query, SetQuery):
        return f"EXPLAIN QUERY PLAN {for_sqlite(query, 8)}", [0] * 8 * len(query.columns)
    return f"EXPLAIN QUERY PLAN {query}", Anything()


class Anything(dict):
    """Gives every parameter a value."""

    def __missing__(self, _: str) -> int:
        return 0


@pytest.mark.parametrize("name", sorted(QUERIES._statements.keys() - BY_DESIGN))
def test_no_query_scans_a_table(database: Path, name: str):
    """SQLite's plan searches an index at every step, sorts nothing, and walks no task's whole history for its gate."""
    prepare(database, load_migrations("schedule_grpc.store.migrations"), 1)
    with closing(sqlite3.connect(database)) as connection:
        plan = connection.execute(*_explained(getattr(QUERIES, name))).fetchall()
    steps = [row[3] for row in plan]
    assert not [step for step in steps if step.startswith("SCAN") and step not in HANDED_OVER]
    assert not [step for step in steps if "TEMP B-TREE" in step]
    if name not in WALK_A_TASKS_HISTORY:
        assert not [step for step in steps if "execution_of_task_by_age" in step]
