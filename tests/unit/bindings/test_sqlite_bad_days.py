"""The DB binding on a SQLite file that others hold, damage or take away."""

import asyncio
import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from schedule_grpc.bindings import Environment
from schedule_grpc.errors import BindingError
from schedule_grpc.testing import FakeClock

NOW = datetime(2026, 1, 31, 10, tzinfo=UTC)
ENDLESS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the DB is."""
    return tmp_path / "platform.db"


@pytest.fixture
async def env(file: Path):
    """An environment with a DB that waits for other writers 25 ms, half its timeout."""
    made = Environment({"DB": {"url": f"sqlite:///{file}", "timeout": "50ms"}}, clock=FakeClock(NOW))
    await made.DB.ping()
    yield made
    await made.aclose()


@pytest.fixture
def other(file: Path, env: Environment):
    """Another program's connection to the file."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        yield connection


async def test_a_file_that_another_writer_holds_can_be_read_and_later_written(env: Environment, other):
    """A write fails after half the timeout, saying why, and leaves nothing; the next one, once it is free, works."""
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(BindingError, match=r"^DB: database is locked$"):
        await env.DB.execute("INSERT INTO sessions (id) VALUES ('a')")
    with pytest.raises(BindingError, match=r"^DB: database is locked$"):
        async with env.DB.transaction():
            pass
    assert await env.DB.fetch("SELECT id FROM sessions") == []
    await env.ping("DB")
    other.execute("COMMIT")
    assert await env.DB.execute("INSERT INTO sessions (id) VALUES ('a')") == 1


@pytest.mark.parametrize("method", ["fetch", "execute"])
async def test_a_statement_that_takes_too_long_is_stopped(file: Path, method: str):
    """Its caller is told after the timeout, and the thread is free for the next one: nothing goes on unseen."""
    clock = FakeClock(NOW)
    env = Environment({"DB": {"url": f"sqlite:///{file}", "timeout": "7s"}}, clock=clock)
    await env.DB.ping()
    asking = asyncio.create_task(getattr(env.DB, method)(ENDLESS))
    await clock.advance(7)
    with pytest.raises(BindingError, match=r"^DB: no answer within 7s$"):
        await asking
    assert await env.DB.fetch("SELECT 1 AS one") == [{"one": 1}]
    assert await env.DB.execute("INSERT INTO sessions (id) VALUES ('a')") == 1
    await env.aclose()


async def test_what_waits_behind_a_slow_statement_and_is_given_up_never_happens(file: Path):
    """A write whose caller has gone before its turn came is left out."""
    clock = FakeClock(NOW)
    env = Environment({"DB": {"url": f"sqlite:///{file}", "timeout": "7s"}}, clock=clock)
    await env.DB.ping()
    slow = asyncio.create_task(env.DB.execute(ENDLESS))
    await clock.advance(6)
    late = asyncio.create_task(env.DB.execute("INSERT INTO sessions (id) VALUES ('a')"))
    await clock.advance(0.5)
    late.cancel()
    await clock.advance(0.5)
    gone, cancelled = await asyncio.gather(slow, late, return_exceptions=True)
    assert (str(gone), type(cancelled)) == ("DB: no answer within 7s", asyncio.CancelledError)
    assert await env.DB.fetch("SELECT id FROM sessions") == []
    await env.aclose()


async def test_a_statement_does_not_slip_out_of_a_transaction_that_was_undone(file: Path):
    """SQLite undoes the transaction of a write that is stopped; who goes on in it is told, and nothing is kept."""
    clock = FakeClock(NOW)
    env = Environment({"DB": {"url": f"sqlite:///{file}", "timeout": "7s"}}, clock=clock)
    writer = (await env.DB)._writer
    with pytest.raises(BindingError, match=r"^DB: the transaction was undone, by an earlier error in it$"):
        async with env.DB.transaction() as transaction:
            await transaction.execute("INSERT INTO sessions (id) VALUES ('a')")
            writing = asyncio.create_task(transaction.execute(f"INSERT INTO sessions (id) {ENDLESS}"))
            while writer._doing is None:  # noqa: ASYNC110 (it begins on a thread)
                await asyncio.sleep(0)
            await clock.advance(7)
            with pytest.raises(BindingError, match="no answer within 7s"):
                await writing
            await transaction.execute("INSERT INTO sessions (id) VALUES ('b')")
    assert await env.DB.fetch("SELECT id FROM sessions") == []
    await env.aclose()


