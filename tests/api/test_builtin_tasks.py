"""The eight built-in tasks through a whole server, on SQLite and on PostgreSQL: what they find, do and record."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.databases.platform_tables import POSTGRES_TABLES
from support.servers.live import Live, serving
from support.witnesses.checker import check

from schedule_grpc.backup import verify_backup
from schedule_grpc.bindings import Environment
from schedule_grpc.domain.execution import FailedAttempt, State
from schedule_grpc.domain.policy import Policy
from schedule_grpc.domain.retry import RetryPolicy

KEY = "01234567-89ab-cdef-0123-456789abcdef"
ROWS = f"""
INSERT INTO sessions (id, expires_at) VALUES (1, '2020-01-01 00:00:00'), (2, '2020-01-01T00:00:00.000Z'),
    (3, '2999-01-01'), (4, NULL);
INSERT INTO api_keys (id, name, expires_at) VALUES ('{KEY}', 'old', '2020-01-01'),
    ('11234567-89ab-cdef-0123-456789abcdef', 'endless', NULL);
INSERT INTO generations (id, status, created_at) VALUES ('a', 'completed', '2020-01-01'),
    ('b', 'running', '2020-01-01'), ('c', 'completed', '2999-01-01'), ('d', 'completed', '2020-01-01 12:00:00'),
    ('e', 'completed', '2020-01-01T12:00:00Z');
INSERT INTO entities (ns, id, type, content, created_at) VALUES ('n', 1, 'note', 'one', '2026-01-01'),
    ('n', 2, 'note', 'two', '2026-01-01'), ('n', 3, 'log', 'no', '2026-01-01'), ('o', 1, 'page', 'six', '2026-01-01');
INSERT INTO embeddings (ns, id, model, created_at) VALUES ('o', 1, 'm', '2026-01-01');
INSERT INTO api_requests (id, api_key, created_at) VALUES (1, '{KEY}', '2998-01-01'), (2, '{KEY}', '2998-01-01');
"""
EXPECTED: dict[str, tuple[dict[str, Any], str]] = {
    "cleanup-expired-sessions": ({"deletedCount": 2}, "Deleted 2 expired sessions"),
    "cleanup-expired-api-keys": ({"deletedCount": 1}, "Deleted 1 expired API keys"),
    "cleanup-old-generations": ({"deletedCount": 3}, "Deleted 3 old generations"),
    "generate-missing-embeddings": (
        {"found": 2, "queuedCount": 2, "alreadyQueuedCount": 0, "refusedCount": 0},
        "Queued 2 entities for embedding generation",
    ),
    "update-analytics": ({}, "Analytics updated successfully"),
    "backup-database": ({"removed": []}, "Database backup completed"),
    "health-check-services": ({}, "All services healthy"),
    "check-rate-limits": ({"warnings": [{"api_key": KEY, "requests": 2}]}, "1 API keys nearing rate limit"),
}
"""By task: fields of the result, and its message."""
FURTHER = {
    "update-analytics": {"stats"},
    "backup-database": {"file", "size", "compressedSize", "compression", "sha256", "tables"},
    "health-check-services": {"results"},
}
"""Fields that are there too."""


@pytest.fixture(params=["sqlite", "postgresql"])
async def url(request: pytest.FixtureRequest, tmp_path: Path, postgres, postgres_database: str) -> str:
    """A platform's database, filled."""
    if request.param == "sqlite":
        made = f"sqlite:///{tmp_path}/platform.db"
        env = Environment({"DB": made})
        await env.ping("DB")
        await env.aclose()
        with closing(sqlite3.connect(tmp_path / "platform.db")) as file:
            file.executescript(ROWS)
    else:
        made = postgres.url(postgres_database)
        await asyncio.to_thread(postgres.psql, POSTGRES_TABLES + ROWS, postgres_database)
    return made


@pytest.fixture
async def live(url: str, tmp_path: Path, database: Path, postgres) -> AsyncIterator[Live]:
    """A server with that platform, whose built-in tasks are registered."""
    backup = {"root": str(tmp_path / "backups"), "pg_dump": str(postgres.bin / "pg_dump")}
    async with serving(database, bindings={"DB": url}, backup=backup) as live:
        await live.client.initialize_default_tasks()
        yield live
    assert check(database) == []


async def test_every_built_in_task_does_its_work_and_proves_it(live: Live, url: str):
    """Its result has success, its own fields, duration and message; run again, it finds nothing left to do."""
    for name, (fields, message) in EXPECTED.items():
        ran = await live.client.run_task_now(name, payload={"limit": 2} if name == "check-rate-limits" else None)
        assert (ran.success, ran.execution.state, ran.execution.error) == (True, State.SUCCEEDED, None)
        result = ran.execution.result
        assert {field: result[field] for field in fields} == fields
        assert (result["success"], result["message"]) == (True, message)
        assert result.keys() == {"success", "duration", "message"} | fields.keys() | FURTHER.get(name, set())
        assert isinstance(result["duration"], int | float)
        assert result["duration"] >= 0
        if name == "backup-database":
            assert verify_backup(Path(result["file"])).content.tables == result["tables"]
            assert result["tables"]["sessions"] == 2
        if name == "update-analytics":
            assert result["stats"]["generations"]["byType"] == {"running": 1, "completed": 1}
            assert result["stats"]["queueJobs"]["lastHour"] == 2
    for name in ("cleanup-expired-sessions", "cleanup-expired-api-keys", "cleanup-old-generations"):
        again = await live.client.run_task_now(name)
        assert again.execution.result["deletedCount"] == 0
    again = await live.client.run_task_now("generate-missing-embeddings")
    assert (again.execution.result["queuedCount"], again.execution.result["alreadyQueuedCount"]) == (0, 2)
    env = Environment({"DB": url})
    assert [row["id"] for row in await env.DB.fetch("SELECT id FROM generations ORDER BY id")] == ["b", "c"]
    assert [int(row["id"]) for row in await env.DB.fetch("SELECT id FROM sessions ORDER BY id")] == [3, 4]
    assert len(await env.DB.fetch("SELECT id FROM analytics_snapshots")) == 1
    await env.aclose()


async def test_a_table_that_another_writer_holds_is_a_failure_that_is_tried_again(url: str, database: Path):
    """It ends within the binding's timeout and says why; once the other has gone, the next attempt does the work."""
    policy = Policy(retry=RetryPolicy(max_retries=1))
    other = Environment({"DB": url})
    await other.ping("DB")
    lock = "DELETE FROM sessions WHERE id = '4'" if url.startswith("sqlite") else "LOCK TABLE sessions"
    async with serving(database, bindings={"DB": {"url": url, "timeout": "1s"}}) as live:
        await live.client.register_task(
            name="clean", schedule="@manual", handler="cleanup-expired-sessions", policy=policy
        )
        async with other.DB.transaction() as transaction:
            await transaction.execute(lock)
            running = asyncio.create_task(live.client.run_task_now("clean"))
            attempts: Sequence[FailedAttempt] = ()
            while not attempts:
                page = await live.client.get_task_history("clean")
                attempts = page.executions[0].failed_attempts if page.executions else ()
        ended = (await running).execution
        assert attempts[0].error in (
            "BindingError: DB: database is locked",
            "BindingError: DB: no answer within 1s",
        )
        assert attempts[0].duration < timedelta(seconds=5)
        assert (ended.state, ended.attempt, ended.result["deletedCount"]) == (State.SUCCEEDED, 2, 2)
    await other.aclose()
    assert check(database) == []
