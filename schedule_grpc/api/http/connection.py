"""One HTTP connection, with limits that uvicorn does not have: on the time and the size of a request's head.

A refusal here, before there is a request, is answered in the same envelope as all others.
"""

import asyncio
import json
from typing import Any

from starlette.datastructures import Headers
from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from schedule_grpc.access.certificates import PeerCertificate
from schedule_grpc.access.credentials import BY_TCP, Credentials, Way
from schedule_grpc.api.http.crowd import Crowd

HEAD_SECONDS = 15.0
"""The time from the connection, or from the first byte of a request, to the end of the request's head."""
MAX_HEAD_BYTES = 64 * 1024
LINGER_SECONDS = 1.0
"""The time that a caller has to read the answer to a head that is too large."""
CROWDED = "crowded"
"""The key in a request's state; True if the connection has no place in the `Crowd`."""
SOCKET_GRANTS = "socket_grants"
"""The key in a request's state; the grants of callers of the unix socket by which it came, None for TCP."""

HEALTH_ONLY = "health_only"
"""The key in a request's state; True if its listener serves health and metrics alone."""
CERTIFICATE = "certificate"
"""The key in a request's state; the certificate of its connection, None without one."""


def _refused(status: str, error: str) -> bytes:
    content = json.dumps({"success": False, "error": error}, separators=(",", ":"))
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n"
    return f"{head}connection: close\r\n\r\n{content}".encode("ascii")


_TOO_LARGE = _refused(
    "431 Request Header Fields Too Large", f"The head of the request is larger than {MAX_HEAD_BYTES} bytes"
)
_NO_HTTP = _refused("400 Bad Request", "The request cannot be read as HTTP")


class BoundedConnection(HttpToolsProtocol):
    """Closes a connection whose request's head is too large, or does not end in time."""

    def __init__(self, *arguments: Any, crowd: Crowd, way: Way = BY_TCP, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._crowd = crowd
        self._way = way
        self._certificate: PeerCertificate | None = None
        self._head_bytes = 0
        self._in_head = True
        self._cut = False
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timeout of the first request's head."""
        super().connection_made(transport)
        if self._way.shows_certificates:
            self._certificate = PeerCertificate.of_python(transport.get_extra_info("ssl_object").getpeercert())
        self._wait()
        self._crowd.enter(self, self.loop.time())

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timeout, and leave the crowd."""
        self._wait_no_more()
        self._crowd.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count the bytes of a head."""
        if self._cut:
            return
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._cut = True
            self.transport.write(_TOO_LARGE)
            # If it were closed at once, bytes that still arrive would make the kernel discard the answer (RST).
            self.loop.call_later(LINGER_SECONDS, self._give_up)

    def on_message_begin(self) -> None:
        """Start the timeout of a request's head."""
        self._in_head, self._head_bytes = True, 0
        self._wait()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Stop the timeout, and let the connection take its place in the crowd."""
        self._in_head = False
        self._wait_no_more()
        crowded = not self._crowd.begin(self, self.loop.time())
        self.scope["state"] |= {
            CROWDED: crowded,
            SOCKET_GRANTS: self._way.socket_grants,
            CERTIFICATE: self._certificate,
            HEALTH_ONLY: self._way.health_only,
        }
        super().on_headers_complete()
        if crowded:
            self.cycle.keep_alive = False

    def on_response_complete(self) -> None:
        """Record that the connection is idle, unless the next request waits already."""
        super().on_response_complete()
        if self.timeout_keep_alive_task is not None:
            self._crowd.pause(self, self.loop.time())

    def end(self) -> None:
        """Close the connection, to make room for another one."""
        self.transport.close()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 (uvicorn's message is not answered)
        """Refuse bytes that are not HTTP."""
        self.transport.write(_NO_HTTP)
        self.transport.close()

    def _wait(self) -> None:
        self._wait_no_more()
        self._patience = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _wait_no_more(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()


def credentials_of(call: Scope, headers: Headers) -> Credentials:
    """Return what a request shows of its caller."""
    host, port = call.get("client") or ("unix", 0)
    return Credentials(
        authorization=headers.getlist("authorization"),
        socket_grants=call["state"].get(SOCKET_GRANTS),
        certificate=call["state"].get(CERTIFICATE),
        peer=f"{host}:{port}",
        agent=headers.get("user-agent", ""),
    )
