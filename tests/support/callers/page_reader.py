"""Reads pages as a browser without scripts would: asks for them, follows their links, sees their parts."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin, urlsplit

HOST = "schedule.example"


@dataclass(frozen=True, kw_only=True)
class Read:
    """An answer."""

    path: str
    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def text(self) -> str:
        """The body as a text."""
        return self.content.decode()

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.content)

    @property
    def page(self) -> "Page":
        """The body as HTML."""
        page = Page()
        page.feed(self.text)
        page.close()
        return page


class Page(HTMLParser):
    """The elements and the texts of an HTML page."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Note a text."""
        if data.strip():
            self.words.append(" ".join(data.split()))

    @property
    def said(self) -> str:
        """All texts, one behind the other."""
        return " ".join(self.words)

    def named(self, tag: str) -> Iterator[dict[str, str | None]]:
        """Iterate over the attributes of the elements with a tag."""
        return (attributes for name, attributes in self.elements if name == tag)

    @property
    def links(self) -> list[str]:
        """The addresses of all links, forms and files."""
        found = [attributes.get("href") for tag, attributes in self.elements if tag in ("a", "link")]
        found += [attributes.get("src") for attributes in self.named("script")]
        found += [attributes.get("action") for attributes in self.named("form")]
        return [each for each in found if each and not each.startswith("data:")]

    @property
    def acts(self) -> set[str]:
        """What its buttons do."""
        return {str(attributes["data-act"]) for attributes in self.named("button") if attributes.get("data-act")}


@dataclass(kw_only=True)
class Reader:
    """A browser without scripts before an ASGI application, behind a proxy that publishes it below a prefix."""

    app: Any
    prefix: str = ""
    strips: bool = True
    """Whether the proxy takes the prefix off each path."""
    cookies: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    scheme: str = "http"
    until_done: Callable[[Any], Awaitable[None]] | None = None
    """Lets time pass until an answer is complete, where the server's clock stands still."""

    async def get(self, path: str, **headers: str) -> Read:
        """Ask for a path, which may have a query."""
        return await self.ask("GET", path, headers=headers)

    async def post(self, path: str, body: Any = None, **headers: str) -> Read:
        """Send JSON, as a page of this server."""
        content = b"" if body is None else json.dumps(body).encode()
        sent = {"content-type": "application/json", "origin": f"{self.scheme}://{HOST}"} | headers
        return await self.ask("POST", path, headers=sent, body=content)

    async def ask(self, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Read:
        """Send a request; return its answer, whole."""
        scope = self._scope(method, path, headers or {})
        messages = [{"type": "http.request", "body": body, "more_body": False}]
        told: dict[str, Any] = {}
        content = bytearray()

        async def receive() -> dict[str, Any]:
            return messages.pop() if messages else {"type": "http.disconnect"}

        async def send(message: Mapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                told.update(message)
            else:
                content.extend(message.get("body", b""))

        answering = asyncio.ensure_future(self.app(scope, receive, send))
        if self.until_done is not None:
            await self.until_done(answering)
        await answering
        heads = {name.decode(): value.decode() for name, value in told["headers"]}
        self._keep(heads)
        whole = gzip.decompress(bytes(content)) if heads.get("content-encoding") == "gzip" else bytes(content)
        return Read(path=path, status=told["status"], headers=heads, content=whole)

    async def follow(self, read: Read, link: str) -> Read:
        """Ask for what a page links to."""
        return await self.get(urljoin(read.path, link).partition("#")[0])

    @asynccontextmanager
    async def listening(self, path: str) -> AsyncIterator[None]:
        """Hold a stream open within this context."""
        begun, leaving = asyncio.Event(), asyncio.Event()

        async def receive() -> dict[str, Any]:
            await leaving.wait()
            return {"type": "http.disconnect"}

        async def send(_: Mapping[str, Any]) -> None:
            begun.set()

        streaming = asyncio.ensure_future(self.app(self._scope("GET", path, {}), receive, send))
        await asyncio.wait((asyncio.ensure_future(begun.wait()), streaming), return_when=asyncio.FIRST_COMPLETED)
        assert not streaming.done()
        try:
            yield
        finally:
            leaving.set()
            await streaming

    def _scope(self, method: str, path: str, headers: Mapping[str, str]) -> dict[str, Any]:
        parts = urlsplit(path)
        assert parts.path.startswith(self.prefix), f"{path} leaves {self.prefix}"
        raw = parts.path.removeprefix(self.prefix) if self.strips else parts.path
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {"host": HOST, **self.headers, **more}
        if self.cookies:
            sent["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "scheme": self.scheme,
            "path": raw,
            "raw_path": raw.encode(),
            "query_string": parts.query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
            "client": ("127.0.0.1", 50000),
            "server": (HOST, 80),
            "state": {"crowded": False},
        }

    def _keep(self, headers: Mapping[str, str]) -> None:
        """Keep the cookie that an answer sets."""
        name, _, rest = headers.get("set-cookie", "").partition("=")
        value = rest.partition(";")[0]
        if value:
            self.cookies[name] = value
        elif name:
            self.cookies.pop(name, None)
