"""What befalls servers under workers: killed again and again, and their database away."""

import asyncio
import logging
import random
import statistics
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from support.callers.load import Load, settled
from support.patience import calling, until
from support.servers.crew import Workers, workers
from support.servers.postgres import Postgres
from support.servers.postgres import serving as serving_postgres
from support.servers.process import Server, start
from support.servers.replicas import let_go, reaches, replicas
from support.stories import checked, story
from support.witnesses.checker.reading import rows

from schedule_grpc.conformance.tcp_proxy import Pipe, TcpProxy
from schedule_grpc.domain.execution import State
from schedule_grpc.domain.policy import Policy
from schedule_grpc.domain.retry import FailureKind

LOSSES = """SELECT count(*) AS number FROM task_executions WHERE failed_attempts LIKE '%LEASE_LOST%'"""
AWAY = "SELECT count(*) AS number FROM workers WHERE end_time IS NULL AND seen_time < {since}"
SLEEPING = "support.handlers.at_workers"
log = logging.getLogger(__name__)
pytestmark = pytest.mark.keyless  # proxies hide which server a worker calls, and raw workers show no key


def before(servers: Callable[[], list[Server]]) -> TcpProxy:
    """Return a proxy that leads each connection to one of the servers that are alive, if there is one."""
    moments = random.Random(1)  # noqa: S311

    async def connect() -> Pipe:
        if not (alive := servers()):
            raise ConnectionRefusedError
        host, _, port = moments.choice(alive).address.rpartition(":")
        return await asyncio.open_connection(host, int(port))

    return TcpProxy(connect)


async def back(place: Path | str, since: float) -> None:
    """Return once each worker has been heard of since then, seconds of the wall clock."""

    async def all_back() -> bool:
        (found,) = await asyncio.to_thread(rows, place, AWAY.format(since=int(since * 1e6)))
        return found["number"] == 0

    await until(all_back)


async def crew_of(crew: Workers, address: str, number: int) -> None:
    """Start so many workers with the handlers of the load, 30 s their leases."""
    await asyncio.gather(*(crew.start(address, name=f"worker-{each}", slots=8, lease="30s") for each in range(number)))


@story
async def test_a_server_is_killed_under_workers(tmp_path: Path, long: bool):
    """Again and again: what runs goes on, its outcome is recorded once, and all workers come back by themselves."""
    kills, number = (20, 10) if long else (3, 2)
    moments, load, place = random.Random(11), Load(), tmp_path / "schedule.db"  # noqa: S311
    servers: list[Server] = []
    returns = []
    try:
        async with before(lambda: servers).open() as front, workers(tmp_path) as crew:
            servers.append(await asyncio.to_thread(start, tmp_path, handlers=None))
            await crew_of(crew, f"127.0.0.1:{front.port}", number)
            if long:  # fifty in all
                await crew.start_many(f"127.0.0.1:{front.port}", 40, slots=4, handler="quick", lease=30)
            await load.prepare(servers[0].address)
            for each in range(kills):
                working = asyncio.create_task(load.work(servers[0].address))
                await asyncio.sleep(moments.uniform(0.1, 1.0))
                await load.acknowledged(5 * (each + 1))
                await asyncio.to_thread(servers.pop().kill)
                servers.append(await asyncio.to_thread(start, tmp_path, handlers=None))
                serving, wall = time.monotonic(), time.time()
                await let_go(working)
                await back(place, wall)
                returns.append(time.monotonic() - serving)
                await load.repeat(servers[0].address)
            found = await settled(servers[0].address, place, load.log, replicas=tmp_path)
            await crew.stop_all()
            code, _ = await asyncio.to_thread(servers[0].terminate)
    finally:
        for server in servers:
            await asyncio.to_thread(server.end)
    (lost,) = rows(place, LOSSES)
    log.info(
        "%d kills of the server under %d workers, %d executions acknowledged, %d attempts lost",
        kills,
        50 if long else number,
        len(load.log.executions),
        lost["number"],
    )
    log.info("serving to all workers back: median %.1f s, worst %.1f s", statistics.median(returns), max(returns))
    assert (code, found) == (0, [])
    assert lost["number"] == 0
    assert len(load.log.executions) > 5 * kills


