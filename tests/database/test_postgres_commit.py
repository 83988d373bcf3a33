"""Connections that are lost at COMMIT: what was asked for happens once, or its caller is told that nobody knows."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import asyncpg
import pytest
from support.servers import postgres as postgres_server
from support.servers.postgres import Postgres
from support.servers.tcp_proxy import AtCommit, TcpProxy

from schedule_grpc.database import Migration
from schedule_grpc.database.postgres import commit as postgres_commit
from schedule_grpc.database.postgres import database as postgres
from schedule_grpc.database.postgres.commit import TransactionId, was_committed
from schedule_grpc.database.postgres.database import PostgresDatabase
from schedule_grpc.database.postgres.errors import FROM_OUTSIDE
from schedule_grpc.errors import DatabaseUnavailable
from schedule_grpc.runtime.clock import SystemClock

SCHEMA = (Migration(version=1, script="CREATE TABLE t (n BIGINT);\n"),)


@pytest.fixture
async def proxy(postgres: Postgres) -> AsyncIterator[TcpProxy]:
    """What stands between us and the server."""
    async with TcpProxy(postgres.socket).open() as listening:
        yield listening


@pytest.fixture
async def opened(
    proxy: TcpProxy, postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[PostgresDatabase]:
    """A database behind that, with a table of numbers that may be there twice; answers are waited for half a second."""
    monkeypatch.setattr(postgres, "ANSWER_SECONDS", 0.5)
    found = await PostgresDatabase.open(proxy.url(postgres_database), migrations=SCHEMA)
    proxy.met.clear()
    yield found
    await found.close()


def insert():
    """Insert a number."""
    yield "INSERT INTO t VALUES (1)", {}


def number():
    """Count the numbers."""
    (row,) = yield "SELECT count(*) AS number FROM t", {}
    return row["number"]


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("fate", [AtCommit.CUT_BEFORE, AtCommit.CUT_AFTER])
async def test_cut(opened: PostgresDatabase, proxy: TcpProxy, fate: AtCommit, reset: bool):
    """The database is asked what became of it: committed, or done again."""
    proxy.resets = reset
    proxy.commits.append(fate)
    await opened.write(insert)
    assert await opened.read(number) == 1
    assert proxy.met[0] is fate


@pytest.mark.parametrize(("fate", "happened"), [(AtCommit.SILENT_BEFORE, 0), (AtCommit.SILENT_AFTER, 1)])
async def test_silence(opened: PostgresDatabase, proxy: TcpProxy, fate: AtCommit, happened: int):
    """What waits for a COMMIT that never comes is ended, and its caller told; what is committed is committed."""
    proxy.commits.append(fate)
    if happened:
        await opened.write(insert)
    else:
        with pytest.raises(DatabaseUnavailable, match="cannot be used"):
            await opened.write(insert)
    assert await opened.read(number) == happened


async def test_cut_again_and_again(opened: PostgresDatabase, proxy: TcpProxy):
    """At each try: its caller is told that it did not happen."""
    proxy.commits += [AtCommit.CUT_BEFORE] * postgres.TRIES_IF_LOST
    with pytest.raises(DatabaseUnavailable):
        await opened.write(insert)
    assert await opened.read(number) == 0


async def test_nobody_can_be_asked(opened: PostgresDatabase, proxy: TcpProxy, monkeypatch: pytest.MonkeyPatch):
    """The network goes with the connection: after a while its caller is told that it may have happened."""
    monkeypatch.setattr(postgres_commit, "PATIENCE", 0.5)
    proxy.commits.append(AtCommit.CUT_AFTER)
    proxy.after_cut = proxy.fall_silent
    with pytest.raises(DatabaseUnavailable, match="cannot be asked what became of it"):
        await opened.write(insert)
    proxy.pass_on()
    assert await opened.read(number) == 1


async def test_a_number_of_another_life(other: asyncpg.Connection):
    """A crash may have given it to another transaction: `committed` says nothing then, all else that ours is gone."""
    clock = SystemClock()
    committed = await other.fetchval("SELECT pg_current_xact_id()::text")
    with pytest.raises(DatabaseUnavailable, match="cannot say what became of it"):
        await was_committed(TransactionId(committed, "before"), other.fetchrow, clock)
    to_come = TransactionId(str(int(committed) + 1_000_000), "before")
    assert await was_committed(to_come, other.fetchrow, clock) is False
    await other.execute("BEGIN")
    undone = TransactionId(await other.fetchval("SELECT pg_current_xact_id()::text"), "before")
    assert await was_committed(undone, other.fetchrow, clock) is False
    await other.execute("ROLLBACK")
    assert await was_committed(undone, other.fetchrow, clock) is False


@pytest.mark.timeout(180)
async def test_a_crash_begins_another_life():
    """A backend that is killed takes the server's memory with it, though its postmaster lives on."""
    with postgres_server.serving() as server:
        # After a crash every file is synced: on a busy disk that takes minutes.
        server.psql("ALTER SYSTEM SET fsync = off;\nSELECT pg_reload_conf()", "postgres")
        connection = await asyncpg.connect(server.url("postgres"))
        before = await connection.fetchval(postgres_commit.LIFE)
        os.kill(connection.get_server_pid(), signal.SIGKILL)
        async with asyncio.timeout(60):
            while await life(server) in (None, before):  # noqa: ASYNC110 (the server has no event for it)
                await asyncio.sleep(0.05)


async def life(server: Postgres) -> str | None:
    """Return which life of a server answers; None while none does."""
    try:
        connection = await asyncpg.connect(server.url("postgres"))
        found: str = await connection.fetchval(postgres_commit.LIFE)
        await connection.close()
    except FROM_OUTSIDE:
        return None
    return found
