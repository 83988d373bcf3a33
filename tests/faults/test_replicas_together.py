"""Several servers on one PostgreSQL database, each with its part: what is done through one is seen by the others."""

import asyncio
import json
import logging
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import httpx2
import pytest
from support.patience import AT_MOST, calling, until
from support.servers.postgres import Postgres
from support.servers.process import Server, run, serves, start
from support.servers.replicas import reaches, replicas
from support.servers.tcp_proxy import TcpProxy
from support.witnesses import effects
from support.witnesses.checker import check

from schedule_grpc.client import AsyncClient
from schedule_grpc.domain.execution import State
from schedule_grpc.errors import TaskNotFound
from schedule_grpc.events import Lost, Transition

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Together:
    """Servers on one database."""

    folder: Path
    url: str
    engine: Server
    """Offers the handlers of tests."""
    other: Server
    """Does not."""
    api: Server
    """Runs nothing."""
    worker: Server
    """Answers no calls."""


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> Iterator[Together]:
    """One of each part, for all these tests; afterwards they stop cleanly, and the checker finds nothing."""
    folder = tmp_path_factory.mktemp("together")
    with postgres.database() as url:
        shared = ("--database", url, "--http", "127.0.0.1:0")
        with ThreadPoolExecutor(4) as threads:
            begun = [
                threads.submit(start, folder, *shared, handlers="support.handlers.noting"),
                threads.submit(start, folder, *shared, handlers=None),
                threads.submit(start, folder, *shared, "--no-engine", handlers=None),
                threads.submit(start, folder, *shared, "--no-api", handlers=None),
            ]
            engine, other, api, worker = (each.result() for each in begun)
        yield Together(folder=folder, url=url, engine=engine, other=other, api=api, worker=worker)
        for server in (engine, other, api, worker):
            code, errors = server.terminate()
            assert (code, "Traceback" in errors) == (0, False)
        assert check(url, at_rest=True) == []


@pytest.fixture
async def client(together: Together) -> AsyncIterator[AsyncClient]:
    """A caller of the server that runs nothing."""
    async with calling(together.api.address) as there:
        yield there


@asynccontextmanager
async def watching(server: Server, name: str) -> AsyncIterator["asyncio.Queue[tuple[State, float]]"]:
    """Within this context a server tells of a task's executions: their new states, and when they were told."""
    told: asyncio.Queue[tuple[State, float]] = asyncio.Queue()

    async def read(client: AsyncClient, ready: asyncio.Event) -> None:
        async with client.watch_executions(name) as watch:
            ready.set()
            async for event in watch:
                if isinstance(event, Transition):
                    told.put_nowait((event.execution.state, time.monotonic()))

    async with calling(server.address) as client:
        ready = asyncio.Event()
        reading = asyncio.create_task(read(client, ready))
        await ready.wait()
        yield told
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def test_a_handler_that_one_server_knows(together: Together, client: AsyncClient, name: str):
    """What is asked for through others runs there, and is waited for; it is listed as offered everywhere."""
    await client.register_task(name=name, schedule="@manual", handler="quick")
    ran = []
    for server in (together.api, together.other, together.engine):
        async with calling(server.address) as there:
            result = await there.run_task_now(name)
            assert result.success
            ran.append(result.execution.id)
            offered = {handler.name: handler.offered for handler in await there.list_handlers()}
            assert offered["quick"]
    processes = {each.process for each in effects.begun(together.folder) if each.execution in ran}
    assert processes == {together.engine.process.pid}


async def test_changes_are_seen_at_once(together: Together, client: AsyncClient, name: str):
    """A task updated, disabled, enabled and deleted through one server: all read it so, and its engine fires by it."""
    await client.register_task(name=name, schedule="@daily", handler="quick")
    async with calling(together.engine.address) as there:
        await client.update_task(name, schedule="every 1 second")
        assert (await there.get_task(name)).definition.schedule.text == "every 1 second"

        async def fired() -> bool:
            return bool((await there.get_task_history(name)).executions)

        await until(fired, 5)
        await client.disable_task(name)
        assert not (await there.get_task(name)).enabled
        before = len((await there.get_task_history(name)).executions)
        await asyncio.sleep(1.5)
        assert len((await there.get_task_history(name)).executions) == before
        await client.delete_task(name)
        with pytest.raises(TaskNotFound):
            await there.get_task(name)


