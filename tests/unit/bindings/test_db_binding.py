"""The DB binding on a real file: what is written stays, what is cancelled leaves nothing open."""

import asyncio
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from schedule_grpc.bindings import Environment
from schedule_grpc.errors import BindingError


@pytest.fixture
async def env(tmp_path: Path):
    """An environment with a DB in a file that does not exist yet."""
    made = Environment({"DB": f"sqlite:///{tmp_path}/platform.db"})
    yield made
    await made.aclose()


async def count(env: Environment) -> int:
    """Return how many sessions there are."""
    rows = await env.DB.fetch("SELECT count(*) AS n FROM sessions")
    found: int = rows[0]["n"]
    return found


async def add(env: Environment, key: str) -> int:
    """Insert a session."""
    changed: int = await env.DB.execute("INSERT INTO sessions VALUES (:id, 'u', NULL)", id=key)
    return changed


async def test_rows_are_dicts_and_writes_tell_how_many_rows_they_changed(env: Environment):
    """By the names of the columns; parameters by name."""
    assert await add(env, "a") == 1
    assert await env.DB.fetch("SELECT * FROM sessions WHERE id = :id", id="a") == [
        {"id": "a", "user_id": "u", "expires_at": None}
    ]
    assert await env.DB.execute("UPDATE sessions SET user_id = 'v'") == 1
    assert await env.DB.execute("DELETE FROM sessions WHERE id = 'nobody'") == 0


@pytest.mark.parametrize("turns", range(12))
async def test_a_transaction_cancelled_at_any_step_leaves_nothing_open(env: Environment, turns: int):
    """Cancelled while BEGIN, the insert or COMMIT is under way: the next transaction finds the file free."""
    await env.DB.ping()

    async def insert() -> None:
        async with env.DB.transaction() as transaction:
            await transaction.execute("INSERT INTO sessions VALUES ('a', 'u', NULL)")

    inserting = asyncio.create_task(insert())
    for _ in range(turns):
        await asyncio.sleep(0)
    inserting.cancel()
    await asyncio.wait([inserting])
    async with env.DB.transaction() as transaction:
        await transaction.execute("INSERT INTO sessions VALUES ('b', 'u', NULL)")
    assert await count(env) in (1, 2)


async def test_a_transaction_cancelled_while_it_begins_leaves_nothing_open(env: Environment, tmp_path: Path):
    """Another process holds the file, BEGIN waits, the caller gives up: BEGIN is undone when it is let in."""
    await env.DB.ping()
    with closing(sqlite3.connect(tmp_path / "platform.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")

        async def insert() -> None:
            async with env.DB.transaction() as transaction:
                await transaction.execute("INSERT INTO sessions VALUES ('a', 'u', NULL)")

        inserting = asyncio.create_task(insert())
        for _ in range(50):
            await asyncio.sleep(0)
        inserting.cancel()
        for _ in range(50):
            await asyncio.sleep(0)
        other.execute("COMMIT")
        await asyncio.wait([inserting])
        assert await add(env, "b") == 1
        assert other.execute("SELECT id FROM sessions").fetchall() == [("b",)]


async def test_writers_wait_for_each_other_and_readers_for_nobody(env: Environment):
    """An open transaction holds back other writes; reads go on and see what was committed before it."""
    order = []

    async def write() -> None:
        await add(env, "b")
        order.append("b")

    async with env.DB.transaction() as transaction:
        await transaction.execute("INSERT INTO sessions VALUES ('a', 'u', NULL)")
        writing = asyncio.create_task(write())
        assert await count(env) == 0
        order.append("a")
    await writing
    assert (order, await count(env)) == (["a", "b"], 2)


async def test_a_failed_statement_undoes_its_transaction_and_the_next_one_works(env: Environment):
    """The error names the binding and the table."""
    with pytest.raises(BindingError, match=r"DB: UNIQUE constraint failed: sessions\.id") as caught:
        async with env.DB.transaction() as transaction:
            await transaction.execute("INSERT INTO sessions VALUES ('a', 'u', NULL)")
            await transaction.execute("INSERT INTO sessions VALUES ('a', 'u', NULL)")
    assert caught.value.details == {"binding": "DB"}
    await add(env, "a")
    assert await count(env) == 1


async def test_committed_rows_are_there_for_whoever_opens_the_file_next(env: Environment, tmp_path: Path):
    """Closed and opened again; the tables that were there are kept."""
    await add(env, "a")
    await env.aclose()
    again = Environment({"DB": f"sqlite:///{tmp_path}/platform.db"})
    assert await count(again) == 1
    await again.aclose()


@pytest.mark.parametrize("place", ["missing/platform.db", "."])
async def test_a_place_that_is_none_is_told_with_binding_and_path(tmp_path: Path, place: str):
    """A folder that does not exist, a folder instead of a file; later, once it exists, the binding works."""
    env = Environment({"DB": f"sqlite:///{tmp_path}/{place}"})
    with pytest.raises(
        BindingError, match=rf"DB: {tmp_path}.*(unable to open database file|No such file or directory)"
    ):
        await env.DB.ping()
    (tmp_path / "missing").mkdir()
    if place != ".":
        await env.DB.ping()
    await env.aclose()


async def test_every_table_of_the_platform_is_made(env: Environment):
    """The names that the built-in tasks expect."""
    rows = await env.DB.fetch("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    assert [row["name"] for row in rows] == [
        "analytics_snapshots",
        "api_keys",
        "api_requests",
        "embeddings",
        "entities",
        "generations",
        "queue_jobs",
        "sessions",
    ]


async def test_no_thread_outlives_a_cancelled_opening(tmp_path: Path):
    """A caller gives up while the file is being opened: what was opened is closed, at whichever step it was."""

    def workers() -> set[threading.Thread]:
        return {thread for thread in threading.enumerate() if "_connection_worker" in thread.name}

    before = workers()
    for turns in range(12):
        env = Environment({"DB": f"sqlite:///{tmp_path}/platform{turns}.db"})
        opening = asyncio.create_task(env.DB.ping())
        for _ in range(turns):
            await asyncio.sleep(0)
        opening.cancel()
        await asyncio.wait([opening])
        await env.aclose()
    left = workers() - before
    for thread in left:
        await asyncio.to_thread(thread.join, 10)
    assert not any(thread.is_alive() for thread in left)


@pytest.mark.parametrize("method", ["fetch", "execute"])
async def test_closing_does_not_wait_for_an_endless_statement(env: Environment, method: str):
    """Its caller was cancelled, the statement was not: closing interrupts it, or a stopping server would hang."""
    await env.DB.ping()
    endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    asking = asyncio.create_task(getattr(env.DB, method)(endless))
    for _ in range(10):
        await asyncio.sleep(0)
    asking.cancel()
    await asyncio.wait([asking])
    await env.aclose()
