"""Three servers of the Deployment are replaced one by one, under calls that are made once: none of them fails."""

import asyncio
from pathlib import Path

from support.callers.load import settled
from support.callers.steady import SteadyCallers
from support.servers.balancer import Balancer
from support.servers.pods import Pod, pods
from support.servers.postgres import Postgres
from support.stories import story

SERVERS = 3
CALLS = 3
"""Calls of each kind that are answered before a server is asked to stop, and after it has ended."""
DELAY = "6s"
"""The manifest's 30 s, less: the balancer learns within a second, and has 2.7 s for it."""


@story
async def test_a_rollout_fails_no_call(tmp_path: Path, postgres: Postgres, long: bool):
    """One more is started and ready, then an old one is asked to stop, as by maxSurge 1 and maxUnavailable 0.

    With FAULTS=long all are replaced, three times; else the one that the watch is connected to, once.
    """
    with postgres.empty_database() as url:
        async with pods(tmp_path, url, drain_delay=DELAY) as made, Balancer().open() as balancer:
            alive = list(await asyncio.gather(*(made.start() for _ in range(SERVERS))))
            for pod in alive:
                await balancer.follow(pod.backend)
            key = await alive[0].execute("keys", "create", "root", "--grant", "admin@*", "--no-expiry")
            callers = SteadyCallers(balancer, ca=made.ca, token=key.strip(), pause=0 if long else 0.4)
            await callers.begin()
            watched = await balancer.chosen(callers.watch_port)
            for _ in range(3 if long else 1):
                for old in [pod for pod in alive if long or pod.backend is watched]:
                    alive.append(new := await made.start())
                    await balancer.follow(new.backend)
                    await replaced(old, balancer, callers)
                    alive.remove(old)
            await callers.stop()
            found = await settled(alive[0].socket, url, callers.log, replicas=tmp_path)
            await asyncio.gather(*(pod.stop() for pod in alive))
    assert callers.failures == []
    assert balancer.refused == 0
    assert callers.watches_renewed > 0
    assert found == []


async def replaced(old: Pod, balancer: Balancer, callers: SteadyCallers) -> None:
    """Stop one that callers are connected to, and let them go on at the others."""
    await balancer.reached(old.backend)
    await callers.go_on(CALLS)
    await old.stop()
    await balancer.forget(old.backend)
    await callers.go_on(CALLS)
