"""The PostgreSQL adapter: operations when others are in the way, callers that leave, values, errors and their words."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import asyncpg
import pytest
from support.servers.postgres import Postgres

from schedule_grpc.database import Lane, Migration, Table, together, together_with
from schedule_grpc.database import count as counted
from schedule_grpc.database.postgres import database as postgres
from schedule_grpc.database.postgres.commit import THIS_TRANSACTION
from schedule_grpc.database.postgres.database import TRIES, PostgresDatabase
from schedule_grpc.database.postgres.text import shown
from schedule_grpc.database.postgres.transaction import PLANS, SETTINGS
from schedule_grpc.database.set_query import set_query
from schedule_grpc.errors import DatabaseUnavailable

SCHEMA = (Migration(version=1, script="CREATE TABLE t (n BIGINT PRIMARY KEY, said TEXT);\n"),)


@pytest.fixture
async def opened(pg: Postgres, postgres_database: str) -> AsyncIterator[PostgresDatabase]:
    """An open database with a table of unique numbers and texts."""
    found = await PostgresDatabase.open(pg.url(postgres_database), migrations=SCHEMA)
    yield found
    await found.close()


@pytest.fixture
def pg(request: pytest.FixtureRequest) -> Postgres:
    """The server, under a name that is not the adapter's."""
    found: Postgres = request.getfixturevalue("postgres")
    return found


def insert(*numbers: int, said: str = ""):
    """Return an operation that inserts numbers, one by one."""

    def operation():
        for number in numbers:
            yield "INSERT INTO t VALUES (:n, :said)", {"n": number, "said": said}
        return len(numbers)

    return operation


def numbers():
    """Read all numbers."""
    rows = yield "SELECT n FROM t ORDER BY n", {}
    return [row["n"] for row in rows]


def refused(code: str, times: int):
    """Return an operation that the server refuses so often with a SQLSTATE, and counts its tries."""
    tries = count(1)

    def operation():
        yield "INSERT INTO t VALUES (1, '')", {}
        number = next(tries)
        if number <= times:
            yield f"DO $$ BEGIN RAISE EXCEPTION 'in the way' USING ERRCODE = '{code}'; END $$", {}
        return number

    return operation


async def test_what_was_written_is_read(opened: PostgresDatabase):
    """A read after a write sees it, and many sets of values are one statement's."""

    def many():
        found = yield "INSERT INTO t VALUES (:n, '') RETURNING n", [{"n": number} for number in range(3)]
        nothing = yield "INSERT INTO t VALUES (:n, '')", []
        return [row["n"] for row in found], list(nothing)

    assert await opened.write(many) == ([0, 1, 2], [])
    assert await opened.read(numbers) == [0, 1, 2]


ADD = set_query("add", "n BIGINT, said TEXT", "INSERT INTO t SELECT n, said FROM rows WHERE true RETURNING t.said")
SAY = set_query("say", "n BIGINT, said TEXT", "UPDATE t SET said = rows.said FROM rows WHERE t.n = rows.n")
HOLD = set_query(
    "hold", "n BIGINT", "SELECT t.* FROM rows CROSS JOIN t WHERE t.n = rows.n /*postgresql FOR UPDATE OF t */"
)


def of(**columns: list[Any]) -> Table:
    """Return rows of columns."""
    return Table(columns)


async def test_what_shares_a_round_trip(opened: PostgresDatabase):
    """Each answers with what it returns, or with how many rows it wrote, of the database as it was before all."""

    def shared():
        nothing = yield from together((ADD, of(n=[], said=[])))
        added, said = yield from together((ADD, of(n=[2, 3], said=["b", "c"])), (SAY, of(n=[1, 2], said=["A", "B"])))
        rows, (more, none, again) = yield from together_with(
            (HOLD, of(n=[1, 9])),
            (ADD, of(n=[4], said=["d"])),
            (SAY, of(n=[], said=[])),
            (SAY, of(n=[3, 4], said=["C", "D"])),
        )
        return (
            nothing,
            sorted(added),
            counted(said),
            [(row["n"], row["said"]) for row in rows],
            more,
            none,
            counted(again),
        )

    await opened.write(insert(1))
    assert await opened.write(shared) == ([[]], ["b", "c"], 1, [(1, "A")], ["d"], [], 1)
    assert await opened.read(numbers) == [1, 2, 3, 4]