async def test_what_runs_elsewhere_is_told(together: Together, client: AsyncClient, name: str):
    """A run is asked for through one server, begins on the second, and is watched on the third, each time at once."""
    await client.register_task(name=name, schedule="@manual", handler="long", payload={"seconds": 20})
    begun, ended = [], []
    async with watching(together.other, name) as told:
        for _ in range(50):
            asked = time.monotonic()
            execution = (await client.run_task_now(name, detach=True)).execution
            while (state := await asyncio.wait_for(told.get(), 5))[0] is not State.RUNNING:
                continue
            begun.append(state[1] - asked)
            cancelled = time.monotonic()
            await client.cancel_execution(execution.id)
            while (state := await asyncio.wait_for(told.get(), 5))[0] is not State.CANCELLED:
                continue
            ended.append(state[1] - cancelled)
    for what, times in (("asked for to running", begun), ("cancelled to ended", ended)):
        log.info("%s, elsewhere: median %.0f ms, worst %.0f ms", what, statistics.median(times) * 1e3, max(times) * 1e3)
        assert statistics.median(times) < 0.5


async def test_the_event_stream_tells_of_the_others(together: Together, client: AsyncClient, name: str):
    """GET /events on a server that does not know the handler: up to success, in order.

    A state that was over before this server could read it is left out (docs/operations.md).
    """
    await client.register_task(name=name, schedule="@manual", handler="slow")
    base = f"http://{together.other.http_address}"
    async with (
        httpx2.AsyncClient(base_url=base, trust_env=False, timeout=AT_MOST) as caller,
        caller.stream("GET", "/events") as response,
    ):
        lines = response.aiter_lines()
        await anext(lines)
        assert (await client.run_task_now(name)).success
        statuses: list[str] = []
        async for line in lines:
            if line.startswith("data: ") and name in line:
                statuses.append(json.loads(line.removeprefix("data: "))["execution"]["status"])
            if "success" in statuses:
                break
    assert statuses == [each for each in ("pending", "running", "success") if each in statuses]
    assert statuses[-1:] == ["success"]


async def test_a_server_without_an_api(together: Together):
    """It tells of its health and its metrics, and answers nothing else."""
    assert await serves(together.worker)
    async with grpc.aio.insecure_channel(together.worker.address) as channel:
        code = await channel.unary_unary("/schedule.v1.ScheduleService/ListTasks")(b"").code()
    assert code is grpc.StatusCode.UNIMPLEMENTED
    base = f"http://{together.worker.http_address}"
    async with httpx2.AsyncClient(base_url=base, trust_env=False, timeout=AT_MOST) as caller:
        answers = {path: (await caller.get(path)).status_code for path in ("/health", "/metrics", "/tasks", "/")}
    assert answers == {"/health": 200, "/metrics": 200, "/tasks": 404, "/": 404}


def test_neither_engine_nor_api(postgres: Postgres):
    """Such a server would do nothing: a configuration error."""
    done = run("serve", "--database", postgres.url("postgres"), "--no-engine", "--no-api")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


async def test_servers_that_do_not_hear_each_other(tmp_path: Path, postgres: Postgres):
    """As behind a pooler: what others did is seen within seconds, and who watches is told that he misses something."""
    async with TcpProxy(postgres.socket).open() as proxy:
        proxy.deafens = True
        with postgres.database() as url:
            async with replicas(tmp_path, url) as servers:
                engine, api = await asyncio.gather(
                    servers.start(url=proxy.before(url)),
                    servers.start("--no-engine", url=proxy.before(url), handlers=None),
                )
                async with calling(api.address) as client:
                    await client.register_task(name="task", schedule="@manual", handler="long", payload={"seconds": 20})
                    asked = time.monotonic()
                    execution = (await client.run_task_now("task", detach=True)).execution
                    await until(reaches(client, execution.id, State.RUNNING), 8)
                    begun = time.monotonic()
                    await client.cancel_execution(execution.id)
                    await until(reaches(client, execution.id, State.CANCELLED), 8)
                    log.info(
                        "unheard: running after %.1f s, cancelled after %.1f s", begun - asked, time.monotonic() - begun
                    )
                    async with client.watch_executions("task") as watch, asyncio.timeout(AT_MOST):
                        assert isinstance(await anext(aiter(watch)), Lost)
                    assert (await client.run_task_now("task", payload={"seconds": 0})).success
                assert "channel.deaf" in engine.written()
                await servers.stop_all()
            assert check(url, at_rest=True) == []
