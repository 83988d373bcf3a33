"""A small TCP proxy before a PostgreSQL server: connections are cut, or fall silent, where a test wants it."""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from enum import Enum, auto
from pathlib import Path
from urllib.parse import urlsplit

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


class TcpProxy:
    """Takes connections on 127.0.0.1 and passes what comes on to a server's socket, and back."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.StreamWriter] = set()
        self._passing = asyncio.Event()
        self._passing.set()
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

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def url(self, database: str, user: str = "postgres") -> str:
        """Return the URL of a database behind it."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}?sslmode=disable"

    def before(self, url: str) -> str:
        """Return the URL of a database of the server as it is reached through this."""
        return self.url(urlsplit(url).path.removeprefix("/"))

    def cut(self) -> None:
        """End every connection at once."""
        for client in tuple(self._clients):
            client.transport.abort()

    def fall_silent(self) -> None:
        """Take what comes, new connections too, and pass nothing on in either direction."""
        self._passing.clear()

    def speak_again(self) -> None:
        """Pass on what was held back, and all that comes."""
        self._passing.set()

    @asynccontextmanager
    async def open(self) -> AsyncIterator["TcpProxy"]:
        """Within this context it listens."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield self
        finally:
            self._server.close()
            self.cut()
            self._passing.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        with suppress(OSError):
            await self._passing.wait()
            from_server, to_server = await asyncio.open_unix_connection(str(self._target))
            back = asyncio.create_task(self._pass(from_server, writer))
            try:
                await self._pass_and_look(reader, to_server, writer, back)
            finally:
                back.cancel()
                to_server.transport.abort()
        self._clients.discard(writer)
        writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                await self._held_back()
                writer.write(data)
        writer.transport.abort()

    async def _pass_and_look(
        self,
        reader: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
        to_client: asyncio.StreamWriter,
        back: "asyncio.Task[None]",
    ) -> None:
        while data := await reader.read(65536):
            await self._held_back()
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

    async def _held_back(self) -> None:
        if self.delay:
            await asyncio.sleep(self.delay)
        await self._passing.wait()

    def _fate(self) -> AtCommit:
        fate = self.commits.popleft() if self.commits else AtCommit.PASSES
        self.met.append(fate)
        return fate
