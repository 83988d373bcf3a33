"""What a look, a claim, a record cost does not grow with what is registered or kept."""

import re
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from support.servers.postgres import Postgres

from schedule_grpc.database import SetQuery, load_migrations
from schedule_grpc.database.postgres import text as postgres_text
from schedule_grpc.database.postgres.named_parameters import names_of
from schedule_grpc.database.postgres.transaction import PLANS
from schedule_grpc.database.set_query import sqlite_text
from schedule_grpc.database.sqlite.prepare import prepare
from schedule_grpc.events import Hub
from schedule_grpc.store import open_store
from schedule_grpc.store.queries import QUERIES

LOCKS = {name for name, sql in QUERIES._statements.items() if isinstance(sql, str) and sql.startswith("/*")}
"""Nothing at all on SQLite."""
SMALL = {
    *("replicas", "replicas_seen", "older_programs", "keys_in_use", "remove_ended_keys", "namespace_names"),
    *("audit_chains", "namespaces_with_share"),
}
"""Tables of a few rows."""
BY_DESIGN = (
    LOCKS
    | SMALL
    | {
        "known_handlers",
        "running_executions",
        "executions_without_lease",
        "executions_under_lease",
        "count_open",
        "unsent_alerts",
        "tasks_alerted",
        "conditions_that_hold",
        "end_overdue",
        "overdue_tasks",
        "offering_workers",
        "list_workers",
        "living_workers",
        "attempts_of_workers",
        *("tasks_by_next_run", "tasks_in_states", "tasks_sorted"),
        *("count_overdue", "ends_by_minute", "longest_running", "open_conditions", "durations_of_handlers"),
    }
)
"""Reads a whole small table; counts what is open, once at the start; walks indexes that hold only what is wrong now,
what runs, the workers that live, or what asks to be watched; sorts tasks that are looked for, up to a number."""

LOOPS = {"SCAN inhabited", "SCAN waiting", "SCAN following", "SCAN found", "SCAN CONSTANT ROW"}
"""Steps of loose index scans: each row of them is one search."""
UP_TO_A_NUMBER = {"SCAN bounded"}
"""Rows that are counted up to a number."""

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
    "last_outcomes",
    "newest_runs",
    "accounted_between",
}
"""Pages of the history, the newest runs, explanations, and retention, which reads beside the writer now and then."""


HANDED_OVER = {"SCAN rows", "SCAN given", "SCAN 8 CONSTANT ROWS"}
"""Walks over the rows that are handed over."""


def _explained(query: str | SetQuery) -> list[tuple[str, Any]]:
    """Return what explains a query; one over rows with nothing that they have alike, and with all that they can."""
    if isinstance(query, SetQuery):
        last = len(query.columns)
        forms = [sqlite_text(query, 8, form) for form in {(), tuple(range(1, last))}]
        return [(f"EXPLAIN QUERY PLAN {text}", [0] * text.count("?")) for text in forms]
    return [(f"EXPLAIN QUERY PLAN {query}", Anything())]


class Anything(dict):
    """Gives every parameter a value."""

    def __missing__(self, _: str) -> int:
        return 0


@pytest.mark.parametrize("name", sorted(QUERIES._statements.keys() - BY_DESIGN))
def test_no_query_scans_a_table(database: Path, name: str):
    """SQLite's plan searches an index at every step, sorts nothing, and walks no task's whole history for its gate."""
    prepare(database, load_migrations("schedule_grpc.store.migrations"), 1)
    with closing(sqlite3.connect(database)) as connection:
        plans = [connection.execute(*each).fetchall() for each in _explained(getattr(QUERIES, name))]
    steps = [row[3] for plan in plans for row in plan]
    assert not [step for step in steps if step.startswith("SCAN") and step not in LOOPS | HANDED_OVER | UP_TO_A_NUMBER]
    assert not [step for step in steps if "TEMP B-TREE" in step]
    if name not in WALK_A_TASKS_HISTORY:
        assert not [step for step in steps if "execution_of_task_by_age" in step]


