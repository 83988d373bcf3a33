"""A platform on PostgreSQL has its tables from its own team: where one is missing, the failure says which."""

from collections.abc import Callable
from typing import Any

import pytest
from platform_tables import POSTGRES_TABLES

from schedule_grpc import builtin
from schedule_grpc.bindings import Environment
from schedule_grpc.retry import FailureKind
from schedule_grpc.testing import run

NEEDED: tuple[tuple[Callable[..., Any], str], ...] = (
    (builtin.cleanup_expired_sessions, "sessions"),
    (builtin.cleanup_expired_api_keys, "api_keys"),
    (builtin.cleanup_old_generations, "generations"),
    (builtin.generate_missing_embeddings, "entities"),
    (builtin.generate_missing_embeddings, "embeddings"),
    *((builtin.update_analytics, table) for table in ("entities", "generations", "embeddings", "queue_jobs")),
    *((builtin.update_analytics, table) for table in ("api_requests", "sessions", "api_keys", "analytics_snapshots")),
    (builtin.check_rate_limits, "api_requests"),
)


@pytest.fixture
async def env(postgres, postgres_database: str):
    """The platform's database and its queue."""
    postgres.psql(POSTGRES_TABLES, postgres_database)
    made = Environment({"DB": postgres.url(postgres_database), "QUEUE": "table://DB/queue_jobs"})
    yield made
    await made.aclose()


@pytest.mark.parametrize(("function", "table"), NEEDED)
async def test_a_missing_table_is_named_with_its_binding(env: Environment, function: Callable[..., Any], table: str):
    """It fails, to be tried again; once the table is there, it succeeds."""
    await env.DB.execute(f"ALTER TABLE {table} RENAME TO elsewhere")
    ran = await run(function, env=env)
    assert (ran.succeeded, ran.kind, ran.error) == (
        False,
        FailureKind.ERROR,
        f"BindingError: DB: no such table: {table}",
    )
    await env.DB.execute(f"ALTER TABLE elsewhere RENAME TO {table}")
    assert (await run(function, env=env)).succeeded


async def test_a_missing_queue_refuses_every_job_and_the_health_check_says_so(env: Environment):
    """Both counts are in the result; the queue's failure names the queue, the database and the table."""
    await env.DB.execute("INSERT INTO entities VALUES ('n', 1, 'note', '', ''), ('n', 2, 'note', '', '')")
    await env.DB.execute("DROP TABLE queue_jobs")
    ran = await run(builtin.generate_missing_embeddings, env=env)
    assert (ran.result["found"], ran.result["queuedCount"], ran.result["refusedCount"]) == (2, 0, 2)
    assert ran.error == "2 of 2 jobs were refused, the first: QUEUE: DB: no such table: queue_jobs"
    checked = await run(builtin.health_check_services, env=env)
    assert {result["service"]: result["status"] for result in checked.result["results"]} == {
        "DB": "healthy",
        "QUEUE": "down",
        "AI": "unconfigured",
    }


async def test_one_refused_job_of_a_hundred_does_not_stop_the_others(env: Environment):
    """The database itself refuses it; 99 are queued, and the run fails with both counts."""
    await env.DB.execute(
        "INSERT INTO entities SELECT 'n', i, CASE i WHEN 50 THEN 'bad' ELSE 'note' END, '', ''"
        " FROM generate_series(1, 100) AS n (i)"
    )
    await env.DB.execute("ALTER TABLE queue_jobs ADD CONSTRAINT no_bad CHECK (payload->>'type' <> 'bad')")
    ran = await run(builtin.generate_missing_embeddings, env=env)
    assert not ran.succeeded
    assert (ran.result["found"], ran.result["queuedCount"], ran.result["refusedCount"]) == (100, 99, 1)
    assert ran.error is not None
    assert ran.error.startswith("1 of 100 jobs were refused, the first: QUEUE: DB: new row for relation")
    again = await run(builtin.generate_missing_embeddings, env=env)
    assert (again.result["queuedCount"], again.result["alreadyQueuedCount"]) == (0, 99)
