"""What befalls a worker that holds an attempt: killed, asleep, cut off for less and for more than its lease."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from support.callers.load import Load, settled
from support.patience import calling, until
from support.servers.crew import Workers, workers
from support.servers.process import Server, served
from support.servers.replicas import reaches
from support.servers.worker_process import WorkerProcess
from support.stories import checked, story
from support.witnesses import effects
from support.workers.raw import Verdict, raw_workers, succeeded

from schedule_grpc.client import AsyncClient
from schedule_grpc.conformance.tcp_proxy import TcpProxy
from schedule_grpc.domain.execution import Execution, State
from schedule_grpc.domain.policy import Policy
from schedule_grpc.domain.retry import FailureKind

SLEEPING = "support.handlers.at_workers"
AT_MOST_LATER = 30.0
"""Seconds beyond a lease within which another worker has begun: 5 to 10, and the slowest machine takes its time."""
PATIENT = Policy(timeout=timedelta(hours=1))
LOST = ("killed", "asleep", "cut-off")
SHORTEST, LONGER = 10, 30
"""Seconds; of leases."""
APART = 5.0
"""Seconds between the end of an attempt whose lease is nearly over and the next one's beginning, at least."""
log = logging.getLogger(__name__)
pytestmark = pytest.mark.keyless  # proxies hide which server a worker calls, and raw workers show no key


def before(server: Server) -> TcpProxy:
    """Return a proxy before a server."""
    host, _, port = server.address.rpartition(":")
    return TcpProxy(lambda: asyncio.open_connection(host, int(port)))


@dataclass
class Scene:
    """A worker for each fault, and the attempt that it holds."""

    server: Server
    crew: Workers
    client: AsyncClient
    ways: Mapping[str, TcpProxy]
    victims: dict[str, WorkerProcess] = field(default_factory=dict)
    running: dict[str, str] = field(default_factory=dict)

    async def begin(self, name: str, lease: float, seconds: float) -> None:
        """Start a worker, and have it begin a handler that takes so long, and no time in a second attempt."""
        address = f"127.0.0.1:{self.ways[name].port}" if name in self.ways else self.server.address
        self.victims[name] = await self.crew.start(
            address, module=SLEEPING, name=name, offers=name, lease=f"{lease:g}s"
        )
        await self.client.register_task(
            name=name, schedule="@manual", handler=name, payload={"seconds": seconds}, policy=PATIENT
        )
        self.running[name] = (await self.client.run_task_now(name, detach=True)).execution.id
        await self.crew.begun(self.running[name])

    async def ended(self, *names: str) -> dict[str, Execution]:
        """Wait for the end of executions."""
        over = (State.SUCCEEDED, State.FAILED, State.CANCELLED)
        return {name: await until(reaches(self.client, self.running[name], *over)) for name in names}

    def marks(self, name: str) -> list[effects.Effect]:
        """Return what was noted of an execution, in order of time."""
        found = [each for each in effects.read(self.crew.folder) if each.execution == self.running[name]]
        return sorted(found, key=lambda each: each.time)

    async def told_late(self) -> bool:
        """Return whether the handler that slept with its worker has been told that its attempt is lost."""
        return [each.what for each in self.marks("asleep")] == ["begin", "begin", "end", "end"]


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    """Within this context there are a server, and two proxies before it."""
    async with (
        served(folder, handlers=None) as server,
        workers(folder) as crew,
        calling(server.address) as client,
        before(server).open() as brief,
        before(server).open() as enduring,
    ):
        yield Scene(server, crew, client, {"cut-short": brief, "cut-off": enduring})