SEARCHED = {
    "ended_executions": {"execution_ended"},
    "waiting_executions": {"execution_pending"},
    "executions_under_lease": {"execution_by_owner"},
    "executions": {"execution_by_age"},
    "executions_of_task": {"execution_of_task_by_age"},
    "histories_due": {"task_to_prune"},
    "histories_that_grew": {"execution_by_age"},
    "tasks_that_changed": {"task_changed"},
    "histories_after": {"execution_of_task_by_age"},
    "history_of": {"execution_of_task_by_age", "execution_by_gate"},
    "overdue_tasks": {"task_by_start", "execution_pending", "task_watched"},
    "list_tasks": {"living_task_by_name"},
    "first_due": {"task_by_start"},
    "tasks_named_like": {"living_task_by_name"},
    "name_at": {"living_task_by_name"},
    "tasks_without_next_run": {"living_task_by_name"},
    "tasks_by_next_run": {"task_by_start"},
    "task_counts": {
        *("living_task_by_name", "task_failing", "task_disabled", "execution_by_owner", "execution_pending"),
    },
    "count_overdue": {"task_by_start"},
    "ends_by_minute": {"execution_ended"},
    "failures_before": {"execution_ended"},
    "durations_of_handlers": {"execution_by_age"},
    "waiting_handlers": {"execution_claimable"},
    "schedules": {"living_task_by_name"},
    "schedules_mark": {"living_task_by_name"},
    "ran_between": {"execution_by_occurrence"},
    "accounted_between": {"execution_of_task_by_age"},
    "changes_of_task": {"audit_by_namespace"},
    "tasks_in_states": {"task_failing", "task_disabled", "execution_by_owner", "execution_pending", "task_by_start"},
    "last_uid_of_name": {"living_task_by_name", "deleted_task_by_name"},
    "tasks_in_namespace": {"living_task_by_name", "deleted_task_by_name"},
}
"""Statements of lists and of upkeep, and the indexes that they search."""
OF_ONE_NAMESPACE = {
    "ended_executions",
    "waiting_executions",
    *("executions", "durations_of_handlers"),
    "histories_that_grew",
    "list_tasks",
    "tasks_named_like",
    "name_at",
    "tasks_without_next_run",
    "last_uid_of_name",
    "tasks_in_namespace",
}
"""Of those, the ones whose search begins with the namespace: what others have costs them nothing."""
ASKED = {
    "namespace": "default",
    "name": "t1",
    "after": "",
    "name_from": "",
    "name_to": "",
    "enabled": 1,
    "handler": "fate",
    "category": "",
    "newest": 20_000,
    "oldest": 0,
    "after_time": 20_000,
    "after_id": "",
    "limit": 10,
    "states": "",
    "state": "FAILED",
    "now": 1_500,
    "instant": 19_900,
    "id": "",
    "task_uid": "t1",
    "kept": 10,
    "last": "z",
    "places": 50,
    "place": 0,
    "pattern": "%t1%",
    "order": "last",
    **dict.fromkeys(("failing", "disabled", "running", "waiting", "overdue"), 1),
    "late": 20_000,
    "most": 50,
    "since": 0,
    "until": 20_000,
    "resource": "t1",
}


@pytest.mark.parametrize("name", SEARCHED)
def test_lists_and_upkeep_search_their_indexes(database: Path, name: str):
    """On SQLite, which plans by the indexes alone."""
    prepare(database, load_migrations("schedule_grpc.store.migrations"), 1)
    with closing(sqlite3.connect(database)) as connection:
        plan = str(connection.execute(f"EXPLAIN QUERY PLAN {getattr(QUERIES, name)}", Anything()).fetchall())
    assert all(index in plan for index in SEARCHED[name])
    if name in OF_ONE_NAMESPACE:
        assert all(f"{index} (namespace=?" in plan for index in SEARCHED[name])


def test_a_strip_searches_the_history_of_its_task(database: Path):
    """Not that of the namespace: fifty strips took twenty seconds by it."""
    prepare(database, load_migrations("schedule_grpc.store.migrations"), 1)
    with closing(sqlite3.connect(database)) as connection:
        plans = [str(connection.execute(*each).fetchall()) for each in _explained(QUERIES.newest_runs)]
    assert all("SEARCH e USING INDEX execution_of_task_by_age (task_uid=? AND create_time>?" in plan for plan in plans)


FILLED = """
INSERT INTO scheduled_tasks (uid, name, revision, schedule, time_zone, handler, enabled, payload, metadata, category,
    description, policy, note, create_time, update_time, settled_time, next_run_time, overdue_grace)
SELECT 't' || n, 't' || n, n % 2 + 1, '@hourly', 'UTC', 'fate', 1, '{}', '{}', '', '', '{}', '', n, n, n, n * 1000,
    CASE n % 10 WHEN 0 THEN 60 END
FROM generate_series(1, 200) n;
INSERT INTO task_executions (id, task_uid, task_name, handler, "trigger", create_time, available_time, revision, state,
    gate, end_time, lease_owner)
SELECT 'e' || n, 't' || n % 200 + 1, '', 'fate', 'MANUAL', n, n, 1,
    CASE WHEN n > 19990 THEN 'PENDING' WHEN n > 19980 THEN 'RUNNING' WHEN n % 50 = 0 THEN 'FAILED' ELSE 'SUCCEEDED' END,
    CASE WHEN n > 19980 THEN 'FREE' END, CASE WHEN n <= 19980 THEN n END,
    CASE WHEN n BETWEEN 19981 AND 19990 THEN 'server' END
FROM generate_series(1, 20000) n;
UPDATE scheduled_tasks SET prune_time = 1000000 + create_time;
INSERT INTO namespaces (name, create_time, limits, handlers, version) VALUES ('other', 0, '{}', '[]', 1);
INSERT INTO scheduled_tasks (uid, namespace, name, revision, schedule, time_zone, handler, enabled, payload, metadata,
    category, description, policy, note, create_time, update_time, settled_time)
SELECT 'o' || n, 'other', 't' || n, 1, '@hourly', 'UTC', 'fate', 1, '{}', '{}', '', '', '{}', '', n, n, n
FROM generate_series(1, 2000) n;
INSERT INTO task_executions (id, task_uid, namespace, task_name, handler, "trigger", create_time, available_time,
    revision, state, end_time)
SELECT 'o' || n, 'o' || n % 200 + 1, 'other', '', 'fate', 'MANUAL', n, n, 1, 'SUCCEEDED', n
FROM generate_series(1, 20000) n;
ANALYZE
"""


