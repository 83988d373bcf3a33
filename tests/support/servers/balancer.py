"""A Service of Kubernetes in a test: passes TCP connections to servers that are ready, as their probes say.

It knows nothing of calls: a connection stays with the server that it was passed to, whether or not that is still ready.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field

import httpx2
from support.patience import until

PERIOD = 0.25
"""Seconds between two probes: twenty times as often as the manifest's."""
FAILURES = 2
"""Probes in a row that fail before a server counts as not ready, as in the manifest."""
CHUNK = 65536


@dataclass(eq=False)
class Backend:
    """One server, as the balancer knows it."""

    ports: dict[str, int]
    """The ports that callers are passed to, by name."""
    health: str
    """The address that is probed."""
    is_ready: bool = False
    open_connections: dict[str, int] = field(default_factory=dict)
    """By the name of the port."""


class Balancer:
    """Passes each new connection to a ready server, chosen at random."""

    def __init__(self) -> None:
        self._backends: list[Backend] = []
        self._probing: dict[Backend, asyncio.Task[None]] = {}
        self._passing: set[asyncio.Task[None]] = set()
        self._stack = AsyncExitStack()
        self._choice = random.Random(1)  # noqa: S311 (no secret)
        self._newest: dict[int, Backend] = {}
        self.refused = 0
        """Connections for which no server was ready, or whose server did not take them."""

    async def follow(self, backend: Backend) -> None:
        """Probe a server from now on; return once it is ready."""
        self._backends.append(backend)
        self._probing[backend] = asyncio.create_task(self._probe(backend))

        async def ready() -> bool:
            return backend.is_ready

        await until(ready)

    async def forget(self, backend: Backend) -> None:
        """Probe a server no longer: it has ended."""
        self._backends.remove(backend)
        probing = self._probing.pop(backend)
        probing.cancel()
        await asyncio.wait([probing])

    async def reached(self, backend: Backend) -> None:
        """Return once callers have connections to each port of a server."""

        async def has_connections() -> bool:
            return all(backend.open_connections.get(name) for name in backend.ports)

        await until(has_connections)

    async def chosen(self, port: int) -> Backend:
        """Return the server to which the newest connection of a port was passed, once there is one."""

        async def is_chosen() -> bool:
            return port in self._newest

        await until(is_chosen)
        return self._newest[port]

    async def listen(self, name: str) -> int:
        """Take connections for the ports of that name; return the port for them."""

        async def passed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(self._pass(name, port, reader, writer))
            self._passing.add(task)
            task.add_done_callback(self._passing.discard)

        server = await self._stack.enter_async_context(await asyncio.start_server(passed, "127.0.0.1", 0))
        port: int = server.sockets[0].getsockname()[1]
        return port

    async def _probe(self, backend: Backend) -> None:
        failures = 0
        async with httpx2.AsyncClient(base_url=f"http://{backend.health}", trust_env=False, timeout=5) as kubelet:
            while True:
                succeeded = False
                with suppress(httpx2.HTTPError):
                    answer = await kubelet.get("/readyz", headers={"connection": "close"})
                    succeeded = answer.status_code == httpx2.codes.OK
                failures = 0 if succeeded else failures + 1
                backend.is_ready = succeeded or (backend.is_ready and failures < FAILURES)
                await asyncio.sleep(PERIOD)

    async def _pass(self, name: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ready = [each for each in self._backends if each.is_ready]
        try:
            backend = self._choice.choice(ready)
            target = await asyncio.open_connection("127.0.0.1", backend.ports[name])
        except (IndexError, OSError):
            self.refused += 1
            writer.transport.abort()
            return
        self._newest[port] = backend
        number = backend.open_connections
        number[name] = number.get(name, 0) + 1
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_carry(reader, target[1]))
                both.create_task(_carry(target[0], writer))
        finally:
            number[name] -= 1

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Balancer"]:
        """Within this context connections are passed on."""
        try:
            yield self
        finally:
            for backend in tuple(self._backends):
                await self.forget(backend)
            for task in tuple(self._passing):
                task.cancel()
            await asyncio.gather(*self._passing, return_exceptions=True)
            await self._stack.aclose()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass bytes on until their end, and then the end, after all bytes: a connection is closed as it was closed."""
    try:
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
    except OSError:
        writer.transport.abort()
    finally:
        writer.close()
