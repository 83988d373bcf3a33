"""A real HTTP server on a socket that answers what a test says, byte by byte, and remembers what it was sent."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Reply: TypeAlias = bytes | Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Seen:
    """A request that arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    server_name: str | None
    """What TLS was told; None without TLS."""


@dataclass
class HttpServer:
    """Answers each path with what is said for it, once for each request; the last one stays."""

    port: int = 0
    connections: int = 0
    seen: list[Seen] = field(default_factory=list)
    replies: dict[str, list[Reply]] = field(default_factory=dict)
    _names: list[str | None] = field(default_factory=list)

    def answer(self, path: str, *replies: Reply) -> None:
        """Say how requests of a path are answered: with bytes as they are, or by a function of the connection."""
        self.replies[path] = list(replies)

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request, then close."""
        self.connections += 1
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.strip().split("\r\n")
            method, path, _ = first.split(" ")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            name = self._names.pop() if writer.get_extra_info("ssl_object") else None
            self.seen.append(Seen(method, path, headers, body, name))
            replies = self.replies[path.partition("?")[0]]
            reply = replies.pop(0) if len(replies) > 1 else replies[0]
            if isinstance(reply, bytes):
                writer.write(reply)
            else:
                await reply(reader, writer)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    def remember(self, _: Any, name: str | None, __: Any) -> None:
        """Remember what name TLS was told."""
        self._names.append(name)


def response(status: str = "200 OK", body: bytes = b"", **headers: str) -> bytes:
    """Return an answer with its length; header names are written with underscores."""
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


@asynccontextmanager
async def http_server(*, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> AsyncIterator[HttpServer]:
    """Within this context a server listens on a free port."""
    made = HttpServer()
    if tls is not None:
        tls.sni_callback = made.remember
    server = await asyncio.start_server(made.converse, host, 0, ssl=tls)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        yield made
