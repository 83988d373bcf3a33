"""backup-database on a real PostgreSQL server, through the real pg_dump."""

import asyncio
import gzip
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from support.patience import until
from support.rigs.builtin_handler import attempt, context
from support.servers.postgres import Postgres

from schedule_grpc.backup import BackupFailed, BackupSettings, verify_backup
from schedule_grpc.backup.sources import connection_of
from schedule_grpc.builtin.backup_database import backup_database
from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.errors import BindingError, ConfigurationError

HANDLER = "backup-database"
BACKUP = "PG-20260131T100000Z.sql.gz"
PASSWORD = "s3cret: p/w"

PLATFORM = r"""
CREATE TABLE sessions (id text PRIMARY KEY, user_id text, expires_at timestamptz);
INSERT INTO sessions SELECT 's' || n, 'x', now() FROM generate_series(1, 20000) n;
CREATE TABLE texts (text text);
INSERT INTO texts VALUES (''), (NULL), (E'a\nb'), ('\.'), ('COPY public.x (a) FROM stdin;');
CREATE SCHEMA "Big Corp";
CREATE TABLE "Big Corp"."we""ird.name" ("select" int);
INSERT INTO "Big Corp"."we""ird.name" VALUES (1);
CREATE TABLE no_columns (); INSERT INTO no_columns DEFAULT VALUES; INSERT INTO no_columns DEFAULT VALUES;
CREATE TABLE whole (id int) PARTITION BY RANGE (id);
CREATE TABLE part PARTITION OF whole FOR VALUES FROM (0) TO (10);
INSERT INTO whole VALUES (1), (2), (3);
CREATE UNLOGGED TABLE fast (id int); INSERT INTO fast VALUES (1);
CREATE TABLE child () INHERITS (texts); INSERT INTO child VALUES ('c');
CREATE VIEW seen AS SELECT * FROM sessions;
CREATE MATERIALIZED VIEW kept AS SELECT * FROM whole;
COMMENT ON TABLE texts IS E'-- Data for Name: x\nCOPY public.fake (a) FROM stdin;\n1\n\\.\n';
CREATE ROLE keeper LOGIN SUPERUSER PASSWORD 's3cret: p/w';
"""
COUNTS = {
    "sessions": 20000,
    "texts": 5,
    '"Big Corp"."we""ird.name"': 1,
    "no_columns": 2,
    "part": 3,
    "fast": 1,
    "child": 1,
}
TABLES = {'Big Corp."we"ird.name"' if "ird" in table else table: count for table, count in COUNTS.items()}


@pytest.fixture(scope="module")
def pg(postgres: Postgres) -> Iterator[Postgres]:
    """The server, with a database ``platform``."""
    postgres.psql("CREATE DATABASE platform", "postgres")
    postgres.psql(PLATFORM, "platform")
    yield postgres
    for name in ("platform", "restored"):
        postgres.psql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)", "postgres")
    postgres.psql("DROP ROLE keeper", "postgres")


@pytest.fixture
def settings(pg: Postgres, tmp_path: Path) -> BackupSettings:
    """Backups of the server's database."""
    return BackupSettings(
        sources={"PG": pg.url("platform")}, root=str(tmp_path / "backups"), pg_dump=str(pg.bin / "pg_dump")
    )


def changed(settings: BackupSettings, **changes: Any) -> BackupSettings:
    """Return other settings."""
    whole = {"sources": settings.sources, "root": settings.root, "pg_dump": settings.pg_dump} | changes
    return BackupSettings(**whole)


async def back_up(settings: BackupSettings) -> dict[str, Any]:
    """Run the handler."""
    payload = {"source": "PG", "compression": "gzip"}
    found: dict[str, Any] = await backup_database(context(HANDLER, payload, BACKUP=settings))
    return found


