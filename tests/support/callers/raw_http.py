"""HTTP byte by byte: what a well-behaved client would not send."""

import asyncio
from contextlib import suppress

from support.servers import keyed_run
from support.servers.live import Live


async def raw(live: Live, request: bytes) -> bytes:
    """Send bytes; return what comes back until the server closes, or has answered."""
    host, _, port = str(live.parts.http_address).rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(keyed_run.keyed(request, port))
    with suppress(ConnectionError):
        await writer.drain()
    answer = b""
    with suppress(ConnectionError):
        while some := await reader.read(65536):
            answer += some
            if b"\r\n\r\n" in answer and b"connection: close" not in answer.lower():
                break
    writer.close()
    return answer