async def test_it_tells_the_transactions_id(opened: PostgresDatabase, monkeypatch: pytest.MonkeyPatch):
    """So nobody asks for it before COMMIT; where nothing shares a round trip, it is asked for."""
    asked: list[str] = []
    fetchrow = postgres.Connection.fetchrow

    async def noted(connection: Any, sql: str, *values: Any) -> Any:
        asked.append(sql)
        return await fetchrow(connection, sql, *values)

    monkeypatch.setattr(postgres.Connection, "fetchrow", noted)

    def shared():
        yield from together((ADD, of(n=[1], said=["a"])))

    await opened.write(shared)
    assert asked == []
    await opened.write(insert(2))
    assert asked == [THIS_TRANSACTION]


async def test_a_first_statement_that_fails_is_undone_with_its_begin(opened: PostgresDatabase):
    """BEGIN was on its way with it: the connection is as it was, and what follows is in a transaction of its own."""

    def wrong():
        yield "SELECT 1 / :n", {"n": 0}

    def none():
        raise LookupError("before any statement")
        yield

    for _ in range(3):
        with pytest.raises(asyncpg.DivisionByZeroError):
            await opened.write(wrong)
        with pytest.raises(LookupError):
            await opened.write(none)
        await opened.try_write()
    assert await opened.write(insert(1)) == 1
    assert await opened.read(numbers) == [1]


async def test_connections_have_the_settings_of_transactions(opened: PostgresDatabase):
    """They need not be said again with each BEGIN; a transaction has them, whatever the database's defaults are."""

    def said():
        found = []
        for name in SETTINGS | PLANS:
            (row,) = yield f"SHOW {name}", {}
            found.append(row[name])
        return found

    assert await opened.write(said) == [*SETTINGS.values(), *PLANS.values()]


async def test_an_operations_own_error_undoes_it_and_reaches_its_caller(opened: PostgresDatabase):
    """What the generator raises is what its caller gets."""

    def operation():
        yield "INSERT INTO t VALUES (7, '')", {}
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await opened.write(operation)
    assert await opened.read(numbers) == []


@pytest.mark.parametrize("code", ["40001", "40P01", "23505"])
async def test_others_were_in_the_way(opened: PostgresDatabase, code: str):
    """A serialization failure, a deadlock, a row that somebody else inserted: tried again, and then there once."""
    assert await opened.write(refused(code, TRIES - 1)) == TRIES
    assert await opened.read(numbers) == [1]


async def test_others_are_always_in_the_way(opened: PostgresDatabase):
    """Tries are bounded, and nothing of them is kept."""
    with pytest.raises(DatabaseUnavailable, match="in the way"):
        await opened.write(refused("40001", TRIES))
    with pytest.raises(asyncpg.UniqueViolationError):
        await opened.write(refused("23505", TRIES))
    assert await opened.read(numbers) == []


async def test_a_real_deadlock(opened: PostgresDatabase):
    """Two operations that lock the same rows in opposite order: both happen."""
    await opened.write(insert(1, 2))
    both = asyncio.Barrier(2)

    def crossing(*order: int) -> Callable[[], Any]:
        def operation():
            for number in order:
                yield "UPDATE t SET said = said || 'x' WHERE n = :n", {"n": number}
                yield "SELECT pg_sleep(0.1)", {}

        return operation

    async def write(*order: int) -> None:
        await both.wait()
        await opened.write(crossing(*order))

    await asyncio.gather(write(1, 2), write(2, 1))

    def said():
        rows = yield "SELECT said FROM t", {}
        return [row["said"] for row in rows]

    assert await opened.read(said) == ["xx", "xx"]


async def test_a_pooler_that_knows_no_statements(opened: PostgresDatabase, other: Any):
    """Statements that somebody deallocated: they are kept no longer, and what was asked for happens."""
    assert opened._prepares is True
    assert await opened.write(insert(1)) == 1
    async with opened._pool.acquire() as connection:
        await connection.execute("DEALLOCATE ALL")
    assert await opened.write(insert(2)) == 1
    assert opened._prepares is False
    assert await opened.write(insert(3)) == 1
    assert await opened.read(numbers) == [1, 2, 3]


async def test_a_column_added_by_another_program(opened: PostgresDatabase, other: Any):
    """Plans that are kept are made anew, in a transaction and outside of one."""

    def all_of_it():
        rows = yield "SELECT * FROM t ORDER BY n", {}
        return [dict(row) for row in rows]

    def more():
        rows = yield "INSERT INTO t (n, said) VALUES ((SELECT count(*) FROM t), '') RETURNING *", {}
        return [row["n"] for row in rows]

    assert await opened.write(more) == [0]
    assert await opened.read(all_of_it) == [{"n": 0, "said": ""}]
    await other.execute("ALTER TABLE t ADD COLUMN team TEXT NOT NULL DEFAULT 'nobody'")
    assert await opened.write(more) == [1]
    assert [row["team"] for row in await opened.read(all_of_it)] == ["nobody", "nobody"]


