"""Several servers on one PostgreSQL database: killed, stopped, asleep, with wrong clocks. The checker decides."""

import asyncio
import json
import logging
import random
import statistics
import threading
import time
from pathlib import Path

from support.callers.load import QUICK, Load, settled
from support.machine.wall_clock import WallClock
from support.patience import calling, until
from support.servers.postgres import Postgres
from support.servers.replicas import begun_long, let_go, reaches, replicas
from support.servers.webhook import Receiver
from support.stories import checked, story
from support.witnesses.checker import Acknowledged
from support.witnesses.checker.reading import rows

from schedule_grpc.domain.execution import State
from schedule_grpc.domain.policy import Overlap, Policy
from schedule_grpc.domain.retry import FailureKind

FIRED = "SELECT * FROM task_executions WHERE scheduled_time IS NOT NULL AND start_time IS NOT NULL"
log = logging.getLogger(__name__)


async def prepared(address: str, tasks: int) -> None:
    """Register so many tasks of every second, of each kind of handler and each policy for overlaps."""
    async with calling(address) as client:
        for number in range(tasks):
            await client.register_task(
                name=f"second-{number}",
                schedule="every 1 second",
                handler=("quick", "flaky", "slow")[number % 3],
                policy=Policy(retry=QUICK, overlap=tuple(Overlap)[number % 4]),
            )


@story
async def test_killed_and_started_at_random(tmp_path: Path, postgres: Postgres, long: bool):
    """Under a load of everything callers do: nothing acknowledged is gone, nothing ran twice, or at once."""
    number, seconds, kills = (5, 60, 20) if long else (3, 10, 3)
    moments, load = random.Random(7), Load()  # noqa: S311
    with postgres.database() as url:
        async with replicas(tmp_path, url) as servers:
            first, *_ = await servers.start_many(number)
            await load.prepare(first.address)
            await prepared(first.address, 20)
            working = asyncio.create_task(servers.work(load, moments))
            for _ in range(kills):
                await asyncio.sleep(moments.uniform(0.5, 1.5) * seconds / kills / 2)
                await servers.kill(moments.choice(servers.alive))
                await asyncio.sleep(moments.uniform(0.5, 1.5) * seconds / kills / 2)
                await servers.start()
            await load.acknowledged(50)
            await let_go(working)
            last = servers.alive[-1]
            await load.repeat(last.address)
            found = await settled(last.address, url, load.log, replicas=tmp_path)
            await servers.stop_all()
    log.info("%d replicas, %d kills, %d executions acknowledged", number, kills, len(load.log.executions))
    assert found == []
    assert len(load.log.executions) > 50


@story
async def test_killed_with_running_work(tmp_path: Path, postgres: Postgres, long: bool):
    """What it ran runs elsewhere once its lease is over, within 15 s; measured again and again in the long one."""
    took = []
    with postgres.database() as url:
        async with replicas(tmp_path, url) as servers:
            await servers.start_many(2)
            for number in range(6 if long else 1):
                server = servers.alive[0]
                async with calling(server.address) as client:
                    execution_id, owner = await begun_long(servers, client, f"task-{number}")
                    await servers.kill(owner)
                began = time.monotonic()
                await servers.begun(execution_id, attempts=2)
                took.append(time.monotonic() - began)
                async with calling(servers.alive[0].address) as client:
                    ended = await until(reaches(client, execution_id, State.SUCCEEDED))
                assert [attempt.failure_kind for attempt in ended.failed_attempts] == [FailureKind.LEASE_LOST]
                await servers.start()
            await servers.stop_all()
        assert await checked(url, at_rest=True) == []
    log.info("SIGKILL to running elsewhere: %s s", sorted(round(each, 1) for each in took))
    assert min(took) > 8
    assert max(took) < 15


@story
async def test_asked_to_stop_with_running_work(tmp_path: Path, postgres: Postgres, long: bool):
    """It hands back what has not ended when its patience is over, and another one finishes that within seconds."""
    took = []
    with postgres.database() as url:
        async with replicas(tmp_path, url) as servers:
            await asyncio.gather(*(servers.start("--drain-timeout", "0s") for _ in range(2)))
            for number in range(6 if long else 2):
                async with calling(servers.alive[0].address) as client:
                    execution_id, owner = await begun_long(servers, client, f"task-{number}")
                began = time.monotonic()
                await servers.stop(owner)
                await servers.begun(execution_id, attempts=2)
                took.append(time.monotonic() - began)
                async with calling(servers.alive[0].address) as client:
                    ended = await until(reaches(client, execution_id, State.SUCCEEDED))
                assert (ended.attempt, ended.failed_attempts) == (1, ())
                await servers.start("--drain-timeout", "0s")
            await servers.stop_all()
        assert await checked(url, at_rest=True) == []
    log.info("SIGTERM to running elsewhere: %s s", sorted(round(each, 2) for each in took))
    assert statistics.median(took) < 5


