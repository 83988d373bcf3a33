"""What a server's lease bears: nothing that a living server meets costs it the work that it runs."""

import asyncio
import logging
from datetime import timedelta
from pathlib import Path

import asyncpg
from support.callers.load import Load, settled
from support.patience import calling, until
from support.servers.postgres import Postgres
from support.servers.process import Server
from support.servers.replicas import Replicas, reaches, replicas
from support.servers.tcp_proxy import TcpProxy
from support.stories import story

from schedule_grpc.client import AsyncClient
from schedule_grpc.domain.execution import Execution, State
from schedule_grpc.domain.policy import Policy

log = logging.getLogger(__name__)

PROMISED = 8
"""Seconds for which a server may be suspended and loses nothing (docs/operations.md)."""
LONGER = 25
"""Seconds that work takes which goes on beside what befalls its server: longer than two leases."""


async def begun(client: AsyncClient, servers: Replicas, handler: str, seconds: float = LONGER) -> tuple[str, Server]:
    """Have a handler run for so long; return its execution and its server."""
    policy = Policy(timeout=timedelta(hours=1))
    payload = {"seconds": seconds}
    await client.register_task(name=handler, schedule="@manual", handler=handler, payload=payload, policy=policy)
    execution_id = (await client.run_task_now(handler, detach=True)).execution.id
    return execution_id, await servers.begun(execution_id)


async def undisturbed(servers: Replicas, *execution_ids: str) -> None:
    """Wait for the end of executions: each succeeded at its first attempt, and no server took anything over."""
    async with calling(servers.alive[-1].address) as client:
        ends: list[Execution] = [
            await until(reaches(client, each, State.SUCCEEDED, State.FAILED)) for each in execution_ids
        ]
    found = await settled(servers.alive[-1].address, servers.url, Load().log, replicas=servers.folder)
    for server in servers.alive:
        assert "leases.rescued" not in server.written()
    await servers.stop_all()
    assert [(end.state, end.attempt, end.failed_attempts) for end in ends] == [(State.SUCCEEDED, 1, ())] * len(ends)
    assert found == []


@story
async def test_suspended_for_as_long_as_is_promised(tmp_path: Path, postgres: Postgres, long: bool):
    """In a thread and in the event loop: what it ran goes on where it was, and is recorded."""
    with postgres.database() as url:
        async with replicas(tmp_path, url) as servers:
            server = await servers.start()
            async with calling(server.address) as client:
                running = [(await begun(client, servers, name))[0] for name in ("long", "long-in-thread")]
            await servers.start()
            for _ in range(2 if long else 1):
                servers.pause(server)
                await asyncio.sleep(PROMISED)
                servers.resume(server)
                await asyncio.sleep(2)
            await undisturbed(servers, *running)


@story
async def test_one_handler_blocks_the_event_loop(tmp_path: Path, postgres: Postgres):
    """For two leases: that server's other work stays its own, and so does the handler that blocks."""
    with postgres.database() as url:
        async with replicas(tmp_path, url) as servers:
            first = await servers.start()
            async with calling(first.address) as client:
                beside, _ = await begun(client, servers, "long-in-thread")
                blocking, _ = await begun(client, servers, "blocks", 20)
            await servers.start()
            await undisturbed(servers, beside, blocking)


@story
async def test_a_disk_that_stands_still(tmp_path: Path, postgres: Postgres):
    """No lease can be renewed for 20 s, by nobody: nothing is taken over, and nothing stops."""
    with postgres.database() as url:
        async with replicas(tmp_path, url) as servers:
            first, _ = await servers.start_many(2)
            async with calling(first.address) as client:
                running = [(await begun(client, servers, name))[0] for name in ("long", "long-in-thread")]
            shell = await asyncpg.connect(url)
            async with shell.transaction():
                await shell.execute("SELECT 1 FROM replicas FOR UPDATE")
                await asyncio.sleep(20)
            await shell.close()
            for server in servers.alive:
                assert "lease.not_renewed" in server.written()
            await undisturbed(servers, *running)


@story
async def test_a_slow_network(tmp_path: Path, postgres: Postgres):
    """Each round trip to the database takes 200 ms: the lease is renewed all the same."""
    async with TcpProxy(postgres.socket).open() as proxy:
        proxy.delay = 0.1
        with postgres.database() as url:
            async with replicas(tmp_path, url) as servers:
                await servers.start(url=proxy.before(url))
                near = await servers.start("--no-engine")
                async with calling(near.address) as client:
                    running = [(await begun(client, servers, name))[0] for name in ("long", "long-in-thread")]
                await servers.start()
                await undisturbed(servers, *running)
