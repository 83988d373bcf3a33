"""The kit's TCP proxy before a PostgreSQL server: connections are also cut, or fall silent, at a COMMIT."""

import asyncio
import socket
import struct
from collections import deque
from contextlib import suppress
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from schedule_grpc.conformance import tcp_proxy
from schedule_grpc.conformance.tcp_proxy import CHUNK, Pipe

if TYPE_CHECKING:
    from collections.abc import Callable

COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"
"""As our own adapter sends it (https://www.postgresql.org/docs/current/protocol-message-formats.html)."""
LISTEN, LISTEN_ELSEWHERE = b'LISTEN "schedule_grpc"', b'LISTEN "schedule_none"'


class AtCommit(Enum):
    """What befalls a connection on which COMMIT comes."""

    PASSES = auto()
    CUT_BEFORE = auto()
    """It never reaches the server."""
    CUT_AFTER = auto()
    """It is answered, and the answer never arrives."""
    SILENT_BEFORE = auto()
    """It never reaches the server, and nobody is told."""
    SILENT_AFTER = auto()
    """It reaches the server, and nothing ever comes back."""


class TcpProxy(tcp_proxy.TcpProxy):
    """Takes connections on 127.0.0.1 and passes what comes on to a server's socket, and back."""

    def __init__(self, target: Path) -> None:
        super().__init__(lambda: asyncio.open_unix_connection(str(target)))
        self.commits: deque[AtCommit] = deque()
        """What befalls the next COMMITs, one after the other; those that come later pass."""
        self.met: list[AtCommit] = []
        """What befell those that came."""
        self.after_cut: Callable[[], None] = lambda: None
        """Is called once a COMMIT was cut."""
        self.deafens = False
        """Whether those who listen to a channel are given to another one: what others notify does not come."""
        self.delay = 0.0
        """Seconds by which what comes is passed on later, in each direction."""
        self.resets = False
        """Whether a connection that is cut is reset: its end is an error then, else only an end."""

    def url(self, database: str, user: str = "postgres") -> str:
        """Return the URL of a database behind it."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}?sslmode=disable"

    def before(self, url: str) -> str:
        """Return the URL of a database of the server as it is reached through this."""
        return self.url(urlsplit(url).path.removeprefix("/"))

    async def join(self, client: Pipe, target: Pipe) -> None:
        """Pass bytes in both directions until one side has ended; look for COMMIT in those of the client."""
        back = asyncio.create_task(self.carry(target[0], client[1]))
        try:
            with suppress(OSError):
                await self._pass_and_look(client[0], target[1], client[1], back)
        finally:
            back.cancel()
            target[1].transport.abort()

    async def held_back(self) -> None:
        """Return once what came may be passed on."""
        if self.delay:
            await asyncio.sleep(self.delay)
        await super().held_back()

    async def _pass_and_look(
        self,
        reader: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
        to_client: asyncio.StreamWriter,
        back: "asyncio.Task[None]",
    ) -> None:
        while data := await reader.read(CHUNK):
            await self.held_back()
            if self.deafens:
                data = data.replace(LISTEN, LISTEN_ELSEWHERE)
            fate = self._fate() if COMMIT in data else AtCommit.PASSES
            if fate is AtCommit.PASSES:
                to_server.write(data)
                continue
            back.cancel()
            if fate in (AtCommit.CUT_AFTER, AtCommit.SILENT_AFTER):
                to_server.write(data)
                await to_server.drain()
                await asyncio.sleep(0.1)  # the server is done with it by then
            if fate in (AtCommit.SILENT_BEFORE, AtCommit.SILENT_AFTER):
                await reader.read(-1)  # until the client has had enough
            if self.resets:
                reset = struct.pack("ii", 1, 0)
                to_client.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            to_client.transport.abort()
            self.after_cut()
            return

    def _fate(self) -> AtCommit:
        fate = self.commits.popleft() if self.commits else AtCommit.PASSES
        self.met.append(fate)
        return fate