async def test_closing_ends_what_is_in_use(env: Environment, other):
    """A query, and a transaction in its middle: their callers get an error that says so; what was done is undone."""
    inside = asyncio.Event()

    async def work() -> None:
        async with env.DB.transaction() as transaction:
            await transaction.execute("INSERT INTO sessions (id) VALUES ('a')")
            inside.set()
            await transaction.execute(ENDLESS)

    reading = asyncio.create_task(env.DB.fetch(ENDLESS))
    working = asyncio.create_task(work())
    await inside.wait()
    await env.aclose()
    for task in (reading, working):
        with pytest.raises(BindingError, match=r"^DB: is closed$"):
            await task
    assert other.execute("SELECT count(*) FROM sessions").fetchone() == (0,)


@pytest.mark.parametrize("replaced", [False, True])
async def test_a_file_that_was_taken_away_under_us_is_noticed(env: Environment, file: Path, replaced: bool):
    """What we write goes nowhere then, although every statement succeeds: a health check must say so."""
    file.unlink()
    if replaced:
        sqlite3.connect(file).close()
        file.write_bytes(b"")
    assert await env.DB.fetch("SELECT 1 AS one") == [{"one": 1}]
    with pytest.raises(BindingError, match=f"^DB: {file}: was removed or replaced while it was open$"):
        await env.ping("DB")


async def test_a_damaged_file_is_told_not_used(file: Path):
    """Its first page is whole, the rest is not."""
    first = Environment({"DB": f"sqlite:///{file}"})
    await first.DB.ping()
    await first.aclose()
    content = file.read_bytes()
    file.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    env = Environment({"DB": f"sqlite:///{file}"})
    with pytest.raises(BindingError, match=r"^DB: .*malformed"):
        await env.DB.fetch("SELECT * FROM sessions")
    await env.aclose()


async def test_a_missing_table_is_told_with_its_name(env: Environment):
    """And the binding's."""
    with pytest.raises(BindingError, match=r"^DB: no such table: nowhere$"):
        await env.DB.fetch("SELECT * FROM nowhere")


async def test_a_value_that_cannot_be_stored_is_refused(env: Environment):
    """A number that is too large; an object."""
    for value in (2**63, object()):
        with pytest.raises(BindingError, match=r"^DB: "):
            await env.DB.execute("INSERT INTO sessions (id) VALUES (:id)", id=value)


async def test_times_are_stored_as_the_platform_writes_them(env: Environment):
    """Instants as text in UTC; a day as its date; an instant without a zone is none."""
    given = {"instant": datetime.fromisoformat("2026-01-31T12:00:00.1239+02:00"), "day": date(2026, 1, 31)}
    assert await env.DB.fetch("SELECT :instant AS instant, :day AS day", **given) == [
        {"instant": "2026-01-31T10:00:00.123Z", "day": "2026-01-31"}
    ]
    with pytest.raises(ValueError, match="is not aware"):
        await env.DB.execute("UPDATE sessions SET expires_at = :when", when=NOW.replace(tzinfo=None))


async def test_rows_that_a_write_returns_are_counted_whole(env: Environment):
    """`RETURNING` makes a statement stop at each row; a statement that changes none counts none."""
    counted = "INSERT INTO sessions (id) VALUES ('a'), ('b'), ('c') RETURNING id"
    assert await env.DB.execute(counted) == 3
    assert await env.DB.execute("SELECT * FROM sessions") == 0
    assert await env.DB.execute("CREATE TABLE more (id TEXT)") == 0
    assert await env.DB.dialect() == "sqlite"


@pytest.mark.parametrize(
    "theirs",
    [
        "CREATE TABLE queue_jobs (id TEXT)",
        """CREATE TABLE queue_jobs (id TEXT, status TEXT, dedupe_key TEXT);
        INSERT INTO queue_jobs VALUES ('a', 'queued', 'k'), ('b', 'queued', 'k')""",
    ],
    ids=["other-columns", "twice-the-key"],
)
async def test_a_users_own_table_that_does_not_suit_the_index_is_kept(file: Path, theirs: str):
    """The file is opened all the same, with its rows."""
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(theirs)
        rows = connection.execute("SELECT * FROM queue_jobs").fetchall()
    env = Environment({"DB": f"sqlite:///{file}"})
    assert [tuple(row.values()) for row in await env.DB.fetch("SELECT * FROM queue_jobs")] == rows
    await env.aclose()
