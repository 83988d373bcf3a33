"""The default queue: the table queue_jobs of the DB, on either database."""

import asyncio
import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from schedule_grpc.bindings import Environment
from schedule_grpc.errors import BindingError
from schedule_grpc.testing import FakeClock

NOW = datetime(2026, 1, 31, 10, tzinfo=UTC)
COLUMNS = (
    "{id} PRIMARY KEY, type text, payload {json}, priority integer, status text, dedupe_key text, created_at {time}"
)
THEIRS = {
    "texts": COLUMNS.format(id="id text", json="text", time="text"),
    "types": COLUMNS.format(id="id uuid", json="jsonb", time="timestamptz"),
}


@pytest.fixture(params=["sqlite", "texts", "types", "unique"])
async def bindings(request: pytest.FixtureRequest, tmp_path: Path, postgres, postgres_database: str) -> dict[str, str]:
    """Where DB and QUEUE are; on PostgreSQL with a table that the user has made, in one of several ways."""
    urls = {"DB": f"sqlite:///{tmp_path}/platform.db", "QUEUE": "table://DB/queue_jobs"}
    if request.param != "sqlite":
        urls["DB"] = postgres.url(postgres_database)
        env = Environment({"DB": urls["DB"]})
        await env.DB.execute(
            f"CREATE TABLE queue_jobs ({THEIRS['texts' if request.param == 'unique' else request.param]})"
        )
        if request.param == "unique":
            await env.DB.execute("CREATE UNIQUE INDEX ON queue_jobs (dedupe_key) WHERE status = 'queued'")
        await env.aclose()
    return urls


@pytest.fixture
async def env(bindings: dict[str, str]):
    """An environment with both."""
    made = Environment(bindings, clock=FakeClock(NOW))
    yield made
    await made.aclose()


async def test_a_job_is_a_row(env: Environment):
    """With an id of its own, its payload as JSON, the status `queued`, and the time at which it was queued."""
    assert await env.QUEUE.enqueue("resize", {"x": 1.0, "name": "größer"}, priority=5) is True
    assert await env.QUEUE.enqueue("resize", {}) is True
    rows = await env.DB.fetch("SELECT * FROM queue_jobs ORDER BY priority DESC")
    assert len({UUID(str(row["id"])) for row in rows}) == 2
    assert [json.loads(row["payload"]) for row in rows] == [{"x": 1, "name": "größer"}, {}]
    assert [(row["type"], row["priority"], row["status"], row["dedupe_key"]) for row in rows] == [
        ("resize", 5, "queued", None),
        ("resize", 0, "queued", None),
    ]
    assert {row["created_at"] for row in rows} <= {"2026-01-31T10:00:00.000Z", NOW}
    await env.ping("QUEUE")


async def test_a_key_is_queued_once_until_its_job_is_taken(env: Environment):
    """Other keys are others; a job that is no longer queued leaves its key free."""
    assert await env.QUEUE.enqueue("a", {}, dedupe_key="k") is True
    assert await env.QUEUE.enqueue("b", {"other": 1}, dedupe_key="k") is False
    assert await env.QUEUE.enqueue("a", {}, dedupe_key="l") is True
    assert await env.QUEUE.enqueue("a", {}) is True
    await env.DB.execute("UPDATE queue_jobs SET status = 'done' WHERE dedupe_key = 'k'")
    assert await env.QUEUE.enqueue("a", {}, dedupe_key="k") is True
    assert await env.QUEUE.enqueue("a", {}, dedupe_key="k") is False


async def test_of_fifty_that_enqueue_one_key_at_once_one_does(bindings: dict[str, str], env: Environment):
    """From two servers; with and without a unique index on the table."""
    second = Environment(bindings, clock=FakeClock(NOW))
    asked = [each.QUEUE.enqueue("a", {"n": n}, dedupe_key="k") for n in range(25) for each in (env, second)]
    assert sorted(await asyncio.gather(*asked)) == [False] * 49 + [True]
    assert await env.DB.fetch("SELECT count(*) AS n FROM queue_jobs") == [{"n": 1}]
    await second.aclose()


