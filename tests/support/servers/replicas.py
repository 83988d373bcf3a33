"""Several real server processes on one PostgreSQL database."""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path

from support.callers.load import Load
from support.patience import until
from support.servers.process import Server, start
from support.witnesses import effects

from schedule_grpc.client import AsyncClient
from schedule_grpc.domain.execution import Execution, State
from schedule_grpc.domain.policy import Policy


class Replicas:
    """Servers in one folder, on one database."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        self.alive: list[Server] = []

    async def start(
        self, *options: str, handlers: str | None = "support.handlers.noting", url: str = "", **variables: str
    ) -> Server:
        """Start one, on the database as it is reached by ``url``."""
        asked = ("--database", url or self.url, *options)
        server = await asyncio.to_thread(start, self.folder, *asked, handlers=handlers, **variables)
        self.alive.append(server)
        return server

    async def start_many(self, number: int, *options: str) -> list[Server]:
        """Start some at the same instant."""
        return await asyncio.gather(*(self.start(*options) for _ in range(number)))

    async def kill(self, server: Server) -> None:
        """End one as a power cut would."""
        self.alive.remove(server)
        await asyncio.to_thread(server.kill)
        effects.note_killed(self.folder, server.process.pid)

    async def stop(self, server: Server) -> None:
        """Ask one to stop; it does so cleanly."""
        self.alive.remove(server)
        code, errors = await asyncio.to_thread(server.terminate)
        faults = [line for line in errors.splitlines() if "Traceback" in line and "attempt.raised" not in line]
        assert (code, faults) == (0, []), f"exit code {code}: {faults[:3]}"

    async def stop_all(self) -> None:
        """Ask all to stop; they do so cleanly."""
        await asyncio.gather(*(self.stop(server) for server in tuple(self.alive)))

    async def work(self, load: Load, moments: random.Random) -> None:
        """Let a load's clients work, with one server after the other."""
        while True:
            if self.alive:
                await load.work(moments.choice(self.alive).address)
            await asyncio.sleep(0.01)

    async def begun(self, execution_id: str, *, attempts: int = 1) -> Server:
        """Wait until an execution has begun so often; return the server where it did so last, if that is alive."""

        async def found() -> Server | None:
            processes = [each.process for each in effects.begun(self.folder) if each.execution == execution_id]
            at = {server.process.pid: server for server in self.alive}
            return at.get(processes[-1]) if len(processes) >= attempts else None

        return await until(found)

    def pause(self, server: Server) -> None:
        """Stop one as a machine that sleeps."""
        os.kill(server.process.pid, signal.SIGSTOP)

    def resume(self, server: Server) -> None:
        """Let it go on."""
        os.kill(server.process.pid, signal.SIGCONT)


@asynccontextmanager
async def replicas(folder: Path, url: str) -> AsyncIterator[Replicas]:
    """Within this context servers can be started; none is left afterwards."""
    made = Replicas(folder, url)
    try:
        yield made
    finally:
        for server in tuple(made.alive):
            await asyncio.to_thread(server.end)


async def let_go(working: "asyncio.Task[None]") -> None:
    """Let clients go: what they asked for and were not told stands in their ledger."""
    working.cancel()
    with suppress(asyncio.CancelledError):
        await working


async def begun_long(servers: Replicas, client: AsyncClient, name: str, seconds: float = 300) -> tuple[str, Server]:
    """Have a handler run for so long, and no time where it begins again; return its execution and its server."""
    patient = Policy(timeout=timedelta(hours=1))
    await client.register_task(
        name=name, schedule="@manual", handler="long", payload={"seconds": seconds}, policy=patient
    )
    execution_id = (await client.run_task_now(name, detach=True)).execution.id
    owner = await servers.begun(execution_id)
    await client.update_task(name, payload={"seconds": 0})
    return execution_id, owner


def reaches(client: AsyncClient, execution_id: str, *states: State) -> Callable[[], Awaitable[Execution | None]]:
    """Return a condition that gives an execution once it is in one of these states."""

    async def reached() -> Execution | None:
        found = await client.get_execution(execution_id)
        return found if found.state in states else None

    return reached
