"""A TCP proxy whose connections are cut, or fall silent, where a check wants it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Self, TypeAlias

from schedule_grpc.conformance.check import CLOCK

Pipe: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]
CHUNK = 65536
"""Bytes."""


class TcpProxy:
    """Takes connections on 127.0.0.1, and passes their bytes on to a target and back."""

    def __init__(self, connect: Callable[[], Awaitable[Pipe]]) -> None:
        """Prepare a proxy; ``connect`` opens a connection to the target."""
        self._connect = connect
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.StreamWriter] = set()
        self._passing = asyncio.Event()
        self._passing.set()
        self._refuses = False
        self.accepted: list[float] = []
        """When connections came, by the monotonic clock."""
        self.cuts: list[float] = []
        """When connections were cut, by the monotonic clock."""

    @property
    def port(self) -> int:
        """Where it listens."""
        if self._server is None:
            raise RuntimeError("the proxy is not open")
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def cut(self) -> None:
        """End every connection at once."""
        self.cuts.append(CLOCK.monotonic())
        for client in tuple(self._clients):
            client.transport.abort()

    def refuse(self) -> None:
        """End every connection, and each new one at once."""
        self._refuses = True
        self.cut()

    def fall_silent(self) -> None:
        """Take what comes, new connections too, and pass nothing on in either direction."""
        self._passing.clear()

    def pass_on(self) -> None:
        """Take connections again, and pass on what was held back and all that comes."""
        self._refuses = False
        self._passing.set()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Self]:
        """Within this context it listens."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield self
        finally:
            self._server.close()
            self.cut()
            self._passing.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted.append(CLOCK.monotonic())
        self._clients.add(writer)
        with suppress(OSError):
            await self._passing.wait()
            if not self._refuses:
                target = await self._connect()
                await self.join((reader, writer), target)
        self._clients.discard(writer)
        writer.transport.abort()

    async def join(self, client: Pipe, target: Pipe) -> None:
        """Pass bytes in both directions until one side has ended."""
        back = asyncio.create_task(self.carry(target[0], client[1]))
        try:
            await self.carry(client[0], target[1])
        finally:
            back.cancel()
            target[1].transport.abort()

    async def held_back(self) -> None:
        """Return once what came may be passed on."""
        await self._passing.wait()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass bytes in one direction until their end."""
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                await self.held_back()
                writer.write(data)
        writer.transport.abort()
