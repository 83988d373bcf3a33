"""kill -9 between any two writes of an audited change: there is the change and its row, or neither."""

import asyncio
from pathlib import Path

import pytest
from support.patience import calling
from support.servers.postgres import Postgres
from support.servers.process import Server, served, start
from support.stories import story
from support.witnesses.checker.reading import rows

from schedule_grpc.client import AsyncClient
from schedule_grpc.errors import Unavailable
from schedule_grpc.runtime.failpoints import VARIABLE
from schedule_grpc.store import check_audit

PERMISSIVE = {"SCHEDULE_AUTH__MODE": "permissive"}
POINTS = [
    ("register_tasks.begun", False),
    ("audit.begun", False),
    ("audit.written", False),
    ("register_tasks.written", False),
    ("register_tasks.committed", True),
    ("submit.written", False),
    ("submit.committed", True),
]
"""Where the server dies, and whether the change is there then."""


async def started(folder: Path, url: str, **variables: str) -> Server:
    """Start a server whose callers are audited."""
    return await asyncio.to_thread(start, folder, "--database", url, **PERMISSIVE, **variables)


async def changed(client: AsyncClient, point: str, number: int) -> None:
    """Make the change that the server dies in."""
    if point.startswith("submit"):
        await client.run_task_now("there", detach=True)
    else:
        await client.register_task(name=f"task-{number}", schedule="@manual", handler="note")


async def killed_between_all_writes(folder: Path, url: str, place: Path | str) -> None:
    """Kill a server at each point, and compare what is there with what the log says."""
    async with served(folder, "--database", url, **PERMISSIVE) as server, calling(server.address) as client:
        await client.register_task(name="there", schedule="@manual", handler="note")
        await asyncio.to_thread(server.terminate)
    expected = 1
    for number, (point, is_there) in enumerate(POINTS):
        server = await started(folder, url, **{VARIABLE: f"{point}=kill"})
        async with calling(server.address, attempts=1) as client:
            with pytest.raises(Unavailable):
                await changed(client, point, number)
        assert await asyncio.to_thread(server.ended) == -9
        expected += is_there
        tasks = await asyncio.to_thread(rows, place, "SELECT name FROM scheduled_tasks")
        runs = await asyncio.to_thread(rows, place, "SELECT id FROM task_executions")
        log = await asyncio.to_thread(rows, place, "SELECT resource, execution FROM audit_events")
        assert (point, len(log)) == (point, expected)
        assert {row["name"] for row in tasks} == {row["resource"] for row in log}
        assert {row["id"] for row in runs} == {row["execution"] for row in log} - {""}
        (report,) = await check_audit(url)
        assert (report.whole_to, report.trouble) == (expected, "")


@story
async def test_killed_between_a_change_and_its_row(tmp_path: Path):
    """In a file."""
    await killed_between_all_writes(tmp_path, f"sqlite:///{tmp_path}/schedule.db", tmp_path / "schedule.db")


@story
async def test_killed_between_a_change_and_its_row_on_postgresql(tmp_path: Path, postgres: Postgres):
    """On a server, which undoes what the dead one had open."""
    with postgres.database() as url:
        await killed_between_all_writes(tmp_path, url, url)
