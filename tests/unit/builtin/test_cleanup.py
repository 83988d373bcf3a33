"""The cleanups and the DB binding, on a real file."""

import asyncio
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
import structlog
from support.rigs.rig import START, at

from schedule_grpc import builtin
from schedule_grpc.bindings import Environment
from schedule_grpc.domain.registration import registered
from schedule_grpc.errors import BindingError, ConfigurationError
from schedule_grpc.handlers import PermanentFailure, Registry, TaskContext
from schedule_grpc.testing import FakeClock

NOW = at("2026-01-31T10:00:00.500")


@pytest.fixture
async def env(tmp_path: Path):
    """An environment with a DB in a file that does not exist yet."""
    made = Environment({"DB": f"sqlite:///{tmp_path}/platform.db"})
    await made.DB.ping()
    yield made
    await made.aclose()


def context(env: Environment, name: str, **payload) -> TaskContext:
    """Return what a built-in handler gets."""
    (definition,) = [each for each in builtin.default_definitions() if each.name == name]
    return TaskContext(
        task=registered(None, definition, enabled=None, now=START).after,
        execution_id="exec_1",
        attempt=1,
        scheduled_time=None,
        deadline=START + timedelta(seconds=29),
        payload=payload,
        env=env,
        clock=FakeClock(NOW),
        log=structlog.get_logger(),
    )


async def clean(env: Environment, name: str, **payload) -> dict:
    """Run a built-in cleanup."""
    registry = Registry()
    registry.add_module(builtin)
    return await registry.get(name).function(context(env, name, **payload))


async def ids(env: Environment, table: str) -> list[str]:
    """Return what is left."""
    return [row["id"] for row in await env.DB.fetch(f"SELECT id FROM {table} ORDER BY id")]


async def test_expired_sessions_are_deleted_in_both_forms_of_time(env: Environment):
    """Before now goes, now and later stay; no time, or none that can be read, stays."""
    rows = {
        "a": "2026-01-31 10:00:00",
        "b": "2026-01-31T10:00:00.000Z",
        "c": "2026-01-31T10:00:00.499Z",
        "d": "2026-01-31T10:00:00.500Z",
        "e": "2026-01-31 10:00:01",
        "f": "2026-01-31T09:59:59Z",
        "g": "2026-01-31T12:30:00+02:30",
        "h": None,
        "i": "soon",
        "j": "",
    }
    for key, time in rows.items():
        await env.DB.execute("INSERT INTO sessions VALUES (:id, 'u', :time)", id=key, time=time)
    result = await clean(env, "cleanup-expired-sessions")
    assert result == {"success": True, "deletedCount": 5, "duration": 0, "message": "Deleted 5 expired sessions"}
    assert await ids(env, "sessions") == ["d", "e", "h", "i", "j"]


async def test_expired_api_keys_are_deleted(env: Environment):
    """A key without expires_at never expires."""
    for key, time in (("a", "2020-01-01 00:00:00"), ("b", None), ("c", "2030-01-01 00:00:00")):
        await env.DB.execute("INSERT INTO api_keys VALUES (:id, 'n', :time)", id=key, time=time)
    result = await clean(env, "cleanup-expired-api-keys")
    assert (result["deletedCount"], result["message"]) == (1, "Deleted 1 expired API keys")
    assert await ids(env, "api_keys") == ["b", "c"]


async def test_old_completed_generations_are_deleted(env: Environment):
    """Completed and older than 30 days, or as many as the payload says."""
    rows = (
        ("a", "completed", "2025-12-01 00:00:00"),
        ("b", "running", "2025-12-01 00:00:00"),
        ("c", "completed", "2026-01-20T00:00:00.000Z"),
    )
    for key, status, time in rows:
        await env.DB.execute("INSERT INTO generations VALUES (:id, :status, :time)", id=key, status=status, time=time)
    assert (await clean(env, "cleanup-old-generations"))["message"] == "Deleted 1 old generations"
    assert await ids(env, "generations") == ["b", "c"]
    assert (await clean(env, "cleanup-old-generations", older_than_days=10))["deletedCount"] == 1


async def test_what_was_deleted_before_a_cancellation_stays_deleted(env: Environment):
    """Each batch is a transaction of its own: nothing is open, nothing is undone."""
    for number in range(50):
        await env.DB.execute("INSERT INTO sessions VALUES (:id, 'u', '2020-01-01')", id=f"{number:02}")
    cleaning = asyncio.create_task(clean(env, "cleanup-expired-sessions", batch_size=1))
    while len(await ids(env, "sessions")) > 40:
        pass
    cleaning.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cleaning
    left = len(await ids(env, "sessions"))
    assert 0 < left <= 40
    assert (await clean(env, "cleanup-expired-sessions"))["deletedCount"] in (left, left - 1)


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("cleanup-expired-sessions", {"batch_size": 0}),
        ("cleanup-expired-sessions", {"batch_size": "many"}),
        ("cleanup-expired-sessions", {"batch_size": True}),
        ("cleanup-old-generations", {"older_than_days": -1}),
        ("cleanup-old-generations", {"older_than_days": 1.5}),
    ],
)
async def test_a_bad_payload_is_refused_for_good(env: Environment, name: str, payload: dict):
    """Naming the field; a retry would not help."""
    with pytest.raises(PermanentFailure, match=f"payload.{next(iter(payload))}"):
        await clean(env, name, **payload)


