"""SIGTERM, SIGINT and SIGKILL at their worst moments: during work, twice, during start, during a migration."""

import asyncio
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest
from support.databases.old_files import first_version
from support.patience import AT_MOST, calling, until
from support.servers.launched import COMMAND, environment
from support.servers.process import Server, served, serving, start, stopped
from support.stories import checked, story
from support.witnesses.checker import Acknowledged, check

from schedule_grpc.domain.execution import State
from schedule_grpc.runtime.failpoints import STEPS, VARIABLE
from schedule_grpc.store.schema import MIGRATIONS

BY_SIGNAL = {0, -signal.SIGTERM, -signal.SIGINT}
"""Exit codes of one that was asked to stop: by itself, or by the system where it was not ready to be asked."""


def ended(server: Server) -> tuple[int, str, float]:
    """Ask a server to stop; return its exit code, its log, and how many seconds it took."""
    began = time.perf_counter()
    code, errors = server.terminate()
    return code, errors, time.perf_counter() - began


async def begun_work(server: Server, seconds: float) -> str:
    """Have a handler run for so long; return its execution's id once it runs."""
    async with calling(server.address) as client:
        await client.register_task(name="task", schedule="@manual", handler="slow", payload={"seconds": seconds})
        execution = (await client.run_task_now("task", detach=True)).execution

        async def running() -> bool:
            return (await client.get_execution(execution.id)).state is State.RUNNING

        await until(running)
    return execution.id


@story
async def test_a_second_sigterm_does_not_wait_for_work(tmp_path: Path):
    """The first lets work of a minute go on; the second hands it back, and it runs again after the next start."""
    await asked_twice(tmp_path, signal.SIGTERM)


@story
async def test_sigterm_after_sigint_does_not_wait_for_work(tmp_path: Path):
    """Ctrl-C, and then a service manager: the same."""
    await asked_twice(tmp_path, signal.SIGINT)


async def asked_twice(tmp_path: Path, first: signal.Signals) -> None:
    """Send a server that works two signals."""
    async with served(tmp_path, handlers="support.handlers.hostile") as server:
        execution_id = await begun_work(server, 60)
        server.process.send_signal(first)

        async def draining() -> bool:
            return "server.draining" in server.written()

        await until(draining)
        assert server.process.poll() is None
        code, errors, took = await asyncio.to_thread(ended, server)
    assert (code, "Traceback" in errors) == (0, False)
    assert took < 20  # neither for the work nor for the 30 s that it has to drain
    assert await checked(tmp_path / "schedule.db", Acknowledged(executions=[execution_id])) == []
    async with served(tmp_path, handlers="support.handlers.hostile") as server, calling(server.address) as client:

        async def runs_again() -> bool:
            execution = await client.get_execution(execution_id)
            return execution.state is State.RUNNING and not execution.failed_attempts

        await until(runs_again)


@story
async def test_a_signal_during_start(tmp_path: Path):
    """At any moment from the first instruction to the first call: it ends, and the next start finds all in order."""
    await asyncio.to_thread(signalled_during_start, tmp_path)


def signalled_during_start(tmp_path: Path) -> None:
    """Start a server and end it, again and again."""
    with serving(tmp_path, "--init") as server:
        server.terminate()
    for moment in (0.02, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8):
        process = subprocess.Popen(
            [COMMAND, "serve", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--init"],
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        time.sleep(moment)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=AT_MOST)
        assert process.returncode in BY_SIGNAL
        assert "Traceback" not in errors
    with serving(tmp_path) as server:
        code, _ = server.terminate()
    assert code == 0
    assert check(tmp_path / "schedule.db") == []


@story
async def test_killed_during_a_migration(tmp_path: Path):
    """At every step of every version's migration: the next start goes on from the version that was reached."""
    for step in STEPS:
        (folder := tmp_path / step).mkdir()
        await asyncio.to_thread(killed_during_a_migration, folder, step)


def killed_during_a_migration(tmp_path: Path, step: str) -> None:
    """Kill a server twice at this step, and start it."""
    database = tmp_path / "schedule.db"
    first_version(database)
    reached = version(database)
    for _ in range(2):
        with pytest.raises(AssertionError, match="exit -9"):
            start(tmp_path, **{VARIABLE: f"migrate.{step}=kill"})
        reached += step == "committed"
        assert version(database) == reached
    with serving(tmp_path) as server:
        code, _ = server.terminate()
    assert (code, version(database)) == (0, len(MIGRATIONS))
    assert check(database) == []


@story
async def test_asked_to_stop_during_a_migration(tmp_path: Path):
    """It stops, with the migration undone or done, and the next start finds all in order."""
    await asyncio.to_thread(asked_during_a_migration, tmp_path)


def asked_during_a_migration(tmp_path: Path) -> None:
    """Stop a server in the midst of it, and ask it to end."""
    database = tmp_path / "schedule.db"
    first_version(database)
    process = subprocess.Popen(
        [COMMAND, "serve", "--grpc", "127.0.0.1:0", "--http", "off"],
        cwd=tmp_path,
        env=environment(**{VARIABLE: "migrate.written=stop"}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not stopped(process.pid):
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGCONT)
    assert process.wait(AT_MOST) in BY_SIGNAL
    with serving(tmp_path) as server:
        code, _ = server.terminate()
    assert (code, version(database)) == (0, len(MIGRATIONS))
    assert check(database) == []


def version(database: Path) -> int:
    """Return a file's schema version."""
    with closing(sqlite3.connect(database)) as connection:
        found: int
        (found,) = connection.execute("PRAGMA user_version").fetchone()
    return found


@story
async def test_sighup_drains(tmp_path: Path):
    """As SIGTERM: what runs is handed back or ends, and the exit code is 0."""
    async with served(tmp_path, handlers="support.handlers.hostile") as server:
        execution_id = await begun_work(server, 1)
        server.process.send_signal(signal.SIGHUP)
        assert await asyncio.to_thread(server.process.wait, AT_MOST) == 0
        assert "server.stopped" in server.written()
    assert await checked(tmp_path / "schedule.db", Acknowledged(executions=[execution_id]), at_rest=True) == []


@story
async def test_signals_again_and_again(tmp_path: Path):
    """To the very end of the process, of each kind: exit code 0, and no traceback."""
    async with served(tmp_path, "--http", "127.0.0.1:0", handlers="support.handlers.hostile") as server:

        def pester() -> None:
            while server.process.poll() is None:
                for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                    server.process.send_signal(number)
                time.sleep(0.001)

        async with asyncio.timeout(AT_MOST):
            await asyncio.to_thread(pester)
        assert (server.process.returncode, "Traceback" in server.written()) == (0, False)
