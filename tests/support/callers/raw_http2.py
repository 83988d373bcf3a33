"""HTTP/2 frame by frame (RFC 9113): what gRPC's own client would not show or not send."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

DATA, HEADERS, RST_STREAM, SETTINGS, PING = 0, 1, 3, 4, 6
ACK, END_HEADERS = 1, 4
CANCEL = (8).to_bytes(4, "big")


@dataclass
class Frame:
    """One frame as it arrived."""

    kind: int
    flags: int
    payload: bytes


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return the bytes of a frame."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def call_headers(path: bytes) -> bytes:
    """Return the header block of a gRPC call, each header as a literal (RFC 7541, section 6.2.2)."""
    headers = {
        b":method": b"POST",
        b":scheme": b"http",
        b":path": path,
        b":authority": b"localhost",
        b"te": b"trailers",
        b"content-type": b"application/grpc",
    }
    return b"".join(b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value for name, value in headers.items())


@dataclass
class Connection:
    """A client's end of a connection that has begun."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def next(self, kind: int) -> Frame:
        """Return the next frame of a kind that is no acknowledgement; others are passed over."""
        while True:
            head = await self.reader.readexactly(9)
            found = Frame(head[3], head[4], await self.reader.readexactly(int.from_bytes(head[:3], "big")))
            if found.kind == kind and not (kind in (SETTINGS, PING) and found.flags & ACK):
                return found


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[Connection]:
    """Within this context a connection to a server is open, with the preface sent."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0))
    try:
        yield Connection(reader, writer)
    finally:
        writer.close()
