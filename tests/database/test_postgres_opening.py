"""Opening a PostgreSQL database: what is refused and left as it was, who migrates, and words between servers."""

import asyncio
from typing import Any

import asyncpg
import pytest
from support.servers.postgres import Postgres

from schedule_grpc.database import Migration
from schedule_grpc.database.postgres.database import PostgresDatabase, look
from schedule_grpc.database.postgres.migrate import TRIES
from schedule_grpc.database.postgres.notifications import NotificationConnection
from schedule_grpc.errors import ConfigurationError, DatabaseRefused

FIRST = Migration(version=1, script="CREATE TABLE t (n BIGINT);\n")
SECOND = Migration(version=2, script="CREATE TABLE u (n BIGINT);\n")
ADDED = Migration(version=2, script="-- Programs of version 1 can work with it.\nALTER TABLE t ADD COLUMN m BIGINT;\n")
BROKEN = Migration(version=2, script="CREATE TABLE u (n BIGINT);\nSELECT 1/0;\n")
BOTH = Migration(
    version=3,
    script="ALTER TABLE t ADD m BIGINT;\nSELECT pg_advisory_xact_lock(42);\nALTER TABLE u ADD m BIGINT;\n",
)
PASSWORD = "s3cr3t-w0rd"


@pytest.fixture
def url(postgres: Postgres, postgres_database: str) -> str:
    """An empty database's URL."""
    return postgres.url(postgres_database)


async def opened(url: str, *migrations: Migration) -> None:
    """Open and close a database."""
    await (await PostgresDatabase.open(url, migrations=migrations)).close()


async def tables(connection: Any) -> list[str]:
    """Return the names of a database's tables."""
    rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
    return [row["tablename"] for row in rows]


async def test_versions_one_by_one(url: str, other: asyncpg.Connection):
    """An empty database, an older one, one that is up to date; looking changes nothing."""
    assert await look(url, [FIRST]) is None
    await opened(url, FIRST)
    assert await look(url, [FIRST, SECOND]) == 1
    await opened(url, FIRST, SECOND)
    await opened(url, FIRST, SECOND)
    assert await look(url, [FIRST, SECOND]) == 2
    assert await tables(other) == ["schedule_schema", "t", "u"]


async def test_a_migration_that_fails_is_undone(url: str, other: asyncpg.Connection):
    """Up to the version before; the reason is told."""
    with pytest.raises(DatabaseRefused, match="division by zero"):
        await opened(url, FIRST, BROKEN)
    assert await tables(other) == ["schedule_schema", "t"]
    await opened(url, FIRST, SECOND)


async def test_a_deadlocks_victim_begins_again(url: str, other: asyncpg.Connection):
    """Whoever works beside it locks the same tables the other way round: it is undone, and then goes through."""
    await opened(url, FIRST, SECOND)
    name = await other.fetchval("SELECT current_database()")
    await other.execute(f"ALTER DATABASE {name} SET deadlock_timeout = '10ms'")
    await other.execute("SET deadlock_timeout = '1h'")  # who looks first is the victim
    keeper = await asyncpg.connect(url)
    await keeper.execute("SELECT pg_advisory_lock(42)")
    await other.execute("BEGIN; LOCK TABLE u IN ROW EXCLUSIVE MODE")
    migrating = asyncio.create_task(opened(url, FIRST, SECOND, BOTH))
    await waiting(keeper, "advisory")
    locking = asyncio.create_task(other.execute("LOCK TABLE t IN ROW EXCLUSIVE MODE"))
    await waiting(keeper, "relation")
    await keeper.execute("SELECT pg_advisory_unlock(42)")
    await locking
    assert not migrating.done()
    await other.execute("COMMIT")
    await migrating
    await keeper.close()
    assert await look(url, [FIRST, SECOND, BOTH]) == BOTH.version


async def test_a_step_that_is_always_the_victim_is_given_up(url: str, other: asyncpg.Connection):
    """After five tries, with the reason; and undone."""
    await other.execute(
        "CREATE SEQUENCE tries; CREATE FUNCTION fails() RETURNS int LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM nextval('tries'); RAISE 'too many' USING ERRCODE = 'deadlock_detected'; END $$"
    )
    with pytest.raises(DatabaseRefused, match="too many"):
        await opened(url, FIRST, Migration(version=2, script="CREATE TABLE u (n BIGINT);\nSELECT fails();\n"))
    assert await other.fetchval("SELECT last_value FROM tries") == TRIES
    assert await tables(other) == ["schedule_schema", "t"]


async def waiting(connection: asyncpg.Connection, kind: str) -> None:
    """Wait until somebody waits for a lock of a kind."""
    waits = "SELECT count(*) FROM pg_locks WHERE locktype = $1 AND NOT granted"
    while not await connection.fetchval(waits, kind):  # noqa: ASYNC110 (the server has no event for it)
        await asyncio.sleep(0)


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read", "serializable"])
async def test_many_at_once(url: str, other: asyncpg.Connection, isolation: str):
    """Each version is reached once, whatever the database's default isolation."""
    name = await other.fetchval("SELECT current_database()")
    await other.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = '{isolation}'")
    await asyncio.gather(*(opened(url, FIRST, SECOND) for _ in range(8)))
    assert [row["version"] for row in await other.fetch("SELECT version FROM schedule_schema ORDER BY 1")] == [1, 2]