@story
async def test_replicas_are_killed_under_workers(tmp_path: Path, postgres: Postgres, long: bool):
    """Workers on any of them: their calls move on to the others, and no attempt is lost by it."""
    kills, seconds = (10, 60) if long else (2, 6)
    moments, load = random.Random(13), Load()  # noqa: S311
    with postgres.database() as url:
        async with replicas(tmp_path, url) as servers, workers(tmp_path) as crew:
            await asyncio.gather(*(servers.start(handlers=None) for _ in range(3)))
            async with before(lambda: servers.alive).open() as front:
                await crew_of(crew, f"127.0.0.1:{front.port}", 4 if long else 2)
                await load.prepare(servers.alive[0].address)
                working = asyncio.create_task(servers.work(load, moments))
                for _ in range(kills):
                    await asyncio.sleep(moments.uniform(0.5, 1.5) * seconds / kills / 2)
                    await servers.kill(moments.choice(servers.alive))
                    await asyncio.sleep(moments.uniform(0.5, 1.5) * seconds / kills / 2)
                    await servers.start(handlers=None)
                await load.acknowledged(50)
                await let_go(working)
                last = servers.alive[-1]
                await load.repeat(last.address)
                found = await settled(last.address, url, load.log, replicas=tmp_path)
                await crew.stop_all()
            await servers.stop_all()
        (lost,) = await asyncio.to_thread(rows, url, LOSSES)
    log.info(
        "%d kills of replicas, %d executions acknowledged, %d attempts lost",
        kills,
        len(load.log.executions),
        lost["number"],
    )
    assert found == []
    assert lost["number"] == 0


async def away(folder: Path, seconds: float) -> dict[str, tuple[int, str]]:
    """Stop the database for so long under two attempts that end meanwhile; return what became of them.

    One worker has a lease that lasts longer than that, the other one has not.
    """
    patient = Policy(timeout=timedelta(hours=1))
    leases = {"patient": f"{2 * seconds + 20:g}s", "hasty": "10s"}
    with serving_postgres() as postgres, postgres.database() as url:
        async with replicas(folder, url) as servers, workers(folder) as crew:
            server = await servers.start(handlers=None)
            async with calling(server.address) as client:
                ids = {}
                for name, lease in leases.items():
                    await crew.start(server.address, module=SLEEPING, name=name, offers=name, lease=lease)
                    await client.register_task(
                        name=name, schedule="@manual", handler=name, payload={"seconds": seconds * 0.8}, policy=patient
                    )
                    ids[name] = (await client.run_task_now(name, detach=True)).execution.id
                    await crew.begun(ids[name])
                await asyncio.to_thread(postgres.stop_at_once)
                await asyncio.sleep(seconds)
                await asyncio.to_thread(postgres.start_again)
                ends = {name: await until(reaches(client, each, State.SUCCEEDED)) for name, each in ids.items()}
                found = await settled(server.address, url, Load().log, replicas=folder)
                await crew.stop_all()
            await servers.stop_all()
            assert found == []
            assert await checked(url, at_rest=True) == []
    return {
        name: (end.attempt, ",".join(str(attempt.failure_kind) for attempt in end.failed_attempts))
        for name, end in ends.items()
    }


@story
async def test_the_database_is_away_under_workers(tmp_path: Path, long: bool):
    """A lease that lasts longer: the outcome is delivered later. A shorter one: the attempt is lost, and runs again."""
    for seconds in (20.0, 60.0) if long else (12.0,):
        folder = tmp_path / f"{seconds:g}"
        folder.mkdir()
        became = await away(folder, seconds)
        log.info("the database was away for %g s: (attempts, lost) by worker: %s", seconds, became)
        assert became == {"patient": (1, ""), "hasty": (2, FailureKind.LEASE_LOST.value)}
