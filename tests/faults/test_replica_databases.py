"""What befalls the database of several servers, and the way to it: crashes, locks, connections cut and silent."""

import asyncio
import logging
import random
import time
from pathlib import Path

import asyncpg
import httpx2
import pytest
from support.callers.load import Load, settled
from support.patience import AT_MOST, calling, until
from support.servers.postgres import Postgres
from support.servers.postgres import serving as serving_postgres
from support.servers.process import Server, serves
from support.servers.replicas import begun_long, let_go, reaches, replicas
from support.servers.tcp_proxy import AtCommit, TcpProxy
from support.stories import story

from schedule_grpc.client import AsyncClient
from schedule_grpc.domain.execution import State
from schedule_grpc.errors import Unavailable

log = logging.getLogger(__name__)
HTTP = ("--http", "127.0.0.1:0")
UNREADY = {
    "the database does not answer, or takes no writes",
    "the server has not begun to work yet",
    "the server holds no lease",
}
"""All that strangers are told of a server whose database is away."""


async def probed(server: Server) -> tuple[int, int]:
    """Return what GET /health and GET /readyz answer; the process lives, whatever they say."""
    async with httpx2.AsyncClient(base_url=f"http://{server.http_address}", trust_env=False, timeout=AT_MOST) as caller:
        assert (await caller.get("/livez")).status_code == 200
        ready = await caller.get("/readyz")
        assert set(ready.json().get("reasons", ())) <= UNREADY
        return (await caller.get("/health")).status_code, ready.status_code


async def healthy(server: Server) -> bool:
    """Tell whether both edges say so; they agree."""
    serving, answered = await serves(server), await probed(server)
    return serving and answered == (200, 200)


async def ill(server: Server) -> bool:
    """Tell whether both edges say so."""
    serving, answered = await serves(server), await probed(server)
    return not serving and answered == (503, 503)


@story
async def test_the_database_crashes_under_load(tmp_path: Path, long: bool):
    """Stopped at once and started: servers stay, and say so meanwhile; what was acknowledged is there; all goes on."""
    load, moments = Load(), random.Random(5)  # noqa: S311
    with serving_postgres() as postgres, postgres.database() as url:
        async with replicas(tmp_path, url) as servers:
            first, second = await servers.start_many(2, *HTTP)
            await load.prepare(first.address)
            for number in range(8 if long else 2):
                working = asyncio.create_task(servers.work(load, moments))
                await asyncio.sleep(moments.uniform(1, 2))
                await load.acknowledged(30 * (number + 1))
                await asyncio.to_thread(postgres.stop_at_once)
                await asyncio.gather(until(lambda: ill(first)), until(lambda: ill(second)))
                await let_go(working)
                await asyncio.to_thread(postgres.start_again)
                began = time.monotonic()
                await asyncio.gather(until(lambda: healthy(first)), until(lambda: healthy(second)))
                log.info("database back to healthy: %.1f s", time.monotonic() - began)
                await load.repeat(second.address)
            found = await settled(first.address, url, load.log, replicas=tmp_path)
            await servers.stop_all()
    assert found == []
    assert len(load.log.executions) > 50