async def test_fifty_different_keys_at_once_are_all_queued(env: Environment):
    """Nobody is refused for the others' sake."""
    assert all(await asyncio.gather(*(env.QUEUE.enqueue("a", {}, dedupe_key=f"k{n}") for n in range(50))))
    assert await env.DB.fetch("SELECT count(*) AS n FROM queue_jobs") == [{"n": 50}]


async def test_a_missing_table_is_told_with_queue_database_and_table(env: Environment):
    """Whether it is asked or pinged; once it is there, the queue works."""
    await env.DB.execute("ALTER TABLE queue_jobs RENAME TO elsewhere")
    for ask in (
        env.QUEUE.ping(),
        env.QUEUE.enqueue("a", {}),
        env.QUEUE.enqueue("a", {}, dedupe_key="k"),
    ):
        with pytest.raises(BindingError, match=r"^QUEUE: DB: no such table: queue_jobs$") as caught:
            await ask
        assert caught.value.details == {"binding": "QUEUE"}
    await env.DB.execute("ALTER TABLE elsewhere RENAME TO queue_jobs")
    assert await env.QUEUE.enqueue("a", {}) is True


@pytest.mark.parametrize("key", [None, "k"])
async def test_a_queue_that_refuses_one_job_takes_the_next(env: Environment, key: str | None):
    """The refusal is the database's; nothing of the job is kept."""
    with pytest.raises(BindingError, match=r"^QUEUE: DB: "):
        await env.QUEUE.enqueue("a", {}, priority=2**70, dedupe_key=key)
    assert await env.QUEUE.enqueue("a", {}, dedupe_key=key) is True
    assert await env.DB.fetch("SELECT count(*) AS n FROM queue_jobs") == [{"n": 1}]


async def test_a_payload_that_is_not_json_is_refused(env: Environment):
    """The part is named."""
    with pytest.raises(BindingError, match=r"^QUEUE: the payload is not JSON: \.when: datetime is not JSON$"):
        await env.QUEUE.enqueue("a", {"when": NOW})
    assert await env.DB.fetch("SELECT count(*) AS n FROM queue_jobs") == [{"n": 0}]


async def test_a_closed_database_is_told_by_its_queue(env: Environment):
    """Both are closed together; an abandoned handler learns it."""
    await env.QUEUE.enqueue("a", {})
    await env.DB.aclose()
    with pytest.raises(BindingError, match=r"^QUEUE: DB: is closed$"):
        await env.QUEUE.enqueue("a", {})
    await env.aclose()
    with pytest.raises(BindingError, match=r"^QUEUE: is closed$"):
        await env.QUEUE.enqueue("a", {})


async def test_a_locked_file_refuses_in_time_and_keeps_nothing(tmp_path: Path):
    """Another writer holds it beyond the DB's patience."""
    file = tmp_path / "platform.db"
    told = {"DB": {"url": f"sqlite:///{file}", "timeout": "50ms"}, "QUEUE": "table://DB/queue_jobs"}
    env = Environment(told, clock=FakeClock(NOW))
    await env.ping("QUEUE")
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for key in (None, "k"):
            with pytest.raises(BindingError, match=r"^QUEUE: DB: database is locked$"):
                await env.QUEUE.enqueue("a", {}, dedupe_key=key)
        other.execute("COMMIT")
    assert await env.QUEUE.enqueue("a", {}, dedupe_key="k") is True
    assert await env.DB.fetch("SELECT count(*) AS n FROM queue_jobs") == [{"n": 1}]
    await env.aclose()


async def test_the_platforms_own_table_finds_a_key_by_an_index(tmp_path: Path):
    """A hundred thousand queued jobs do not slow the next one down, and no other program queues a key twice."""
    env = Environment({"DB": f"sqlite:///{tmp_path}/platform.db"})
    asked = "EXPLAIN QUERY PLAN SELECT 1 FROM queue_jobs WHERE dedupe_key = 'k' AND status = 'queued'"
    [plan] = await env.DB.fetch(asked)
    assert "USING COVERING INDEX queue_jobs_dedupe_key" in plan["detail"] or "USING INDEX" in plan["detail"]
    insert = "INSERT INTO queue_jobs VALUES (:id, 'a', '{}', 0, 'queued', 'k', '')"
    await env.DB.execute(insert, id="a")
    with pytest.raises(BindingError, match="UNIQUE constraint failed"):
        await env.DB.execute(insert, id="b")
    await env.aclose()
