"""A proxy that publishes a server below a path, as people's proxies do: it strips the path, and passes all else on."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

HEAD = b"\r\n\r\n"


class PrefixProxy:
    """Publishes one HTTP server below a path; what is asked for beside it is 404.

    Each connection carries one request: the proxy answers with ``connection: close``, so it need not find where a
    request ends.
    """

    def __init__(self, target: str, prefix: str) -> None:
        """Take the server's host and port, and the path, such as ``/ops/schedule``."""
        self._host, _, self._port = target.rpartition(":")
        self._prefix = prefix.encode()
        self.strays: list[str] = []
        """What was asked for beside the path."""
        self.asked: Counter[str] = Counter()
        """How often each path below it was asked for, without queries."""
        self.held: Counter[str] = Counter()
        """The same, of requests whose answers have not ended."""
        self.address = ""

    @asynccontextmanager
    async def open(self) -> AsyncIterator["PrefixProxy"]:
        """Listen within this context."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()[:2]
        self.address = f"{host}:{port}"
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(HEAD)
            line, _, rest = head.partition(b"\r\n")
            method, path, version = line.split(b" ")
            if path != self._prefix and not path.startswith(self._prefix + b"/"):
                self.strays.append(path.decode())
                writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            else:
                stripped = path.removeprefix(self._prefix) or b"/"
                fields = [each for each in rest.split(b"\r\n") if not each.lower().startswith(b"connection:")]
                request = b"\r\n".join([b" ".join([method, stripped, version]), b"connection: close", *fields])
                name = stripped.partition(b"?")[0].decode()
                self.asked[name] += 1
                self.held[name] += 1
                try:
                    await self._pass(request, reader, writer)
                finally:
                    self.held[name] -= 1
        writer.close()

    async def _pass(self, request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection(self._host, int(self._port))
        forth.write(request)
        ways = [asyncio.create_task(_pump(reader, forth)), asyncio.create_task(_pump(back, writer))]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)  # a browser that leaves ends a stream
        for way in ways:
            way.cancel()
        forth.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass bytes on until one side ends."""
    with suppress(OSError):
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
