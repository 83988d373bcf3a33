"""The SQLite adapter: group commit, isolation of operations, cancellation, and files that must not be used."""

import asyncio
import os
import re
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import aiosqlite
import pytest

from schedule_grpc.database import Lane, Migration, SqliteDatabase, load_queries
from schedule_grpc.errors import DatabaseRefused, DatabaseUnavailable
from schedule_grpc.events import Hub
from schedule_grpc.store import open_store

SCHEMA = (Migration(version=1, script="CREATE TABLE t (n INTEGER PRIMARY KEY);\nCREATE TABLE u (n INTEGER);\n"),)
APPLICATION = 42
READERS = (Lane.ENGINE, Lane.CALLERS, Lane.CALLERS)
"""Reads in turn, so that each reader has one."""


@pytest.fixture
async def opened(database: Path):
    """An open database with a table t of unique numbers."""
    found = await SqliteDatabase.open(database, migrations=SCHEMA, application_id=APPLICATION)
    yield found
    await found.close()


def insert(*numbers: int):
    """Return an operation that inserts numbers, one by one."""

    def operation():
        for number in numbers:
            yield "INSERT INTO t VALUES (:n)", {"n": number}
        return len(numbers)

    return operation


def numbers():
    """Read all numbers."""
    rows = yield "SELECT n FROM t ORDER BY n", {}
    return [row["n"] for row in rows]


async def test_what_was_written_is_read(opened: SqliteDatabase):
    """A read after a write sees it."""
    assert await opened.write(insert(1, 2)) == 2
    assert await opened.read(numbers) == [1, 2]


