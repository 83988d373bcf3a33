"""Where backups come from. A source writes its database as of one moment."""

import asyncio
import os
import re
import select
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, ClassVar, Protocol, TypeAlias
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from schedule_grpc.backup.dump import table_name
from schedule_grpc.backup.packing import CHUNK, chunks
from schedule_grpc.bindings.postgres_pool import PostgresPool
from schedule_grpc.database.sqlite.copy import copy
from schedule_grpc.errors import BindingError, ConfigurationError
from schedule_grpc.runtime import private_files
from schedule_grpc.runtime.paths import POSTGRESQL, SQLITE
from schedule_grpc.runtime.threads import Stopped

CONNECT_SECONDS = 10
LOCK_SECONDS = 10
"""How long counting, and then pg_dump, waits for a locked table."""
LOOK_MILLISECONDS = 100
"""How often a thread that waits for pg_dump checks whether it is still wanted."""
VERSION_SECONDS = 10
"""How long pg_dump may take to say its version."""
MOST_REPEATED = 2000
"""Characters of pg_dump's output that an error repeats."""

_VERSION = re.compile(r"\b(?P<version>(?P<major>\d+)[.\d]*)")
"""In ``pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)``."""
_PASSED_ON = ("PATH", "HOME", "LANG", "TZ", "LD_LIBRARY_PATH")

Unwanted = Callable[[], bool]
Report = Callable[[float], None]


class Snapshot(Protocol):
    """One moment of a database."""

    def write(self, out: BinaryIO, work: Path, *, unwanted: Unwanted, report: Report) -> Mapping[str, int]:
        """Write the snapshot; return the rows of each table as the database itself counts them. Runs in a thread.

        Args:
            out: The file to write.
            work: A folder for temporary files.
            unwanted: Is called often; once true the writing ends.
            report: Is called with the part that is done, from 0 to 1.

        Raises:
            BindingError: naming the binding and its error.
            Stopped: because it was unwanted.
        """


def source_of(name: str, url: str, *, pg_dump: str) -> "Source":
    """Return the source behind a binding's URL.

    Raises:
        ConfigurationError: if it is no database.
    """
    if url.startswith(SQLITE):
        return SqliteSource(name, Path(url.removeprefix(SQLITE)))
    if url.startswith(POSTGRESQL):
        return PostgresSource(name, url, pg_dump=pg_dump)
    raise ConfigurationError(f"{name} is neither a {SQLITE} nor a {POSTGRESQL[0]} database: it cannot be backed up")


@dataclass(frozen=True, slots=True)
class SqliteSource:
    """A file, copied through SQLite's online backup."""

    kind: ClassVar[str] = "db"
    name: str
    path: Path

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["SqliteSource"]:
        """The moment is that at which the copy begins."""
        yield self

    def write(self, out: BinaryIO, work: Path, *, unwanted: Unwanted, report: Report) -> Mapping[str, int]:
        """Copy the file, then write the copy."""
        copied = work / "copy.db"
        counts = copy(self.name, self.path, copied, unwanted=unwanted, report=report)
        with copied.open("rb") as file:
            for chunk in chunks(file, unwanted=unwanted):  # noqa: FURB122 (zstandard has no writelines)
                out.write(chunk)
        copied.unlink()
        return counts


@dataclass(frozen=True, slots=True)
class PostgresSource:
    """A PostgreSQL database, dumped by pg_dump."""

    kind: ClassVar[str] = "sql"
    name: str
    url: str = field(repr=False)
    pg_dump: str

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["PostgresSnapshot"]:
        """Hold a transaction whose snapshot pg_dump uses too, and count in it."""
        target, environment = connection_of(self.name, self.url)
        try:
            pool = await PostgresPool.connect(self.name, self.url, patience=CONNECT_SECONDS, connections=1)
        except ImportError:
            raise ConfigurationError(
                f"{self.name}: PostgreSQL needs an extra: pip install 'schedule-grpc[postgres]'"
            ) from None
        try:
            async with pool.transaction() as transaction:
                await transaction.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                await transaction.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
                await transaction.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
                [kept] = await transaction.fetch(
                    "SELECT pg_export_snapshot() AS id, current_setting('server_version') AS version"
                )
                counts = {}
                for table in await transaction.fetch(_TABLES):
                    [row] = await transaction.fetch(f"SELECT count(*) AS n FROM ONLY {table['quoted']}")  # noqa: S608
                    counts[table_name(table["schema"], table["name"])] = row["n"]
                command = (
                    self.pg_dump, "--format=plain", "--encoding=UTF8", "--no-password",
                    f"--lock-wait-timeout={LOCK_SECONDS}s", f"--snapshot={kept['id']}", f"--dbname={target}",
                )  # fmt: skip
                yield PostgresSnapshot(self.name, command, environment, counts, server=kept["version"])
        finally:
            await asyncio.shield(pool.aclose())