async def set_all(connection: Any, settings: Mapping[str, str]) -> None:
    """Set what a connection of the service has set."""
    for name, value in settings.items():
        await connection.execute(f"SET {name} = {value}")


async def planned(connection: Any, text: str, sent: Sequence[Any]) -> str:
    """Return the plan of a prepared statement: where the values do not count, that for any."""
    await connection.execute(f"PREPARE planned AS {text}")
    values = ", ".join(literal(value) for value in sent)
    rows = await connection.fetch(f"EXPLAIN EXECUTE planned ({values})" if sent else "EXPLAIN EXECUTE planned")
    await connection.execute("DEALLOCATE planned")
    return "\n".join(row[0] for row in rows)


def literal(value: Any) -> str:
    """Return a value as SQL has it."""
    if isinstance(value, list):
        return f"ARRAY[{', '.join(map(literal, value))}]"
    return f"'{value}'" if isinstance(value, str) else str(value)


async def test_postgresql_searches_the_same_indexes(postgres: Postgres, postgres_database: str):
    """It plans by what is in the tables, so there is something in them, though so little that it would walk them all.

    Once for these values, as behind a pooler, and once for any, as the service's own connections let it.
    """
    url = postgres.url(postgres_database)
    await (await open_store(url, Hub())).close()
    connection = await asyncpg.connect(url)
    await connection.execute(FILLED)
    for settings in ({"enable_seqscan": "off"}, PLANS):
        await set_all(connection, settings)
        for name, indexes in SEARCHED.items():
            sql = getattr(QUERIES, name)
            values = {each: ASKED[each] for each in names_of(postgres_text.expanded(sql))}
            plan = await planned(connection, *postgres_text.one(sql, values))
            assert all(index in plan for index in indexes), (name, plan)
            if name in OF_ONE_NAMESPACE:
                searches = re.findall(r"Index Cond: .*", plan)
                assert searches
                assert all("(namespace = " in search for search in searches), (name, plan)
    await connection.close()


BY_ROWS = {
    "advance_tasks": {"scheduled_tasks_pkey"},
    "claim_executions": {"task_executions_pkey"},
    "end_alerts": {"alert_that_holds"},
    "find_executions": {"task_executions_pkey"},
    "find_executions_by_request": {"execution_by_request"},
    "find_tasks": {"scheduled_tasks_pkey"},
    "living_tasks": {"scheduled_tasks_pkey"},
    "find_tasks_by_name": {"living_task_by_name"},
    "gates_awaited": {"Index Only Scan"},
    "hold_attempts": {"task_executions_pkey"},
    "hold_executions": {"task_executions_pkey"},
    "hold_tasks_by_name": {"living_task_by_name"},
    "last_outcomes": {"execution_of_task_by_age", "task_executions_pkey"},
    "let_through": {"task_executions_pkey"},
    "newest_runs": {"execution_of_task_by_age"},
    "next_waiting": {"execution_waiting", "task_executions_pkey"},
    "open_counts": {"execution_by_gate"},
    "note_failures": {"scheduled_tasks_pkey"},
    "note_first_runs": {"scheduled_tasks_pkey", "execution_by_occurrence"},
    "note_runs": {"scheduled_tasks_pkey"},
    "note_successes": {"scheduled_tasks_pkey"},
    "occupied": {"execution_at_gate", "execution_by_gate"},
    "settle_attempts": {"task_executions_pkey"},
    "update_tasks": {"scheduled_tasks_pkey"},
}
"""Queries over rows that search the tables of tasks and executions, and the indexes by which."""
HELD = """
INSERT INTO scheduled_tasks (uid, name, revision, schedule, time_zone, handler, enabled, payload, metadata, category,
    description, policy, note, create_time, update_time, settled_time)
SELECT 'u' || n, 'u' || n, 1, '@hourly', 'UTC', 'fate', 1, '{}', '{}', '', '', '{}', '', n, n, n
FROM generate_series(1, 20000) n;
INSERT INTO alert_states (task_uid, task_name, "key", title, body, phase, start_time, end_time)
SELECT 'u' || n, '', 'k', '', '', 'TOLD', n, CASE WHEN n > 4000 THEN n END FROM generate_series(1, 5000) n;
INSERT INTO task_executions (id, task_uid, task_name, handler, "trigger", create_time, available_time, revision, state,
    gate)
SELECT 'w' || n, 'u' || n, '', 'fate', 'MANUAL', n, n, 1, 'PENDING', 'WAITING' FROM generate_series(1, 5000) n;
ANALYZE
"""