async def test_a_newer_schema(url: str, other: asyncpg.Connection):
    """Used where it says that older programs may, refused where not; left as it is."""
    await opened(url, FIRST, ADDED)
    await opened(url, FIRST)
    await other.execute("INSERT INTO schedule_schema (version, oldest_program) VALUES (3, 2)")
    with pytest.raises(DatabaseRefused, match=r"schema version 3, of a newer schedule-grpc; .* up to 1"):
        await opened(url, FIRST)
    await opened(url, FIRST, ADDED)


async def test_a_newer_program_comes_between(url: str, other: asyncpg.Connection):
    """While we wait for the lock, it goes further than we can work with: we are refused after all."""
    await other.execute("BEGIN")
    await other.execute("SELECT pg_advisory_xact_lock($1)", 0x53434844)
    late = asyncio.create_task(opened(url, FIRST))
    await waiting(other, "advisory")
    await other.execute(
        "CREATE TABLE schedule_schema (version BIGINT PRIMARY KEY, oldest_program BIGINT NOT NULL,"
        " applied_time TIMESTAMPTZ NOT NULL DEFAULT now()); INSERT INTO schedule_schema VALUES (1, 1), (2, 2); COMMIT"
    )
    with pytest.raises(DatabaseRefused, match="of a newer schedule-grpc"):
        await late


async def test_anothers_tables(url: str, other: asyncpg.Connection):
    """A table of our name that we did not make: refused, and nothing of ours is made."""
    await other.execute("CREATE TABLE scheduled_tasks (id INT)")
    with pytest.raises(DatabaseRefused, match="did not make"):
        await opened(url, FIRST)
    assert await tables(other) == ["scheduled_tasks"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (("locked:s3cr3t-w0rd@", f"locked:{PASSWORD}x@"), "password authentication failed"),
        (("/postgres?", "/no-such-database?"), "does not exist"),
        (("@/", "@[:::1/"), "is not postgresql://"),
        (("host=", "port=s3cr3t-w0rd&host="), "is not postgresql://"),
        (("host=", "host=/no/such/folder&was="), "No such file"),
    ],
)
async def test_a_database_that_cannot_be_used(postgres: Postgres, changed: tuple[str, str], said: str):
    """One line says which and why; never the password."""
    whole = postgres.url("postgres", user=f"locked:{PASSWORD}")
    with pytest.raises((DatabaseRefused, ConfigurationError)) as refused:
        await opened(whole.replace(*changed), FIRST)
    assert said in str(refused.value)
    assert PASSWORD not in str(refused.value)


class Ear:
    """What a server hears."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.gaps = 0
        self.changed = asyncio.Event()

    def heard(self, word: str) -> None:
        """Note a word."""
        self.words.append(word)
        self.changed.set()

    def gap(self) -> None:
        """Note a gap."""
        self.gaps += 1
        self.changed.set()

    def connect(self, url: str) -> NotificationConnection:
        """Listen."""
        return NotificationConnection(url, received=self.heard, gap=self.gap)


async def test_words_between_servers(url: str, other: asyncpg.Connection):
    """Heard by the others and by whoever said them, in order, quotes and all; what is left is said at the end."""
    ears = Ear(), Ear()
    channels = [ear.connect(url) for ear in ears]
    await listening(other, 2)
    words = [f'["it\'s", {number}]' for number in range(50)]
    for word in words:
        channels[0].publish(word)
    await channels[0].close()
    while len(ears[1].words) < len(words):
        ears[1].changed.clear()
        await ears[1].changed.wait()
    assert ears[1].words == words
    assert (ears[1].gaps, ears[0].gaps) == (0, 0)
    await channels[1].close()


async def test_a_channel_that_is_cut(url: str, other: asyncpg.Connection):
    """It comes back by itself, and tells that something may have been missed."""
    ear = Ear()
    channel = ear.connect(url)
    (pid,) = await listening(other, 1)
    await other.execute("SELECT pg_terminate_backend($1)", pid)
    await ear.changed.wait()
    assert ear.gaps == 1
    channel.publish("again")
    ear.changed.clear()
    await ear.changed.wait()
    assert ear.words == ["again"]
    await channel.close()


async def listening(other: asyncpg.Connection, number: int) -> list[int]:
    """Wait until so many connections have said a word; return their processes."""
    query = """SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND query LIKE 'SELECT pg_notify%' AND state = 'idle'"""
    while len(found := await other.fetch(query)) < number:  # noqa: ASYNC110 (the server has no event for it)
        await asyncio.sleep(0)
    return [row["pid"] for row in found]