_TABLES = """
SELECT n.nspname AS schema, c.relname AS name, format('%I.%I', n.nspname, c.relname) AS quoted
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1, 2
"""
"""The tables whose rows pg_dump writes; an extension's tables are left to the extension."""


@dataclass(frozen=True, slots=True, repr=False)
class PostgresSnapshot:
    """A moment that the server keeps for us."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    counts: Mapping[str, int]
    server: str
    """The server's version, such as 17.2."""

    def write(self, out: BinaryIO, work: Path, *, unwanted: Unwanted, report: Report) -> Mapping[str, int]:  # noqa: ARG002
        """Let pg_dump write it."""
        log_file = work / "pg_dump.log"
        with open(log_file, "xb", opener=private_files.opener) as log:
            try:
                process = subprocess.Popen(  # noqa: S603 (our own arguments, the configured program)
                    self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, env=self.environment
                )
            except OSError as error:
                raise ConfigurationError(
                    f"{self.name}: {self.command[0]} cannot be run ({error.strerror}): install PostgreSQL's client, "
                    "or name the program in [backup] pg_dump"
                ) from None
        with process:
            try:
                self._drain(process, out, unwanted)
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            self._check_version()
            message = log_file.read_text("utf-8", "replace").strip()[-MOST_REPEATED:]
            message = message or f"pg_dump ended with status {process.returncode}"
            password = self.environment.get("PGPASSWORD")
            raise BindingError(self.name, message.replace(password, "***") if password else message)
        return self.counts

    def _check_version(self) -> None:
        """Check, after a failure, that pg_dump is not older than the server: it then refuses every dump.

        Raises:
            ConfigurationError: naming both versions.
        """
        with suppress(OSError, subprocess.SubprocessError):
            told = subprocess.run(  # noqa: S603 (as above)
                (self.command[0], "--version"),
                capture_output=True,
                check=False,
                env=self.environment,
                timeout=VERSION_SECONDS,
            )
            found = _VERSION.search(told.stdout.decode("utf-8", "replace"))
            if found is not None and int(found["major"]) < int(self.server.partition(".")[0]):
                raise ConfigurationError(
                    f"{self.name}: {self.command[0]} is of version {found['version']} and the server of version "
                    f"{self.server}: pg_dump must not be older than the server. Install PostgreSQL's client of version "
                    f"{self.server.partition('.')[0]} or newer, or name its program in [backup] pg_dump"
                )

    @staticmethod
    def _drain(process: "subprocess.Popen[bytes]", out: BinaryIO, unwanted: Unwanted) -> None:
        assert process.stdout is not None  # noqa: S101 (it was asked to be a pipe)
        descriptor = process.stdout.fileno()
        readable = select.poll()  # select() itself knows no descriptor above 1023
        readable.register(descriptor, select.POLLIN)
        while not unwanted():
            if readable.poll(LOOK_MILLISECONDS):
                chunk = os.read(descriptor, CHUNK)
                if not chunk:
                    return
                out.write(chunk)
        raise Stopped


Source: TypeAlias = SqliteSource | PostgresSource


def connection_of(name: str, url: str) -> tuple[str, dict[str, str]]:
    """Return a database's URL without its password, and the environment that hands pg_dump the password.

    Everyone on a machine can read the command lines of its processes.

    Raises:
        ConfigurationError: for a secret that pg_dump takes on its command line only.
    """
    environment = {
        key: value for key, value in os.environ.items() if key in _PASSED_ON or key.startswith(("PG", "LC_"))
    }
    environment.setdefault("PGCONNECT_TIMEOUT", str(CONNECT_SECONDS))
    environment.setdefault("PGAPPNAME", "schedule-grpc backup")
    parts = urlsplit(url)
    user_info, at, hosts = parts.netloc.rpartition("@")
    user, _, password = user_info.partition(":")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if "sslpassword" in options:
        raise ConfigurationError(f"{name}: pg_dump takes sslpassword on its command line only, where others read it")
    password = options.pop("password", unquote(password))
    if password:
        environment["PGPASSWORD"] = password
    # Not by urlunsplit, which makes postgresql:/NAME of postgresql:///NAME.
    target = f"{parts.scheme}://{user}{at}{hosts}{parts.path}"
    return f"{target}?{urlencode(options, safe='/', quote_via=quote)}" if options else target, environment