@story
async def test_a_worker_that_is_silent(tmp_path: Path):
    """Its attempt is another's after its lease; what it says of it then is refused, and changes nothing."""
    async with (
        scene(tmp_path) as stage,
        raw_workers(stage.server.address) as (silent,),
    ):
        client, database = stage.client, tmp_path / "schedule.db"
        await client.register_task(
            name="task", schedule="@manual", handler="silent", policy=PATIENT, allow_unknown_handler=True
        )
        execution_id = (await client.run_task_now("task", detach=True)).execution.id
        await silent.register("silent", lease=timedelta(seconds=SHORTEST))
        (given,) = await silent.given()
        again = await until(reaches(client, execution_id, State.PENDING))
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await silent.verdict(given.lease_token)
        lost = (await silent.register("silent", held=(given.lease_token,))).lost_tokens
        late = [await silent.verdict(given.lease_token)]
        (second,) = await silent.given()
        late.append(await silent.verdict(given.lease_token))
        assert await silent.verdict(second.lease_token, succeeded("second")) == Verdict.APPLIED
        end = await client.get_execution(execution_id)
        found = await checked(database, at_rest=True)
    log.info("worker silent for its lease of %d s: its late reports STALE, %d attempts", SHORTEST, end.attempt)
    assert found == []
    assert unknown.value.code() is grpc.StatusCode.NOT_FOUND
    assert list(lost) == [given.lease_token]
    assert late == [Verdict.STALE, Verdict.STALE]
    assert [each.failure_kind for each in again.failed_attempts] == [FailureKind.LEASE_LOST]
    assert (end.state, end.attempt, end.result) == (State.SUCCEEDED, 2, "second")


@story
async def test_a_worker_that_holds_an_attempt(tmp_path: Path, long: bool):
    """Killed, asleep, cut off: another one has the attempt once the lease is over; cut off for a while: it goes on."""
    asleep, cut = (60.0, 10.0) if long else (0.0, 5.0)
    async with scene(tmp_path) as stage:
        for name in LOST:
            await stage.begin(name, SHORTEST, 600)
        await stage.begin("cut-short", LONGER, 12 + 2 * cut)
        await stage.crew.start(stage.server.address, module=SLEEPING, name="other", offers=",".join(stage.victims))
        befell = time.monotonic()
        await stage.crew.kill(stage.victims["killed"])
        stage.crew.pause(stage.victims["asleep"])
        for way in stage.ways.values():
            way.fall_silent()
        await asyncio.sleep(cut)
        stage.ways["cut-short"].pass_on()
        ends = await stage.ended(*LOST)
        await asyncio.sleep(max(0.0, befell + asleep - time.monotonic()))
        stage.crew.resume(stage.victims["asleep"])
        stage.ways["cut-off"].pass_on()
        await until(stage.told_late)
        kept = (await stage.ended("cut-short"))["cut-short"]
        assert await stage.ended(*LOST) == ends
        await stage.crew.stop_all()
        found = await settled(stage.server.address, tmp_path / "schedule.db", Load().log, replicas=tmp_path)
        took = {name: round(stage.marks(name)[-1].time - befell, 1) for name in ("killed", "cut-off")}
        cut_off = stage.marks("cut-off")
    log.info("worker kill -9, cut off, lease of %d s: begun elsewhere after %s s", SHORTEST, took)
    log.info("worker asleep for %.0f s: told of it when it awoke, %d attempts", asleep, ends["asleep"].attempt)
    log.info("worker cut off for %.0f s, lease of %d s: %d attempt", cut, LONGER, kept.attempt)
    assert found == []
    for name, end in ends.items():
        kinds = [(attempt.failure_kind, attempt.worker) for attempt in end.failed_attempts]
        assert (end.state, end.attempt, kinds) == (State.SUCCEEDED, 2, [(FailureKind.LEASE_LOST, name)])
        assert end.worker == "other"
    assert all(SHORTEST < each < SHORTEST + AT_MOST_LATER for each in took.values())
    assert (kept.state, kept.attempt, kept.worker) == (State.SUCCEEDED, 1, "cut-short")
    _, let_go, begun_again, _ = cut_off
    log.info("cut off: stopped %.1f s before it began elsewhere", begun_again.time - let_go.time)
    assert [each.what for each in cut_off] == ["begin", "end", "begin", "end"]
    assert let_go.process != begun_again.process
    assert begun_again.time - let_go.time > APART
