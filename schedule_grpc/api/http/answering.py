"""The headers of every answer, whatever answers."""

from collections.abc import Mapping

from starlette.types import Message, Send

FRAMES = b"x-frame-options"
POLICY = b"content-security-policy"
UNFRAMED = b"frame-ancestors 'none'"

HEADERS: Mapping[bytes, bytes] = {
    b"x-content-type-options": b"nosniff",
    FRAMES: b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cache-control": b"no-store",
    POLICY: b"default-src 'none'; " + UNFRAMED,
    b"cross-origin-resource-policy": b"same-origin",
}
"""Headers of every answer; names in lower case, as ASGI has them."""


class Answering:
    """Sends an answer with the headers of every answer, and records its status."""

    def __init__(self, send: Send, headers: Mapping[bytes, bytes] = HEADERS) -> None:
        """Take what sends, and the headers that an answer gets unless it has its own."""
        self._send = send
        self._headers = headers
        self.status: int | None = None
        self.is_complete = False

    async def send(self, message: Message) -> None:
        """Send a part of the answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = message.setdefault("headers", [])
            present = {name for name, _ in headers}
            if any(name == POLICY and UNFRAMED not in value for name, value in headers):
                present.add(FRAMES)  # it knows no list of sites: the page's own policy says which may frame it
            headers += [header for header in self._headers.items() if header[0] not in present]
        else:
            self.is_complete = not message.get("more_body", False)
        await self._send(message)
