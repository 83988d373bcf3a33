"""What group commit is worth: durable writes per second through the store, beside one commit for each.

Run it with `.venv/bin/python benchmarks/durable_writes.py`; both sides write to the same folder, synchronous=FULL.
"""

import asyncio
import sqlite3
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from schedule_grpc.clock import SystemClock
from schedule_grpc.events import Hub
from schedule_grpc.registration import registered
from schedule_grpc.store import SqlStore, open_store
from schedule_grpc.task import define

CALLERS = 64
WRITES = 12_800


async def through_the_store(folder: Path, callers: int) -> float:
    """Return acknowledged manual runs per second, recorded by so many callers at once."""
    clock = SystemClock()
    store = await open_store(folder / f"store-{callers}.db", Hub())
    await _register(store, callers)

    async def call(number: int) -> None:
        for _ in range(WRITES // CALLERS):
            await store.submit(f"t{number}", payload=None, request_id=None, now=clock.now())

    began = time.perf_counter()
    await asyncio.gather(*(call(number) for number in range(callers)))
    spent = time.perf_counter() - began
    await store.close()
    return callers * (WRITES // CALLERS) / spent


async def _register(store: SqlStore, tasks: int) -> None:
    now = SystemClock().now()
    for number in range(tasks):
        definition = define(name=f"t{number}", schedule="@manual", handler="h")
        await store.change_tasks([registered(None, definition, enabled=None, now=now)], now=now + timedelta(0))


def one_commit_each(folder: Path) -> float:
    """Return plain inserts per second, each in a transaction of its own: what the disk gives without grouping."""
    connection = sqlite3.connect(folder / "plain.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT)")
    writes = WRITES // 4
    began = time.perf_counter()
    for number in range(writes):
        connection.execute("INSERT INTO t VALUES (?, ?)", (number, "x" * 300))
    spent = time.perf_counter() - began
    connection.close()
    return writes / spent


def main() -> None:
    """Measure all three in one run and print the ratios."""
    with tempfile.TemporaryDirectory(dir=".") as name:
        folder = Path(name)
        plain = one_commit_each(folder)
        alone = asyncio.run(through_the_store(folder, 1))
        together = asyncio.run(through_the_store(folder, CALLERS))
    print(f"plain SQLite, one commit each:       {plain:8.0f} /s")
    print(f"store, 1 caller:                     {alone:8.0f} /s  ({alone / plain:.2f} of plain)")
    print(f"store, {CALLERS} callers, group commit:    {together:8.0f} /s  ({together / plain:.2f} of plain)")


if __name__ == "__main__":
    main()