def program(path: Path, script: str) -> str:
    """Write a program that stands in for pg_dump."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def names(folder: str | Path) -> list[str]:
    """Return what is in a folder."""
    return sorted(entry.name for entry in Path(folder).iterdir())


async def test_the_result_tells_the_rows_of_each_table(settings: BackupSettings):
    """As the server counts them in the dump's own snapshot: partitions, children, odd names; not views."""
    result = await back_up(settings)
    assert result["tables"] == TABLES
    assert result["message"] == "Database backup completed"
    assert result["size"] == len(gzip.decompress(Path(result["file"]).read_bytes()))
    assert names(settings.root) == [BACKUP, f"{BACKUP}.sha256"]
    verified = verify_backup(Path(result["file"]))
    assert (verified.database, verified.content.tables) == ("PostgreSQL", TABLES)


async def test_a_restored_backup_is_its_source(settings: BackupSettings, pg: Postgres):
    """psql reads it into an empty database, whose rows are the same to the last one."""
    result = await back_up(settings)
    pg.psql("DROP DATABASE IF EXISTS restored; CREATE DATABASE restored;", "postgres")
    pg.psql(gzip.decompress(Path(result["file"]).read_bytes()).decode(), "restored")
    for table in (*COUNTS, "kept", "seen"):
        rows = f"SELECT r::text FROM {table} r ORDER BY 1"
        assert pg.psql(rows, "restored") == pg.psql(rows, "platform")


async def test_a_backup_is_of_one_moment(settings: BackupSettings, pg: Postgres, tmp_path: Path):
    """What is committed between our counting and pg_dump's start is in neither: both use one snapshot."""
    insert = f"{pg.bin}/psql {shlex.quote(pg.url('platform'))} -qc {shlex.quote('INSERT INTO fast VALUES (2)')}"
    slow = program(tmp_path / "slow", f'{insert}\nexec {pg.bin}/pg_dump "$@"')
    result = await back_up(changed(settings, pg_dump=slow))
    assert result["tables"]["fast"] == 1
    assert pg.psql("SELECT count(*) FROM fast", "platform") == "2\n"
    pg.psql("DELETE FROM fast WHERE id = 2", "platform")


async def test_what_is_committed_while_it_counts_is_not_counted(settings: BackupSettings, pg: Postgres):
    """A table is locked as its turn comes, gets a row, and is let go: the moment was before."""
    other = await asyncpg.connect(pg.url("platform"))
    waits = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'schedule-grpc' AND wait_event_type = 'Lock'"
    )
    try:
        async with other.transaction():
            await other.execute("LOCK TABLE fast IN ACCESS EXCLUSIVE MODE")
            running = asyncio.create_task(back_up(settings))
            while not await other.fetchval(waits):
                await other.execute("SELECT pg_stat_clear_snapshot()")
            await other.execute("INSERT INTO fast VALUES (2)")
        assert (await running)["tables"]["fast"] == 1
    finally:
        await other.execute("DELETE FROM fast WHERE id = 2")
        await other.close()


async def test_a_table_that_stays_locked_is_told(
    settings: BackupSettings, pg: Postgres, monkeypatch: pytest.MonkeyPatch
):
    """Its rows are waited for as long as pg_dump would wait, not until the attempt times out; nothing is written."""
    monkeypatch.setattr("schedule_grpc.backup.sources.LOCK_SECONDS", 1)
    other = await asyncpg.connect(pg.url("platform"))
    async with other.transaction():
        await other.execute("LOCK TABLE fast IN ACCESS EXCLUSIVE MODE")
        fate = await attempt(backup_database, context(HANDLER, {"source": "PG"}, BACKUP=settings))
    await other.close()
    assert fate.error == "BindingError: PG: canceling statement due to lock timeout"
    assert fate.kind is FailureKind.ERROR
    assert names(settings.root) == []
    assert (await back_up(settings))["success"]