async def test_a_failing_operation_takes_nothing_with_it(opened: SqliteDatabase):
    """In one batch, one operation breaks a constraint half way: its part is undone, the others stay."""
    results = await asyncio.gather(
        opened.write(insert(1)),
        opened.write(insert(2, 3, 1)),
        opened.write(insert(4)),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [int, sqlite3.IntegrityError, int]
    assert await opened.read(numbers) == [1, 4]


async def test_an_operations_own_error_undoes_it_and_reaches_its_caller(opened: SqliteDatabase):
    """What the generator raises is what its caller gets."""

    def operation():
        yield "INSERT INTO t VALUES (7)", {}
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await opened.write(operation)
    assert await opened.read(numbers) == []


async def test_operations_that_wait_together_share_a_commit(opened: SqliteDatabase):
    """64 writes at once need far fewer transactions than 64."""
    commits = []
    await opened._connections[0].run(lambda raw: raw.set_trace_callback(commits.append))
    await asyncio.gather(*(opened.write(insert(number)) for number in range(64)))
    await opened._connections[0].run(lambda raw: raw.set_trace_callback(None))
    assert commits.count("COMMIT") <= 3


async def test_when_the_transaction_is_lost_only_the_refused_are_refused(opened: SqliteDatabase):
    """A full disk loses the whole batch: it is run again one by one, and the small ones succeed."""
    raw_pages = await opened._connections[0].run(lambda raw: raw.execute("PRAGMA page_count").fetchone()[0])
    await opened._connections[0].run(lambda raw: raw.execute(f"PRAGMA max_page_count = {raw_pages + 2}").fetchone())

    def large():
        yield "CREATE TABLE filler AS SELECT zeroblob(100000) AS z", {}

    results = await asyncio.gather(
        opened.write(insert(1)), opened.write(large), opened.write(insert(2)), return_exceptions=True
    )
    assert [type(result) for result in results] == [int, DatabaseUnavailable, int]
    assert await opened.read(numbers) == [1, 2]


async def test_a_cancelled_caller_leaves_no_transaction_open(opened: SqliteDatabase):
    """Fifty writes are cancelled at once; the next one works, and each happened whole or not at all."""
    tasks = [asyncio.create_task(opened.write(insert(number, 1000 + number))) for number in range(50)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await opened.write(insert(5000))
    found = await opened.read(numbers)
    assert found[-1] == 5000
    assert {number % 1000 for number in found[:-1] if number < 1000} == {
        number % 1000 for number in found[:-1] if number >= 1000
    }


async def test_what_was_committed_is_told_even_if_the_caller_left(opened: SqliteDatabase):
    """The hook is called with the result although nobody waits for it any more."""
    told = asyncio.Event()
    writing = asyncio.create_task(opened.write(insert(1), committed=lambda _: told.set()))
    for _ in range(3):  # the caller hands its operation in, the writer takes it
        await asyncio.sleep(0)
    writing.cancel()
    await told.wait()
    assert await opened.read(numbers) == [1]


async def test_a_file_locked_by_another_process_is_unavailable(opened: SqliteDatabase, database: Path, monkeypatch):
    """Somebody else holds the write lock longer than we wait: the caller is told, later writes work."""
    await opened._connections[0].run(lambda raw: raw.execute("PRAGMA busy_timeout = 10").fetchone())
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseUnavailable, match="locked"):
            await opened.write(insert(1))
        other.execute("ROLLBACK")
    await opened.write(insert(2))
    assert await opened.read(numbers) == [2]


async def test_a_connection_that_met_an_io_error_is_replaced(opened: SqliteDatabase):
    """What it has in memory may never have been in the file; another error leaves it as it is."""
    former = list(opened._connections)

    def failing(code: int):
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = code

        def operation():
            yield "SELECT 1", {}
            raise error

        return operation

    for code, kept in ((sqlite3.SQLITE_BUSY, True), (sqlite3.SQLITE_IOERR_READ, False)):
        with pytest.raises(DatabaseUnavailable):
            await opened.write(failing(code))
        for lane in READERS:
            with pytest.raises(DatabaseUnavailable):
                await opened.read(failing(code), lane=lane)
        await opened.write(insert(code))
        for lane in READERS:
            assert code in await opened.read(numbers, lane=lane)
        assert [now is then for now, then in zip(opened._connections, former, strict=True)] == [kept] * 4


async def test_the_engines_reads_do_not_wait_for_callers(opened: SqliteDatabase):
    """Many callers' reads take long: the engine reads meanwhile."""
    go_on = threading.Event()

    def slow():
        yield "SELECT 1", {}
        go_on.wait(60)

    held = [asyncio.create_task(opened.read(slow)) for _ in range(10)]
    assert await opened.read(numbers, lane=Lane.ENGINE) == []
    assert not any(read.done() for read in held)
    go_on.set()
    await asyncio.gather(*held)


async def test_a_closed_database_is_unavailable(database: Path):
    """Reads and writes after the end are refused, and closing twice is harmless."""
    found = await SqliteDatabase.open(database, migrations=SCHEMA, application_id=APPLICATION)
    await found.close()
    await found.close()
    with pytest.raises(DatabaseUnavailable):
        await found.write(insert(1))
    with pytest.raises(DatabaseUnavailable):
        await found.read(numbers)


async def test_writes_are_synced_to_disk(opened: SqliteDatabase):
    """WAL with synchronous=FULL (2): what was acknowledged survives a power cut."""
    modes = await opened._connections[0].run(
        lambda raw: [raw.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
    )
    assert modes == ["wal", 2]


async def test_readers_cannot_write(opened: SqliteDatabase):
    """A reading operation that writes is refused."""
    with pytest.raises(DatabaseUnavailable, match="readonly"):
        await opened.read(insert(1))


def test_aiosqlite_still_has_what_we_build_on():
    """The whole batch goes to the connection's thread through _execute and _conn."""
    assert callable(aiosqlite.Connection._execute)
    assert isinstance(aiosqlite.Connection._conn, property)


async def test_a_second_server_on_the_file_is_refused(opened: SqliteDatabase, database: Path):
    """The message names the process that holds it; a symbolic link leads to the same lock."""
    link = database.with_name("link.db")
    link.symlink_to(database)
    for path in (database, link):
        with pytest.raises(DatabaseRefused, match=rf"another schedule-grpc server \(process {os.getpid()}\)"):
            await SqliteDatabase.open(path, migrations=SCHEMA, application_id=APPLICATION)


async def test_the_lock_is_free_after_the_end(database: Path):
    """Opened, closed, opened again."""
    for _ in range(2):
        found = await SqliteDatabase.open(database, migrations=SCHEMA, application_id=APPLICATION)
        await found.close()


def make_foreign(path: Path) -> None:
    """Make a SQLite database of another application."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (n INTEGER)")
        connection.commit()


def make_newer(path: Path) -> None:
    """Make a database of a later version of ours."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA application_id = 0x53434844")
        connection.execute("PRAGMA user_version = 999")
        connection.execute("CREATE TABLE t (n INTEGER)")
        connection.commit()


def make_damaged(path: Path) -> None:
    """Make a database of ours whose pages are overwritten."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA application_id = 0x53434844")
        connection.execute("CREATE TABLE t (text TEXT)")
        connection.execute("CREATE INDEX i ON t (text)")
        connection.executemany("INSERT INTO t VALUES (?)", [(f"{n:0100}",) for n in range(1000)])
        connection.commit()
    content = bytearray(path.read_bytes())
    content[8192:40960] = b"\xff" * 32768
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_text("hello, I am no database at all\n" * 20), "is not a SQLite database"),
        (lambda path: path.write_bytes(b"SQLite format 3\x00"), "is not a SQLite database"),
        (make_foreign, "of another application"),
        (make_newer, "schema version 999, of a newer schedule-grpc"),
        (make_damaged, "is damaged"),
        (lambda path: path.mkdir(), "is not a file"),
    ],
)
async def test_a_file_that_must_not_be_used_is_refused_and_left_as_it_was(database: Path, make, reason: str):
    """Clear words, and not a byte of the file changed."""
    make(database)
    before = database.read_bytes() if database.is_file() else None
    with pytest.raises(DatabaseRefused, match=reason):
        await open_store(database, Hub())
    assert (database.read_bytes() if database.is_file() else None) == before


async def test_a_missing_folder_is_refused(tmp_path: Path):
    """The message names the folder."""
    with pytest.raises(DatabaseRefused, match="nowhere"):
        await open_store(tmp_path / "nowhere" / "schedule.db", Hub())


async def test_a_creation_that_was_cut_off_leaves_no_file_in_the_way(database: Path):
    """A half-made file of an earlier start is beside the place, and is made anew."""
    database.with_name(database.name + ".creating").write_bytes(b"half")
    await (await open_store(database, Hub())).close()
    assert database.exists()


async def test_a_failing_migration_leaves_the_old_version(database: Path):
    """The second step breaks: version 1 stands, and its table has its row."""
    found = await SqliteDatabase.open(database, migrations=SCHEMA, application_id=APPLICATION)
    await found.write(insert(1))
    await found.close()
    broken = (*SCHEMA, Migration(version=2, script="CREATE TABLE v (n);\nINSERT INTO nowhere VALUES (1);\n"))
    with pytest.raises(DatabaseRefused, match="nowhere"):
        await SqliteDatabase.open(database, migrations=broken, application_id=APPLICATION)
    again = await SqliteDatabase.open(database, migrations=SCHEMA, application_id=APPLICATION)
    assert await again.read(numbers) == [1]
    await again.close()


def test_every_query_has_a_name_of_its_own_and_a_sentence():
    """The loader refuses doubles and unknown names; each query's head is followed by a comment."""
    queries = load_queries("schedule_grpc.store", "sql/tasks.sql", "sql/executions.sql", "sql/queue.sql")
    with pytest.raises(ValueError, match="two queries are named find_task"):
        load_queries("schedule_grpc.store", "sql/tasks.sql", "sql/tasks.sql")
    with pytest.raises(AttributeError, match="nothing"):
        _ = queries.nothing
    for file in Path(load_queries.__code__.co_filename).parents[1].glob("store/sql/*.sql"):
        heads = re.findall(r"^-- name: .*\n((?:-- .*\n)*)", file.read_text(), re.MULTILINE)
        assert heads
        assert all(comment.endswith((".\n", ")\n")) for comment in heads)


async def test_reads_that_wait_together_share_a_turn(opened: SqliteDatabase):
    """What several wait for is read once; each is answered or refused. What no caller waits for is not read."""
    await opened.write(insert(1, 2))
    begun: list[str] = []

    def failing():
        begun.append("failing")
        yield "SELECT 1", {}
        raise ZeroDivisionError

    def refused():
        begun.append("refused")
        yield "SELECT * FROM nowhere", {}

    def left():
        begun.append("left")
        yield "SELECT 1", {}

    turns = []
    for connection in opened._connections[1:]:
        await connection.run(lambda raw: raw.set_trace_callback(turns.append))
    gone = asyncio.create_task(opened.read(left))
    reads = [asyncio.create_task(opened.read(each)) for each in (failing, numbers, refused, numbers, failing, refused)]
    await asyncio.sleep(0)
    gone.cancel()
    answers = await asyncio.gather(*reads, return_exceptions=True)
    assert [type(each) for each in answers[::2]] == [ZeroDivisionError, DatabaseUnavailable, ZeroDivisionError]
    assert (answers[1], answers[3], type(answers[5])) == ([1, 2], [1, 2], DatabaseUnavailable)
    assert sorted(begun) == ["failing", "refused"]
    assert turns.count("BEGIN") == turns.count("COMMIT") == 1


async def test_what_waits_for_a_long_turn_is_read_elsewhere(opened: SqliteDatabase):
    """One slow read holds up no others, but for those of its own turn."""
    await opened.write(insert(1))
    begun, ended = threading.Event(), threading.Event()

    def slow():
        begun.set()
        yield "SELECT 1", {}
        ended.wait()

    held = asyncio.create_task(opened.read(slow))
    await asyncio.to_thread(begun.wait)
    assert await asyncio.gather(*(opened.read(numbers) for _ in range(3))) == [[1]] * 3
    assert not held.done()
    ended.set()
    await held


async def test_what_is_being_read_is_read_to_its_end_before_the_database_closes(opened: SqliteDatabase):
    """A reader that waits for its turn is answered."""
    await opened.write(insert(3))
    reads = [asyncio.create_task(opened.read(numbers)) for _ in range(100)]
    await asyncio.sleep(0)
    await opened.close()
    assert await asyncio.gather(*reads) == [[3]] * 100
