"""The health of a worker, over plain HTTP: GET /healthz answers 200, or 503 with the reasons."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial

from schedule_grpc.errors import CannotStart
from schedule_grpc.runtime.clock import Clock
from schedule_grpc.runtime.listeners import Bound, Listener, listening_socket, remove_socket

MOST_HEADER_BYTES = 8 * 1024
PATIENCE = 5.0
"""Seconds that a caller gets to send its request, and to take the answer."""
BACKLOG = 64


@asynccontextmanager
async def answering_health(address: str, troubles: Callable[[], Sequence[str]], clock: Clock) -> AsyncIterator[Bound]:
    """Within this context health is served; yields the bound address.

    Args:
        address: HOST:PORT, port 0 takes a free one; or unix:PATH.
        troubles: Returns why the worker is not healthy; nothing if it is.
        clock: Limits how long a caller may take.

    Raises:
        CannotStart: if the address cannot be listened on.
    """
    listener = Listener(address=address)
    try:
        bound = listening_socket(listener, BACKLOG)
    except (OSError, ValueError) as error:
        raise CannotStart(f"health on {address}: {error}") from error
    port = 0 if listener.path is not None else bound.getsockname()[1]
    server = await asyncio.start_server(partial(_answer, troubles, clock), sock=bound, limit=MOST_HEADER_BYTES)
    try:
        yield listener.bound_to(port)
    finally:
        server.close()
        remove_socket(listener)


async def _answer(
    troubles: Callable[[], Sequence[str]],
    clock: Clock,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    """Answer one request, and close the connection."""
    try:
        with suppress(TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with clock.timeout(PATIENCE):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(_response(head, troubles()))
                await writer.drain()
    finally:
        writer.close()


def _response(head: bytes, troubles: Sequence[str]) -> bytes:
    method, _, rest = head.partition(b"\r\n")[0].decode("latin-1").partition(" ")
    path = rest.partition(" ")[0].partition("?")[0]
    if path != "/healthz":
        status, text = "404 Not Found", "only /healthz is here"
    elif method not in ("GET", "HEAD"):
        status, text = "405 Method Not Allowed", "GET, please"
    elif troubles:
        status, text = "503 Service Unavailable", "; ".join(troubles)
    else:
        status, text = "200 OK", "ok"
    body = f"{text}\n".encode()
    lines = (f"HTTP/1.1 {status}", "content-type: text/plain; charset=utf-8", f"content-length: {len(body)}")
    allow = ("allow: GET, HEAD",) if status.startswith("405") else ()
    start = "\r\n".join((*lines, "cache-control: no-store", *allow, "connection: close")) + "\r\n\r\n"
    return start.encode("latin-1") + (b"" if method == "HEAD" else body)