async def test_the_password_is_on_no_command_line(settings: BackupSettings, pg: Postgres, tmp_path: Path):
    """pg_dump gets it by its environment, and of ours only what it needs; a wrong one is told, without it."""
    spy = program(
        tmp_path / "spy",
        f'echo "$@" > {tmp_path}/arguments; env > {tmp_path}/environment; exec {pg.bin}/pg_dump "$@"',
    )
    url = pg.url("platform", user="keeper:s3cret%3A%20p%2Fw")
    os.environ["SCHEDULE_SECRET_OTHER"] = "other"
    try:
        result = await back_up(changed(settings, sources={"PG": url}, pg_dump=spy))
    finally:
        del os.environ["SCHEDULE_SECRET_OTHER"]
    assert result["success"]
    assert "s3cret" not in (tmp_path / "arguments").read_text() + repr(result) + repr(settings)
    environment = (tmp_path / "environment").read_text()
    assert f"PGPASSWORD={PASSWORD}\n" in environment
    assert "SCHEDULE_SECRET_OTHER" not in environment


async def test_a_wrong_password_is_told(settings: BackupSettings, pg: Postgres):
    """It fails, to be tried again, in the server's words."""
    wrong = changed(settings, sources={"PG": pg.url("platform", user="keeper:wr0ng")})
    fate = await attempt(backup_database, context(HANDLER, {"source": "PG"}, BACKUP=wrong))
    assert fate.kind is FailureKind.ERROR
    assert fate.error == 'BindingError: PG: password authentication failed for user "keeper"'
    assert names(settings.root) == []


async def test_a_password_that_pg_dump_alone_gets_wrong_is_told(settings: BackupSettings, pg: Postgres, tmp_path: Path):
    """In pg_dump's words, in which the password is covered."""
    url = pg.url("platform", user="keeper:s3cret%3A%20p%2Fw")
    wrong = program(tmp_path / "wrong", f'echo "with $PGPASSWORD" >&2; PGPASSWORD=x exec {pg.bin}/pg_dump "$@"')
    with pytest.raises(BindingError, match=r"(?s)PG: with \*\*\*\n.*password authentication failed"):
        await back_up(changed(settings, sources={"PG": url}, pg_dump=wrong))
    assert names(settings.root) == []


async def test_a_database_that_is_not_there_is_told(settings: BackupSettings, pg: Postgres, tmp_path: Path):
    """The name, and the server."""
    with pytest.raises(BindingError, match=r'^PG: database "none" does not exist'):
        await back_up(changed(settings, sources={"PG": pg.url("none")}))
    with pytest.raises(BindingError, match=r"^PG: cannot connect: "):
        await back_up(changed(settings, sources={"PG": f"postgresql:///x?host={tmp_path}"}))


async def test_without_the_driver_the_extra_is_named(settings: BackupSettings, monkeypatch: pytest.MonkeyPatch):
    """PostgreSQL is an extra."""
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    fate = await attempt(backup_database, context(HANDLER, {"source": "PG"}, BACKUP=settings))
    assert fate.kind is FailureKind.REJECTED
    assert fate.error is not None
    assert "pip install 'schedule-grpc[postgres]'" in fate.error


async def test_without_pg_dump_no_retry_would_help(settings: BackupSettings):
    """The error says what to install, or to configure."""
    missing = changed(settings, pg_dump="/nowhere/pg_dump")
    fate = await attempt(backup_database, context(HANDLER, {"source": "PG"}, BACKUP=missing))
    assert fate.kind is FailureKind.REJECTED
    assert fate.error == (
        "PG: /nowhere/pg_dump cannot be run (No such file or directory): install PostgreSQL's client, "
        "or name the program in [backup] pg_dump"
    )


async def test_a_pg_dump_that_is_older_than_the_server_is_told_with_both_versions(
    settings: BackupSettings, pg: Postgres, tmp_path: Path
):
    """It refuses every dump: no retry would help, and the error says what to install."""
    told = 'if [ "$1" = --version ]; then echo "pg_dump (PostgreSQL) 9.6.24 (Debian 9)"; exit; fi; echo no >&2; exit 1'
    old = changed(settings, pg_dump=program(tmp_path / "old", told))
    server = pg.psql("SHOW server_version", "postgres").strip()
    fate = await attempt(backup_database, context(HANDLER, {"source": "PG"}, BACKUP=old))
    assert fate.kind is FailureKind.REJECTED
    assert fate.error == (
        f"PG: {tmp_path}/old is of version 9.6.24 and the server of version {server}: pg_dump must not be older than "
        f"the server. Install PostgreSQL's client of version {server.partition('.')[0]} or newer, or name its program "
        "in [backup] pg_dump"
    )
    assert names(settings.root) == []


