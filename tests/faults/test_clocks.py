"""The wall clock of a real server jumps (libfaketime), and its process sleeps: nothing fires twice or is lost."""

import asyncio
import os
import signal
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from support.machine.wall_clock import WallClock
from support.patience import calling, until
from support.servers.process import Server, served, serves
from support.stories import checked, story
from support.witnesses.checker import Acknowledged
from support.witnesses.effects import contradictions

from schedule_grpc.domain.execution import Execution, State, Trigger
from schedule_grpc.runtime.failpoints import VARIABLE

HOUR, DAY = 3600, 86400


async def history(server: Server, name: str) -> tuple[Execution, ...]:
    """Return a task's executions, newest first."""
    async with calling(server.address) as client:
        return (await client.get_task_history(name, page_size=1000)).executions


async def prepared(server: Server) -> None:
    """Register a task of every second and one of every minute."""
    async with calling(server.address) as client:
        await client.register_task(name="second", schedule="every 1 second", handler="quick")
        await client.register_task(name="minute", schedule="* * * * *", handler="quick")

    async def has_run() -> bool:
        return len(await history(server, "second")) >= 2

    await until(has_run)


async def stopped(server: Server, database: Path, *, set_back: bool = False) -> None:
    """Stop the server; the checker finds nothing."""
    code, errors = await asyncio.to_thread(server.terminate)
    assert (code, "Traceback" in errors) == (0, False)
    assert await checked(database, Acknowledged(tasks=["second", "minute"]), set_back=set_back) == []


@story
async def test_the_clock_jumps_an_hour_forward(tmp_path: Path):
    """What was passed over is one execution that covers it, of each task; then all goes on."""
    await jumps_forward(tmp_path, HOUR)


@story
async def test_the_clock_jumps_a_day_forward(tmp_path: Path):
    """The same, over 86,400 occurrences of one of the tasks."""
    await jumps_forward(tmp_path, DAY)


async def jumps_forward(tmp_path: Path, seconds: int) -> None:
    """Set the clock of a server that many seconds ahead."""
    clock = WallClock(tmp_path)
    async with served(tmp_path, handlers="support.handlers.noting", **clock.variables()) as server:
        await prepared(server)
        clock.jump(seconds)

        async def caught_up() -> list[Execution]:
            return [each for each in await history(server, "minute") if each.covers is not None]

        (execution,) = await until(caught_up)
        assert execution.covers is not None
        # SCHEDULE, where the newest occurrence is not half a minute old: it is on time, and covers the older ones.
        assert execution.trigger in {Trigger.CATCH_UP, Trigger.SCHEDULE}
        assert seconds / 60 - 3 <= execution.covers.count <= seconds / 60 + 1

        async def goes_on() -> bool:
            newest = (await history(server, "second"))[0]
            return newest.trigger is Trigger.SCHEDULE and newest.state is State.SUCCEEDED

        await until(goes_on)
        await stopped(server, tmp_path / "schedule.db")


@story
async def test_the_clock_is_set_back(tmp_path: Path):
    """Nothing fires again that has fired: silence, until the clock is where it was; a run by hand works meanwhile."""
    clock = WallClock(tmp_path)
    async with served(tmp_path, handlers="support.handlers.noting", **clock.variables()) as server:
        await prepared(server)
        clock.jump(-HOUR)
        await asyncio.sleep(1.5)  # an occurrence that was being claimed has ended
        before = await history(server, "second")
        await asyncio.sleep(2.5)
        assert await history(server, "second") == before
        async with calling(server.address) as client:
            assert (await client.run_task_now("minute")).success
        assert not await serves(server)
        clock.jump(0)

        async def goes_on() -> bool:
            return len(await history(server, "second")) > len(before)

        await until(goes_on)
        await until(partial(serves, server))
        await stopped(server, tmp_path / "schedule.db", set_back=True)


@story
async def test_a_server_that_is_started_with_an_older_clock(tmp_path: Path):
    """An hour behind what is recorded: it starts, fires nothing twice, and goes on when its clock is right."""
    clock = WallClock(tmp_path)
    async with served(tmp_path, handlers="support.handlers.noting") as server:
        await prepared(server)
        await asyncio.to_thread(server.kill)
    clock.jump(-HOUR)
    async with served(tmp_path, handlers="support.handlers.noting", **clock.variables()) as server:
        before = len(await history(server, "second"))
        await asyncio.sleep(2)
        assert len(await history(server, "second")) == before
        clock.jump(0)

        async def goes_on() -> bool:
            return len(await history(server, "second")) > before

        await until(goes_on)
        await stopped(server, tmp_path / "schedule.db", set_back=True)


@story
async def test_a_process_that_sleeps(tmp_path: Path):
    """SIGSTOP for 10 s and SIGCONT, as a suspended machine: what was passed over is covered, what ran ends once."""
    seconds = 10
    async with served(tmp_path, handlers="support.handlers.noting") as server:
        await prepared(server)
        async with calling(server.address) as client:
            await client.register_task(name="by-hand", schedule="@manual", handler="slow")
            running = await client.run_task_now("by-hand", detach=True)
        os.kill(server.process.pid, signal.SIGSTOP)
        await asyncio.sleep(seconds)
        os.kill(server.process.pid, signal.SIGCONT)

        async def caught_up() -> list[Execution]:
            return [each for each in await history(server, "second") if each.covers is not None]

        covered = [each.covers.count for each in await until(caught_up) if each.covers]
        assert max(covered) >= seconds - 2

        async def ended() -> bool:
            return (await history(server, "by-hand"))[0].state is State.SUCCEEDED

        await until(ended)
        assert (await history(server, "by-hand"))[0].id == running.execution.id
        await stopped(server, tmp_path / "schedule.db")
    with closing(sqlite3.connect(tmp_path / "schedule.db")) as connection:
        (lost,) = connection.execute(
            "SELECT count(*) FROM task_executions WHERE failed_attempts LIKE '%LEASE_LOST%'"
        ).fetchone()
    assert lost == 0


@story
async def test_a_process_that_sleeps_in_the_midst_of_a_commit(tmp_path: Path):
    """Stopped for 12 s while a claim is being written: its heart beats first, and takes nothing for lost."""
    point = {VARIABLE: "claim.written=stop"}
    async with served(tmp_path, handlers="support.handlers.noting", **point) as server:
        async with calling(server.address) as client:
            await client.register_task(name="yearly", schedule="@yearly", handler="slow")
            end = datetime.now(UTC)
            past = await client.backfill_task("yearly", start_time=end - timedelta(days=366), end_time=end)
            running = past.executions[0]

            async def asleep() -> bool:
                return server.asleep()

            await until(asleep)
            await asyncio.sleep(12)
            os.kill(server.process.pid, signal.SIGCONT)

            async def ended() -> Execution | None:
                found = await client.get_execution(running.id)
                return found if found.state.is_terminal else None

            assert (await until(ended)).state is State.SUCCEEDED
        await asyncio.to_thread(server.terminate)
    assert await checked(tmp_path / "schedule.db", Acknowledged(executions=[running.id]), at_rest=True) == []
    assert await asyncio.to_thread(contradictions, tmp_path / "schedule.db") == []
