"""One HTTP connection, with bounds that uvicorn's own does not have: on how long and how large a request's head is.

What is refused here, before there is a request to hand on, is refused in the same envelope as everything else.
"""

import asyncio
import json
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from schedule_grpc.api.http.crowd import Crowd

HEAD_SECONDS = 15.0
"""How long a caller may take from connecting, or from the first byte of a request, to the end of its head."""
MAX_HEAD_BYTES = 64 * 1024
LINGER_SECONDS = 1.0
"""How long a caller who sent too much may take to read that."""
CROWDED = "crowded"
"""The key in a request's state that says whether its connection has no place in the `Crowd`."""


def _refused(status: str, error: str) -> bytes:
    content = json.dumps({"success": False, "error": error}, separators=(",", ":"))
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n"
    return f"{head}connection: close\r\n\r\n{content}".encode("ascii")


_TOO_LARGE = _refused(
    "431 Request Header Fields Too Large", f"The head of the request is larger than {MAX_HEAD_BYTES} bytes"
)
_NO_HTTP = _refused("400 Bad Request", "The request cannot be read as HTTP")


class BoundedConnection(HttpToolsProtocol):
    """Ends a connection whose request does not come to the end of its head in time, or at all."""

    def __init__(self, *arguments: Any, crowd: Crowd, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._crowd = crowd
        self._head_bytes = 0
        self._in_head = True
        self._cut = False
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._wait()
        self._crowd.enter(self, self.loop.time())

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._wait_no_more()
        self._crowd.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what belongs to a head."""
        if self._cut:
            return
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._cut = True
            self.transport.write(_TOO_LARGE)
            # Closed at once, what is still arriving would make the kernel take the answer back.
            self.loop.call_later(LINGER_SECONDS, self._give_up)

    def on_message_begin(self) -> None:
        """A request begins: its head has its time."""
        self._in_head, self._head_bytes = True, 0
        self._wait()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._in_head = False
        self._wait_no_more()
        crowded = not self._crowd.begin(self, self.loop.time())
        self.scope["state"][CROWDED] = crowded
        super().on_headers_complete()
        if crowded:
            self.cycle.keep_alive = False

    def on_response_complete(self) -> None:
        """An answer is sent: the connection is idle, unless a request waits already."""
        super().on_response_complete()
        if self.timeout_keep_alive_task is not None:
            self._crowd.pause(self, self.loop.time())

    def end(self) -> None:
        """Make room for another connection."""
        self.transport.close()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 (uvicorn's words are not ours)
        """Refuse what is no HTTP."""
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