@story
async def test_connections_are_cut_and_fall_silent(tmp_path: Path, postgres: Postgres, long: bool):
    """At COMMIT, before it comes and after, and at random: nothing twice, nothing acknowledged lost."""
    load, moments = Load(), random.Random(3)  # noqa: S311
    fates = [AtCommit.CUT_BEFORE, AtCommit.CUT_AFTER]

    async def nothing_left() -> bool:
        return not proxy.commits

    async with TcpProxy(postgres.socket).open() as proxy:
        with postgres.database() as url:
            async with replicas(tmp_path, url) as servers:
                afar = await servers.start(url=proxy.before(url))
                near = await servers.start()
                await load.prepare(afar.address)
                working = asyncio.create_task(servers.work(load, moments))
                for _ in range(60 if long else 12):
                    proxy.resets = moments.random() < 0.5
                    proxy.commits += [moments.choice([*fates, *[AtCommit.PASSES] * 3]) for _ in range(20)]
                    await asyncio.sleep(moments.uniform(0.2, 0.5))
                    if moments.random() < 0.2:
                        proxy.cut()
                proxy.commits.clear()
                proxy.commits += [AtCommit.SILENT_AFTER, AtCommit.SILENT_BEFORE] * (3 if long else 1)
                await until(nothing_left)
                proxy.fall_silent()
                await asyncio.sleep(2)
                proxy.pass_on()
                await asyncio.sleep(2)
                await let_go(working)
                await load.repeat(near.address)
                found = await settled(near.address, url, load.log, replicas=tmp_path)
                await servers.stop_all()
    log.info("at COMMIT: %s", {fate.name: proxy.met.count(fate) for fate in AtCommit})
    assert found == []
    assert all(proxy.met.count(fate) for fate in AtCommit)


@story
async def test_the_network_falls_silent_for_long(tmp_path: Path, postgres: Postgres):
    """A server that is cut off says so, lets go of what it runs before others take it, and starts nothing meanwhile."""
    async with TcpProxy(postgres.socket).open() as proxy:
        with postgres.database() as url:
            async with replicas(tmp_path, url) as servers:
                afar = await servers.start(*HTTP, url=proxy.before(url))
                async with calling(afar.address) as client:
                    execution_id, _ = await begun_long(servers, client, "task")
                near = await servers.start(*HTTP)
                proxy.fall_silent()
                await until(lambda: ill(afar))
                async with calling(near.address) as client:
                    assert await servers.begun(execution_id, attempts=2) is near
                    assert "lease.lapsed" in afar.written()
                    ended = await until(reaches(client, execution_id, State.SUCCEEDED))
                    proxy.pass_on()
                    await until(lambda: healthy(afar))
                    assert await client.get_execution(execution_id) == ended
                found = await settled(afar.address, url, Load().log, replicas=tmp_path)
                await servers.stop_all()
    assert found == []


@story
async def test_a_table_that_somebody_locks(tmp_path: Path, postgres: Postgres):
    """For 12 s: calls are refused within their bounds, what runs keeps its lease, and all goes on afterwards."""
    with postgres.database() as url:
        async with replicas(tmp_path, url) as servers:
            first, _ = await servers.start_many(2, *HTTP)
            async with calling(first.address, attempts=1) as client:
                await client.register_task(name="second", schedule="every 1 second", handler="quick")
                await client.register_task(name="task", schedule="@manual", handler="long", payload={"seconds": 16})
                running = (await client.run_task_now("task", detach=True)).execution.id
                await servers.begun(running)
                locker = await asyncpg.connect(url)
                await locker.execute("BEGIN; LOCK TABLE task_executions IN ACCESS EXCLUSIVE MODE")
                took = await asyncio.gather(*(refused(client, "task") for _ in range(20)))
                await until(lambda: ill(first))
                await asyncio.sleep(max(12 - max(took), 0))
                await locker.execute("ROLLBACK")
                await locker.close()
                ended = await until(reaches(client, running, State.SUCCEEDED))
                await until(lambda: healthy(first))
                assert (await client.run_task_now("task", payload={"seconds": 0})).success
            found = await settled(first.address, url, Load().log, replicas=tmp_path)
            await servers.stop_all()
    log.info("calls under a locked table were refused after %.1f s to %.1f s", min(took), max(took))
    assert (ended.attempt, ended.failed_attempts) == (1, ())
    assert max(took) < 25
    assert found == []


async def refused(client: AsyncClient, name: str) -> float:
    """Ask for a run that is refused as UNAVAILABLE; return after how many seconds."""
    began = time.monotonic()
    with pytest.raises(Unavailable):
        await client.run_task_now(name, detach=True)
    return time.monotonic() - began