async def test_a_caller_who_leaves_leaves_no_transaction_open(opened: PostgresDatabase, other: Any):
    """Each write happens whole or not at all, and the one after it is answered."""
    tasks = [asyncio.create_task(opened.write(insert(number, 1000 + number))) for number in range(30)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert await opened.write(insert(5000)) == 1
    if opened._writing:
        await asyncio.wait(opened._writing)
    found = await opened.read(numbers)
    assert {number for number in found if number < 1000} == {n - 1000 for n in found if 1000 <= n < 5000}
    open_ones = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'"
    assert await other.fetchval(open_ones) == 0


async def test_a_reader_who_leaves_leaves_a_connection_that_can_be_used(opened: PostgresDatabase):
    """Cancelled in the midst of a statement, many at once: others read as before."""

    def slow():
        yield "SELECT pg_sleep(5)", {}

    tasks = [asyncio.create_task(opened.read(slow)) for _ in range(postgres.CONNECTIONS)]
    await opened._clock.wait_until(opened._clock.now() + timedelta(milliseconds=200), asyncio.Event())
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert await asyncio.gather(*(opened.read(numbers) for _ in range(20))) == [[]] * 20


async def test_the_engines_reads_and_writes_do_not_wait_for_callers_reads(opened: PostgresDatabase, other: Any):
    """As many of these as there are connections take long: the engine reads and writes meanwhile."""
    await other.execute("SELECT pg_advisory_lock(7)")

    def slow():
        yield "SELECT pg_advisory_lock(7), pg_advisory_unlock(7)", {}

    held = [asyncio.create_task(opened.read(slow)) for _ in range(2 * postgres.CONNECTIONS)]
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    while await other.fetchval(waiting) < postgres.CALLERS_READS:
        pass
    assert await opened.read(numbers, lane=Lane.ENGINE) == []
    await opened.write(insert(1))
    assert not any(read.done() for read in held)
    await other.execute("SELECT pg_advisory_unlock(7)")
    await asyncio.gather(*held)


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Transactions wait for locks no longer than 50 ms."""
    monkeypatch.setitem(postgres.SETTINGS, "lock_timeout", "50ms")


@pytest.mark.usefixtures("short_waits")
async def test_a_row_that_somebody_holds(opened: PostgresDatabase, other: Any):
    """It is waited for a while; then the caller hears that the database cannot be used, and why."""
    await opened.write(insert(1))
    await other.execute("BEGIN; UPDATE t SET said = 'held'")

    def change():
        yield "UPDATE t SET said = 'ours'", {}

    with pytest.raises(DatabaseUnavailable, match="lock timeout"):
        await opened.write(change)
    await other.execute("ROLLBACK")
    await opened.write(change)


async def test_a_server_that_ends_our_connections(opened: PostgresDatabase, other: Any):
    """All of them, as an administrator does: the next calls have new ones, and nobody is told."""
    await asyncio.gather(*(opened.write(insert(number)) for number in range(10)))
    end = """SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE pid <> pg_backend_pid() AND datname = current_database() AND application_name = 'schedule-grpc'"""
    assert await other.fetchval(end) > 0
    assert await opened.write(insert(10)) == 1
    assert len(await opened.read(numbers)) == 11


async def test_a_character_that_postgresql_cannot_keep(opened: PostgresDatabase):
    """NUL in a text, as an error's words may hold: replaced, and all else is kept."""
    await opened.write(insert(1, said="before\x00after"))

    def said():
        (row,) = yield "SELECT said FROM t", {}
        return row["said"]

    assert await opened.read(said) == "before\ufffdafter"


async def test_a_value_that_cannot_be_sent_is_a_fault_of_ours(opened: PostgresDatabase):
    """It is not the database's: nobody is told to try again."""
    with pytest.raises(asyncpg.DataError):
        await opened.write(insert(2**70))


async def test_the_databases_time(opened: PostgresDatabase):
    """By its clock, which is this machine's here."""
    assert abs(await opened.time() - datetime.now(UTC)) < timedelta(seconds=5)


async def test_a_database_that_is_closed(opened: PostgresDatabase):
    """Whoever comes later is told; closing again changes nothing."""
    await opened.close()
    await opened.close()
    with pytest.raises(DatabaseUnavailable, match="closed"):
        await opened.write(insert(1))
    with pytest.raises(DatabaseUnavailable, match="closed"):
        await opened.read(numbers)


@pytest.mark.parametrize(
    "url", ["postgresql://u:s3cr3t@h:5432/d?sslmode=disable", "postgresql://u:s3cr3t@h:5432/d", "postgres://h:5432/d"]
)
def test_what_is_shown_of_a_url(url: str):
    """Neither its password nor its options."""
    assert shown(url).partition("://")[2] == "h:5432/d"
