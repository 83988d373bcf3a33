"""What lists, summaries and explanations cost: a file of many tasks and executions, and each read by itself.

``python -m benchmarks.lists [--tasks 10000] [--executions 600000] [--file FILE]``: over 30 days; a file that is there
is measured as it is, and without one a temporary one is made.
"""

import argparse
import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from schedule_grpc.database.set_query import for_sqlite
from schedule_grpc.database.sqlite.prepare import prepare
from schedule_grpc.domain.execution import ExecutionFilter
from schedule_grpc.domain.listing import TaskFilter, TaskOrder, TaskState
from schedule_grpc.domain.paging import Page
from schedule_grpc.domain.registration import registered
from schedule_grpc.domain.task import define
from schedule_grpc.events import Hub
from schedule_grpc.handlers import Registry
from schedule_grpc.runtime.clock import SystemClock, to_micros
from schedule_grpc.service import Service
from schedule_grpc.store import open_store
from schedule_grpc.store.queries import QUERIES
from schedule_grpc.store.rows import task_parameters
from schedule_grpc.store.schema import APPLICATION_ID, MIGRATIONS

REPEATED = 15
DAYS = 30
AT_ONCE = 5_000
"""Rows that are made before they are inserted."""


def filled(path: Path, tasks: int, executions: int) -> None:
    """Make a file with tasks of different schedules, some of which fail or are disabled, and their executions."""
    prepare(path, MIGRATIONS, APPLICATION_ID)
    now = datetime.now(UTC)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("BEGIN")
    rows = []
    for number in range(tasks):
        definition = define(
            name=f"task-{number:06}",
            schedule=f"{number % 60} {number // 60 % 24} * * *",
            time_zone=("UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo")[number // 1440 % 4],
            handler=f"handler-{number % 40}",
            description=f"Task number {number}, which does what its name says",
            metadata={"category": f"category-{number % 12}"},
        )
        change = registered(None, definition, enabled=number % 50 != 0, now=now - timedelta(days=DAYS))
        rows.append(task_parameters(change.after))
    _insert(connection, QUERIES.insert_tasks, rows)
    uids = [row["uid"] for row in rows]
    connection.execute(
        "UPDATE scheduled_tasks SET consecutive_failures = 3, last_run_time = :now WHERE rowid % 100 = 7",
        [to_micros(now)],
    )
    connection.execute("UPDATE scheduled_tasks SET next_run_time = next_run_time + :more", [DAYS * 86_400_000_000])
    step = timedelta(days=DAYS) / executions
    made: list[dict[str, Any]] = []
    for number in range(executions):
        created = now - timedelta(days=DAYS) + number * step
        made.append(_execution(number, uids[number % tasks], number % tasks, created))
        if len(made) == AT_ONCE:
            _insert(connection, QUERIES.insert_executions, made)
            made.clear()
    _insert(connection, QUERIES.insert_executions, made)
    connection.execute("UPDATE task_executions SET error = 'ValueError: row ' || rowid WHERE state = 'FAILED'")
    connection.execute("COMMIT")
    connection.close()


def _execution(number: int, uid: str, task: int, created: datetime) -> dict[str, Any]:
    micros = to_micros(created)
    return {
        "id": f"exec_task-{task:06}_{micros // 1000}_{number:011x}",
        "task_uid": uid,
        "namespace": "default",
        "task_name": f"task-{task:06}",
        "handler": f"handler-{task % 40}",
        "trigger": "SCHEDULE",
        "scheduled_time": micros // 60_000_000 * 60_000_000,
        **dict.fromkeys(("covers_from", "covers_to", "covers_count", "covers_exact", "deadline_time")),
        "create_time": micros,
        "available_time": micros,
        "start_time": micros + 3000,
        "attempt_start_time": micros + 3000,
        "end_time": micros + 1_200_000,
        "state": "FAILED" if number % 100 == 0 else "SUCCEEDED",
        **dict.fromkeys(
            ("reason", "gate", "lease_owner", "lease_token", "request_id", "triggered_by", "payload", "traceparent")
        ),
        "attempt": 1,
        "revision": 1,
        "alone": 0,
    }


def _insert(connection: Any, query: Any, rows: list[dict[str, Any]]) -> None:
    for statement in for_sqlite(query, rows):
        connection.execute(*statement).fetchall()


async def measured(path: Path) -> None:
    """Print the milliseconds of each read, and of its computing in this process."""
    store = await open_store(f"sqlite:///{path}", Hub())

    def made() -> Service:
        """Return a service that has nothing in memory yet."""
        return Service(store=store, clock=SystemClock(), hub=Hub(), registry=Registry())

    service = made()
    first = (await service.list_tasks(TaskFilter(), Page(size=50))).tasks
    uids, name = [task.uid for task in first], first[7].name
    page = Page(size=50)

    def listing(**chosen: Any) -> Callable[[], Awaitable[Any]]:
        return lambda: service.list_tasks(TaskFilter(**chosen), page, full=True)

    reads: dict[str, Callable[[], Awaitable[Any]]] = {
        "50 tasks by name": listing(),
        "50 tasks by next run": listing(order=TaskOrder.NEXT),
        "50 tasks by last run": listing(order=TaskOrder.LAST),
        "50 tasks by failures": listing(order=TaskOrder.FAILURES),
        "50 failing tasks": listing(states=frozenset({TaskState.FAILING})),
        "tasks of any state": listing(states=frozenset(TaskState)),
        "a text that few have": listing(query="task-00999"),
        "a text that none has": listing(query="no such text"),
        "strips of 50 tasks": lambda: service.strips(uids),
        "newest 100 executions": lambda: service.executions(ExecutionFilter(), Page(size=100)),
        "summary, computed": lambda: made().summary(),
        "summary, shared": service.summary,
        "pulse, in memory": service.pulse,
        "durations, computed": lambda: made().durations(),
        "durations, kept": service.durations,
        "upcoming 24 h, computed": lambda: made().upcoming(),
        "upcoming 24 h, kept": service.upcoming,
        "why, 24 h": lambda: service.why(name),
    }
    print(f"{'read':28} {'ms':>8} {'CPU ms':>8}")
    for what, read in reads.items():
        await read()
        walls, cpus = [], []
        for _ in range(REPEATED):
            wall, cpu = time.perf_counter(), time.process_time()
            await read()
            walls.append(time.perf_counter() - wall)
            cpus.append(time.process_time() - cpu)
        print(f"{what:28} {median(walls) * 1000:8.2f} {median(cpus) * 1000:8.2f}")
    service.drain()
    await _measure_seeding(made())
    await store.close()


async def _measure_seeding(service: Service) -> None:
    """Print how long it takes to count a day, and the failures of it."""
    clock = SystemClock()
    wall, cpu = time.perf_counter(), time.process_time()
    while (found := await service.pulse()) is None or found.complete_from > found.start_time:
        await clock.wait_until(clock.now() + timedelta(milliseconds=10), asyncio.Event())
    print(f"{'a day of pulse, counted':28} {(time.perf_counter() - wall) * 1000:8.2f}", end="")
    print(f" {(time.process_time() - cpu) * 1000:8.2f}")
    wall, cpu = time.perf_counter(), time.process_time()
    groups = await service.failures()
    print(f"{'failures of a day, grouped':28} {(time.perf_counter() - wall) * 1000:8.2f}", end="")
    print(f" {(time.process_time() - cpu) * 1000:8.2f}  ({sum(group.count for group in groups.groups)} failures)")
    service.drain()


def main() -> None:
    """Fill a file and measure."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--executions", type=int, default=600_000)
    parser.add_argument("--file", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path: Path = asked.file or Path(folder, "lists.db")
        if not path.exists():
            began = time.perf_counter()
            filled(path, asked.tasks, asked.executions)
            took = time.perf_counter() - began
            print(f"{asked.tasks:,} tasks, {asked.executions:,} executions, made in {took:.1f} s")
        asyncio.run(measured(path))


if __name__ == "__main__":
    main()