async def test_a_database_error_is_a_failure_with_its_message(env: Environment):
    """A missing table is told with the binding's name, not swallowed."""
    await env.DB.execute("DROP TABLE sessions")
    with pytest.raises(BindingError, match="DB: no such table: sessions"):
        await clean(env, "cleanup-expired-sessions")


async def test_a_transaction_is_all_or_nothing(env: Environment):
    """Left by an exception, or cancelled in its middle, it leaves nothing and nothing open."""
    with pytest.raises(LookupError):
        async with env.DB.transaction() as transaction:
            await transaction.execute("INSERT INTO sessions VALUES ('a', 'u', NULL)")
            assert await transaction.fetch("SELECT id FROM sessions") == [{"id": "a"}]
            raise LookupError
    inside = asyncio.Event()

    async def hold() -> None:
        async with env.DB.transaction() as transaction:
            await transaction.execute("INSERT INTO sessions VALUES ('b', 'u', NULL)")
            inside.set()
            await asyncio.Event().wait()

    holding = asyncio.create_task(hold())
    await inside.wait()
    holding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await holding
    async with env.DB.transaction() as transaction:
        await transaction.execute("INSERT INTO sessions VALUES ('c', 'u', NULL)")
    assert await ids(env, "sessions") == ["c"]


async def test_bad_sql_is_told_with_the_bindings_name(env: Environment):
    """So that a log line says which service refused."""
    with pytest.raises(BindingError, match="DB: near"):
        await env.DB.execute("SELEKT 1")
    with pytest.raises(BindingError, match="DB: "):
        async with env.DB.transaction() as transaction:
            await transaction.fetch("SELECT * FROM nowhere")


async def test_a_file_of_the_users_own_keeps_its_tables(tmp_path: Path):
    """Tables that are there are used as they are; a file that is no database is refused at the first use."""
    path = tmp_path / "theirs.db"
    with closing(sqlite3.connect(path)) as theirs:
        theirs.execute("CREATE TABLE sessions (id INTEGER PRIMARY KEY, expires_at TEXT)")
        theirs.execute("INSERT INTO sessions VALUES (1, '2020-01-01')")
        theirs.commit()
    env = Environment({"DB": f"sqlite:///{path}"})
    assert (await clean(env, "cleanup-expired-sessions"))["deletedCount"] == 1
    await env.aclose()
    (tmp_path / "text.db").write_text("no database " * 100)
    broken = Environment({"DB": f"sqlite:///{tmp_path}/text.db"})
    with pytest.raises(BindingError, match="file is not a database"):
        await broken.DB.ping()
    await broken.aclose()


@pytest.mark.parametrize("url", ["", "sqlite:///", "sqlite:///:memory:", "mysql://x", "platform.db"])
def test_a_url_that_is_none_is_refused_at_the_start(url: str):
    """The message names the binding."""
    with pytest.raises(ConfigurationError, match=r"bindings\.DB"):
        Environment({"DB": url})


def test_a_binding_that_is_not_configured_is_named(tmp_path: Path):
    """And so are those that are."""
    env = Environment({"DB": f"sqlite:///{tmp_path}/platform.db"})
    with pytest.raises(ConfigurationError, match=r"no binding is named QUEUE \(bindings: DB\)"):
        _ = env.QUEUE


def test_the_default_tasks_are_those_of_the_platform():
    """Names, schedules and categories as the seed has them; each handler is offered."""
    registry = Registry()
    registry.add_module(builtin)
    definitions = builtin.default_definitions()
    assert {each.name: (each.schedule.text, each.category) for each in definitions} == {
        "cleanup-expired-sessions": ("@hourly", "cleanup"),
        "cleanup-expired-api-keys": ("@daily", "cleanup"),
        "cleanup-old-generations": ("@weekly", "cleanup"),
        "generate-missing-embeddings": ("@daily", "ai"),
        "update-analytics": ("@hourly", "analytics"),
        "backup-database": ("@daily", "maintenance"),
        "health-check-services": ("every 5 minutes", "monitoring"),
        "check-rate-limits": ("@hourly", "monitoring"),
    }
    assert all(each.handler in registry and each.effective_description() for each in definitions)