@story
async def test_a_zombie(tmp_path: Path, postgres: Postgres):
    """Stopped for longer than its leases, it wakes: what it ran has run elsewhere, and it has no say in it any more."""
    with postgres.database() as url:
        async with replicas(tmp_path, url) as servers:
            first, second = await servers.start_many(2)
            async with calling(first.address) as client:
                execution_id, zombie = await begun_long(servers, client, "task", 15)
                await client.register_task(name="second", schedule="every 1 second", handler="quick")
            servers.pause(zombie)
            other = second if zombie is first else first
            async with calling(other.address) as client:
                ended = await until(reaches(client, execution_id, State.SUCCEEDED))
                servers.resume(zombie)

                async def heard() -> bool:
                    said = zombie.written()
                    return "execution.record_refused" in said or "lease.lost" in said

                await until(heard)
                assert await client.get_execution(execution_id) == ended
            assert [attempt.failure_kind for attempt in ended.failed_attempts] == [FailureKind.LEASE_LOST]
            await asyncio.sleep(2)
            async with calling(zombie.address) as client:
                assert await client.get_execution(execution_id) == ended
                assert (await client.run_task_now("task")).success
            await servers.stop_all()
        assert await checked(url, Acknowledged(succeeded=[execution_id]), at_rest=True) == []


@story
async def test_wrong_clocks(tmp_path: Path, postgres: Postgres):
    """Ten minutes before, ten minutes behind, and right: all of them fire on time, and none takes another's leases."""

    async def many_fired() -> bool:
        return len(await asyncio.to_thread(rows, url, FIRED)) > 50

    with postgres.database() as url:
        async with replicas(tmp_path, url) as servers:
            for seconds in (600, -600):
                folder = tmp_path / f"{seconds}"
                folder.mkdir()
                clock = WallClock(folder)
                clock.jump(seconds)
                await servers.start(**clock.variables())
            early, late = servers.alive
            async with calling(early.address) as client:
                for number in range(5):
                    await client.register_task(name=f"slow-{number}", schedule="every 1 second", handler="slow")
                await client.register_task(name="long", schedule="@manual", handler="long", payload={"seconds": 12})
                running = (await client.run_task_now("long", detach=True)).execution.id
            async with calling(late.address) as client:
                await until(reaches(client, running, State.SUCCEEDED))
            await until(many_fired)
            await servers.stop_all()
        found = rows(url, "SELECT * FROM task_executions")
        assert await checked(url, Acknowledged(succeeded=[running])) == []
    fired = [row for row in found if row["scheduled_time"] is not None and row["start_time"] is not None]
    assert [row for row in fired if not 0 <= row["start_time"] - row["scheduled_time"] < 1_500_000] == []
    assert [row for row in found if "LEASE_LOST" in (row["failed_attempts"] or "")] == []


@story
async def test_alerts_of_several_servers(tmp_path: Path, postgres: Postgres):
    """A condition's start and its end are told once each; when who tells them is killed, another one tells the rest."""
    webhook = Receiver()
    threading.Thread(target=webhook.serve_forever, daemon=True).start()
    (tmp_path / "schedule.toml").write_text(f'[alerts]\nurls = ["{webhook.url}"]\n')

    def told() -> list[tuple[str, str]]:
        got = [json.loads(body) for _, body in webhook.got]
        return [(each["type"], each["data"]["task"]) for each in got]

    async def tells(expected: list[tuple[str, str]]) -> None:
        async def as_expected() -> bool:
            return told() == expected

        await until(as_expected)

    async def noted_as_told() -> bool:
        (row,) = await asyncio.to_thread(rows, url, "SELECT phase FROM alert_states")
        return bool(row["phase"] == "TOLD")

    with postgres.database() as url:
        async with replicas(tmp_path, url) as servers:
            first = await servers.start()
            second = await servers.start()
            started, ended = ("alert.started", "task"), ("alert.ended", "task")
            async with calling(second.address) as client:
                await client.register_task(
                    name="task", schedule="@manual", handler="complains", payload={"wrong": True}
                )
                await client.run_task_now("task")
                await client.run_task_now("task")
                await tells([started])
                await until(noted_as_told)
                await servers.kill(first)
                await client.run_task_now("task", payload={"wrong": False})
                began = time.monotonic()
                await tells([started, ended])
                log.info("SIGKILL of who tells alerts to the next one telling: %.1f s", time.monotonic() - began)
                await asyncio.sleep(1)
                assert told() == [started, ended]
            await servers.stop_all()
        assert await checked(url, at_rest=True) == []
    webhook.shutdown()
    webhook.server_close()
