"""A platform on PostgreSQL has its tables from its own team, or from us where it says so.

Where one is missing the failure says which; where there is none yet, the tasks wait for them.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support.databases.platform_tables import POSTGRES_TABLES

from schedule_grpc import builtin
from schedule_grpc.bindings import Environment
from schedule_grpc.bindings.platform import missing_tables, tables
from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.errors import BindingError
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
    assert (ran.succeeded, ran.failure_kind, ran.error) == (
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


TASKS = dict.fromkeys(function for function, _ in NEEDED)


@pytest.fixture(params=["postgresql", "sqlite"])
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a platform's database that is there, and has no table."""
    if request.param == "postgresql":
        url: str = request.getfixturevalue("postgres").url(request.getfixturevalue("postgres_database"))
        return url
    (tmp_path / "platform.db").touch()
    return f"sqlite:///{tmp_path}/platform.db"


@asynccontextmanager
async def environment(url: str, *, create_tables: bool, creates: bool = True) -> AsyncIterator[Environment]:
    """Within this context the bindings of a platform can be used."""
    bindings = {"DB": {"url": url, "create_tables": create_tables}, "QUEUE": "table://DB/queue_jobs"}
    env = Environment(bindings, creates=creates)
    try:
        yield env
    finally:
        await env.aclose()


@pytest.mark.parametrize("function", TASKS)
async def test_a_task_waits_for_a_platform_that_has_no_table_yet(fresh: str, function: Callable[..., Any]):
    """It succeeds and says so, no alert is told; once one table is there, what is missing is a failure."""
    async with environment(fresh, create_tables=False) as env:
        ran = await run(function, env=env)
        assert (ran.succeeded, ran.result["status"], ran.conditions) == (True, "unconfigured", ())
        assert "no such table: " in ran.result["message"]
        await env.DB.execute("CREATE TABLE queue_jobs (id text)")
        assert not (await run(function, env=env)).succeeded


async def test_health_of_a_platform_without_a_table_is_unconfigured(fresh: str):
    """Its queue is not down: nobody has made it."""
    async with environment(fresh, create_tables=False) as env:
        checked = await run(builtin.health_check_services, env=env)
    assert checked.succeeded
    assert [(each["service"], each["status"]) for each in checked.result["results"]] == [
        ("DB", "healthy"),
        ("QUEUE", "unconfigured"),
        ("AI", "unconfigured"),
    ]


@pytest.mark.parametrize("present", ["", "CREATE TABLE sessions (id varchar(9) PRIMARY KEY, expires_at text)"])
async def test_the_tables_are_made_where_that_is_said(fresh: str, present: str):
    """Those that are missing; what is there stays. Servers that start at once do not meet."""
    if present:
        async with environment(fresh, create_tables=False) as first:
            await first.DB.execute(present)
            await first.DB.execute("INSERT INTO sessions VALUES ('old', '2020-01-01 00:00:00')")
    async with AsyncExitStack() as stack:
        several = [await stack.enter_async_context(environment(fresh, create_tables=True)) for _ in range(4)]
        await asyncio.gather(*(env.ping("DB") for env in several))
        for function in TASKS:
            ran = await run(function, env=several[0])
            assert (ran.succeeded, "status" in ran.result) == (True, False)
        assert await several[1].DB.fetch("SELECT id FROM sessions") == []
        assert await missing_tables(several[1].DB) == []
        assert [await several[2].QUEUE.enqueue("t", {}, dedupe_key="k") for _ in range(2)] == [True, False]


async def test_tables_that_are_there_need_no_right_to_make_them(postgres, postgres_database: str):
    """A user who may only read and write has them from somebody else."""
    postgres.psql(POSTGRES_TABLES, postgres_database)
    postgres.psql(
        "CREATE ROLE writes LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC;"
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO writes",
        postgres_database,
    )
    url = postgres.url(postgres_database, user="writes")
    async with environment(url, create_tables=True) as env:
        assert (await run(builtin.cleanup_expired_sessions, env=env)).succeeded
        postgres.psql("DROP TABLE sessions", postgres_database)
    async with environment(url, create_tables=True) as env:
        with pytest.raises(BindingError, match=r"^DB: permission denied for schema public$"):
            await env.DB.fetch("SELECT 1")
    postgres.psql("DROP OWNED BY writes; DROP ROLE writes", postgres_database)


async def test_who_only_looks_makes_no_table(fresh: str):
    """As a doctor opens bindings."""
    async with environment(fresh, create_tables=True, creates=False) as env:
        await env.ping("DB")
        assert await missing_tables(env.DB) == list(tables())