@pytest.mark.parametrize(
    ("script", "error", "words"),
    [
        ("echo half; echo out of luck >&2; exit 3", BindingError, "PG: out of luck$"),
        ("kill -9 $$", BindingError, "PG: pg_dump ended with status -9$"),
        ("exit 0", BackupFailed, "what was written is not what pg_dump writes"),
        ('{pg_dump} "$@" | head -c 100000', BackupFailed, "what was written ends too early: it is not complete"),
        (
            '{pg_dump} "$@" --exclude-table-data=texts',
            BackupFailed,
            "other rows than the database: texts None instead of 5",
        ),
        ('{pg_dump} "$@" | sed "s/^s777\t/s777\\n/"', BackupFailed, "sessions 20001 instead of 20000"),
    ],
)
async def test_a_pg_dump_that_fails_leaves_nothing(
    settings: BackupSettings, pg: Postgres, tmp_path: Path, script: str, error: type[Exception], words: str
):
    """With an exit status, killed, silently, half way, or with fewer or more rows than there are."""
    failing = program(tmp_path / "failing", script.replace("{pg_dump}", f"{pg.bin}/pg_dump"))
    with pytest.raises(error, match=words):
        await back_up(changed(settings, pg_dump=failing))
    assert names(settings.root) == []


async def test_cancelled_while_pg_dump_runs(settings: BackupSettings, pg: Postgres, tmp_path: Path):
    """pg_dump is killed, the snapshot let go, and nothing stays."""
    os.mkfifo(tmp_path / "started")
    endless = program(tmp_path / "endless", f"echo half; echo $$ > {tmp_path}/started; exec sleep 1000")
    running = asyncio.create_task(back_up(changed(settings, pg_dump=endless)))
    pid = int(await asyncio.to_thread((tmp_path / "started").read_text))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not Path(f"/proc/{pid}").exists()
    assert names(settings.root) == []
    held = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'schedule-grpc' AND state <> 'idle'"

    async def is_let_go() -> bool:  # a server notices a moment later that a connection is closed
        return await asyncio.to_thread(pg.psql, held, "platform") == "0\n"

    await until(is_let_go)


@pytest.mark.parametrize(
    ("url", "shown", "password"),
    [
        ("postgresql://u:p%40ss@h:5433/db", "postgresql://u@h:5433/db", "p@ss"),
        ("postgresql://u:p@h1:1,h2:2/db?sslmode=require", "postgresql://u@h1:1,h2:2/db?sslmode=require", "p"),
        ("postgresql://h/db?password=p%20w&user=u", "postgresql://h/db?user=u", "p w"),
        ("postgresql:///db?host=/run/a b", "postgresql:///db?host=/run/a%20b", None),
        ("postgres://u@h/db?passfile=/run/pass", "postgres://u@h/db?passfile=/run/pass", None),
    ],
)
def test_how_pg_dump_connects(monkeypatch: pytest.MonkeyPatch, url: str, shown: str, password: str | None):
    """Its URL has everything but the password."""
    monkeypatch.delenv("PGPASSWORD", raising=False)
    target, environment = connection_of("PG", url)
    assert (target, environment.get("PGPASSWORD")) == (shown, password)


def test_a_secret_that_only_a_command_line_takes_is_refused():
    """libpq knows no variable for the password of a client's key."""
    with pytest.raises(ConfigurationError, match=r"^PG: pg_dump takes sslpassword on its command line only"):
        connection_of("PG", "postgresql://h/db?sslpassword=x")