async def test_postgresql_searches_for_the_rows_that_are_handed_over(postgres: Postgres, postgres_database: str):
    """A few among thousands: it walks no table for them."""
    url = postgres.url(postgres_database)
    await (await open_store(url, Hub())).close()
    connection = await asyncpg.connect(url)
    await connection.execute(FILLED)
    await connection.execute(HELD)
    for settings in ({}, PLANS):
        await set_all(connection, settings)
        for name, indexes in BY_ROWS.items():
            query = getattr(QUERIES, name)
            values = {column: "t1" if kind == "TEXT" else 1 for column, kind in query.columns}
            plan = await planned(connection, *postgres_text.of_set(query, [values] * 5))
            assert all(index in plan for index in indexes), (name, plan)
            assert "Seq Scan on task_executions" not in plan, (name, plan)
    await connection.close()


FROM_DUE_TO_RECORDED = {
    "advance_tasks": {"scheduled_tasks_pkey"},
    "claim_executions": {"task_executions_pkey"},
    "find_tasks_by_name": {"living_task_by_name"},
    "hold_tasks_by_name": {"living_task_by_name", "scheduled_tasks_pkey"},
    "gates_awaited": {"execution_waiting", "execution_at_gate", "execution_by_gate"},
    "hold_attempts": {"scheduled_tasks_pkey", "task_executions_pkey"},
    "insert_executions": {"execution_by_gate"},
    "let_through": {"task_executions_pkey"},
    "note_first_runs": {
        "scheduled_tasks_pkey",
        "execution_by_gate",
        "execution_by_occurrence",
        "execution_of_task_by_age",
    },
    "note_successes": {"scheduled_tasks_pkey"},
    "occupied": {"execution_at_gate", "execution_by_gate"},
    "settle_attempts": {"task_executions_pkey"},
}
"""What each execution costs, and the indexes that may be searched for it."""
NOT_ANALYZED = """
ALTER TABLE scheduled_tasks SET (autovacuum_enabled = off);
ALTER TABLE task_executions SET (autovacuum_enabled = off);
INSERT INTO scheduled_tasks (uid, name, revision, schedule, time_zone, handler, enabled, payload, metadata, category,
    description, policy, note, create_time, update_time, settled_time, next_run_time)
SELECT 't' || n, 't' || n, 1, '@hourly', 'UTC', 'fate', 1, '{}', '{}', '', '', '{}', '', n, n, n, n
FROM generate_series(1, 1000) n
"""
MORE = """
INSERT INTO task_executions (id, task_uid, task_name, handler, "trigger", scheduled_time, create_time, available_time,
    revision, state, gate)
SELECT 'e' || n, 't' || n, '', 'fate', 'SCHEDULE', n, n, n, 1, 'RUNNING', 'FREE' FROM generate_series($1::int, $2) n
"""


async def test_postgresql_searches_by_keys_before_its_tables_are_analyzed(postgres: Postgres, postgres_database: str):
    """A plan that was made in the first seconds of a burst serves the rest of it: none of them walks an index."""
    url = postgres.url(postgres_database)
    await (await open_store(url, Hub())).close()
    connection = await asyncpg.connect(url)
    await connection.execute(NOT_ANALYZED)
    await set_all(connection, PLANS)
    executions = 0
    for more in (0, 1, 60, 150, 500):
        await connection.execute(MORE, executions + 1, executions + more)
        executions += more
        for name, indexes in FROM_DUE_TO_RECORDED.items():
            query = getattr(QUERIES, name)
            values = {column: "t1" if kind == "TEXT" else 1 for column, kind in query.columns}
            plan = await planned(connection, *postgres_text.of_set(query, [values] * 5))
            assert set(re.findall(r"Scan using (\w+)", plan)) <= indexes, (name, executions, plan)
            assert plan.count("Index Cond") == plan.count("Scan using"), (name, executions, plan)
            assert "hashed" not in plan, (name, executions, plan)
    await connection.close()
