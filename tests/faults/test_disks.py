"""The disk is full, a file may not grow, another process holds the file, or takes it away: told, red, and healed."""

import asyncio
import itertools
import os
import resource
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest
from support.patience import calling, until
from support.servers.process import Server, run, served, serves, serving
from support.servers.replicas import reaches
from support.stories import checked, story
from support.witnesses import effects
from support.witnesses.checker import Acknowledged

from schedule_grpc.domain.execution import State
from schedule_grpc.domain.retry import RetryPolicy
from schedule_grpc.domain.task import Policy
from schedule_grpc.errors import Unavailable

MEGABYTE = 1024 * 1024
NO_LIMIT = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


@contextmanager
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Within this context there is a file system of 4 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], check=False)
    if mounted.returncode:
        pytest.skip("this user cannot mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


class Team:
    """Registers tasks until it is refused, and knows which it was told of."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.tasks: list[str] = []

    async def begin(self) -> None:
        """Register a task of every second."""
        async with calling(self.server.address) as client:
            await client.register_task(name="every-second", schedule="every 1 second", handler="quick")
        self.tasks.append("every-second")

    async def register(self, number: int) -> None:
        """Register tasks with some kilobytes each."""
        async with calling(self.server.address, attempts=1) as client:
            for _ in range(number):
                name = f"task-{len(self.tasks)}"
                payload = {"filling": "x" * 30_000}
                await client.register_task(name=name, schedule="@manual", handler="quick", payload=payload)
                self.tasks.append(name)

    async def red(self) -> bool:
        """Whether the server says that it is not healthy."""
        return not await serves(self.server)

    async def green(self) -> bool:
        """Whether it is healthy."""
        return await serves(self.server)


async def healed(team: Team, database: Path) -> None:
    """The trouble has gone: the server goes on by itself, and nothing that anybody was told is lost."""
    await until(team.green)
    await team.register(3)
    code, errors = await asyncio.to_thread(team.server.terminate)
    assert code == 0
    assert "health.degraded" in errors
    assert "Traceback" not in errors
    assert await checked(database, Acknowledged(tasks=team.tasks)) == []


@story
async def test_a_full_disk(tmp_path: Path):
    """Writes are refused as UNAVAILABLE; freed, all goes on; the occurrences of that time are caught up."""
    with small_disk(tmp_path) as folder:
        async with served(folder, handlers="support.handlers.noting") as server:
            await fills_up(folder, Team(server))


async def fills_up(folder: Path, team: Team) -> None:
    """Leave no room on the disk of a server, then make room."""
    await team.begin()
    await team.register(5)
    free = shutil.disk_usage(folder).free
    with suppress(OSError):  # the server may have written meanwhile
        (folder / "filler").write_bytes(b"x" * (free - 20_000))
    with pytest.raises(Unavailable, match=r"The database cannot be used: .*(full|disk)"):
        await team.register(200)
    await until(team.red)
    (folder / "filler").unlink()
    await healed(team, folder / "schedule.db")


@story
async def test_a_disk_that_fills_up_while_nothing_is_due(tmp_path: Path):
    """Nobody has asked for a write: health turns red all the same, and green again once there is room."""
    with small_disk(tmp_path) as folder:
        async with served(folder, handlers="support.handlers.noting") as server:
            team = Team(server)
            with (folder / "filler").open("wb", buffering=0) as filler, suppress(OSError):
                while True:
                    filler.write(b"x" * 4096)
            await until(team.red)
            async with calling(server.address) as client:
                with pytest.raises(Unavailable):
                    await client.register_task(name="task", schedule="@manual", handler="quick")
            (folder / "filler").unlink()
            await healed(team, folder / "schedule.db")


@story
async def test_a_file_that_another_process_holds_while_nothing_is_due(tmp_path: Path):
    """The same."""
    async with served(tmp_path, handlers="support.handlers.noting") as server:
        team = Team(server)
        with closing(sqlite3.connect(tmp_path / "schedule.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            await until(team.red)
            other.execute("ROLLBACK")
        await healed(team, tmp_path / "schedule.db")


@story
async def test_a_file_that_may_not_grow(tmp_path: Path):
    """A limit of its process, as a quota would be: an I/O error of each write, until it is lifted."""
    async with served(tmp_path, handlers="support.handlers.noting") as server:
        team = Team(server)
        await team.begin()
        await team.register(5)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
        with pytest.raises(Unavailable, match="The database cannot be used: "):
            await team.register(200)
        await until(team.red)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, NO_LIMIT)
        await healed(team, tmp_path / "schedule.db")


@story
async def test_a_file_that_another_process_holds(tmp_path: Path):
    """A backup or a shell in a long transaction: writes wait 5 s and are refused, reads go on; then all goes on."""
    async with served(tmp_path, handlers="support.handlers.noting") as server:
        team = Team(server)
        await team.begin()
        with closing(sqlite3.connect(tmp_path / "schedule.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(Unavailable, match="The database cannot be used: database is locked"):
                await team.register(1)
            async with calling(server.address) as client:
                assert len((await client.list_tasks()).tasks) == 1
            await until(team.red)
            other.execute("ROLLBACK")
        await healed(team, tmp_path / "schedule.db")


@story
async def test_work_goes_on_without_its_database(tmp_path: Path, long: bool):
    """The file is another process's for longer than any lease: what runs is recorded, and ran once."""
    database, seconds = tmp_path / "schedule.db", 40 if long else 14
    policy = Policy(timeout=timedelta(hours=1), retry=RetryPolicy(max_retries=0))
    handlers = ("long", "long-in-thread")
    async with served(tmp_path, handlers="support.handlers.noting") as server, calling(server.address) as client:
        for name, ends in itertools.product(handlers, (seconds // 2, seconds + 2)):
            await client.register_task(
                name=f"{name}-{ends}", schedule="@manual", handler=name, payload={"seconds": ends}, policy=policy
            )
        running = [
            (await client.run_task_now(task.name, detach=True)).execution.id
            for task in (await client.list_tasks()).tasks
        ]

        async def all_begun() -> bool:
            return {each.execution for each in effects.begun(tmp_path)} == set(running)

        await until(all_begun)
        with closing(sqlite3.connect(database, isolation_level=None)) as shell:
            shell.execute("BEGIN IMMEDIATE")
            await asyncio.sleep(seconds)
            shell.execute("ROLLBACK")
        for execution_id in running:
            ended = await until(reaches(client, execution_id, State.SUCCEEDED, State.FAILED))
            assert (ended.state, ended.attempt, ended.failed_attempts) == (State.SUCCEEDED, 1, ())
    assert sorted(each.execution for each in effects.begun(tmp_path)) == sorted(running)
    assert await checked(database, Acknowledged(succeeded=running), at_rest=True) == []


@story
async def test_a_file_that_is_removed(tmp_path: Path):
    """Nothing more is acknowledged, for nobody would find it; put back, it is."""
    await taken_away(tmp_path, replaced=False)


@story
async def test_a_file_that_is_replaced(tmp_path: Path):
    """The same: what is written into the file without a name is not in the one that has it."""
    await taken_away(tmp_path, replaced=True)


async def taken_away(tmp_path: Path, *, replaced: bool) -> None:
    """Move the file of a server away, and back."""
    database, aside = tmp_path / "schedule.db", tmp_path / "aside.db"
    async with served(tmp_path, handlers="support.handlers.noting") as server:
        team = Team(server)
        await team.begin()
        await team.register(2)
        database.rename(aside)
        if replaced:
            shutil.copy(aside, database)
        with pytest.raises(Unavailable, match=r"schedule\.db: was removed or replaced while it was open"):
            await team.register(1)
        await until(team.red)
        aside.replace(database)
        await healed(team, database)


@story
async def test_the_newest_writes_are_taken_away(tmp_path: Path):
    """`rm schedule.db-*` under a running server: nothing more is acknowledged, and after kill -9 nothing is missing."""
    async with served(tmp_path, handlers="support.handlers.noting") as server:
        team = Team(server)
        await team.begin()
        await team.register(5)
        for part in ("wal", "shm"):
            (tmp_path / f"schedule.db-{part}").unlink()
        with pytest.raises(Unavailable, match=r"schedule\.db-wal: was removed or replaced while it was open"):
            await team.register(1)
        await asyncio.to_thread(server.kill)
    async with served(tmp_path, handlers="support.handlers.noting") as server:
        await asyncio.to_thread(server.terminate)
    assert await checked(tmp_path / "schedule.db", Acknowledged(tasks=team.tasks)) == []


@story
async def test_the_lock_is_taken_away(tmp_path: Path):
    """`rm schedule.db.lock` under a running server lets no second one in: it would run everything a second time."""
    async with served(tmp_path, handlers="support.handlers.noting"):
        (tmp_path / "schedule.db.lock").unlink()
        done = await asyncio.to_thread(run, "serve", "--grpc", "127.0.0.1:0", "--http", "off", folder=tmp_path)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "schedule.db: another schedule-grpc server (process unknown) is using this file" in done.stderr


def test_a_folder_that_cannot_be_written(tmp_path: Path):
    """The server does not start, and says why in a line."""
    with small_disk(tmp_path) as folder:
        with serving(folder, handlers="support.handlers.noting") as server:
            server.terminate()
        (folder / "schedule.db.lock").unlink()
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        done = run("serve", "--grpc", "127.0.0.1:0", "--http", "off", folder=folder)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "schedule.db: cannot create schedule.db.lock beside it: Read-only file system" in done.stderr


@story
async def test_damaged_pages(tmp_path: Path):
    """What the disk lost is found before anything runs: the server refuses the file, and leaves it as it is."""
    database = tmp_path / "schedule.db"
    async with served(tmp_path, handlers="support.handlers.noting") as server:
        team = Team(server)
        await team.begin()
        await team.register(20)
        await asyncio.to_thread(server.terminate)
    whole = database.read_bytes()
    for place in (0.1, 0.5, 0.9):
        content = bytearray(whole)
        at = int(len(content) * place) // 4096 * 4096
        content[at : at + 4096] = os.urandom(4096)
        database.write_bytes(content)
        done = await asyncio.to_thread(run, "serve", "--grpc", "127.0.0.1:0", "--http", "off", folder=tmp_path)
        assert (done.returncode, "Traceback" in done.stderr) == (1, False)
        assert "schedule.db: is damaged: " in done.stderr
        assert database.read_bytes() == content
