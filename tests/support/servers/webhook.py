"""A webhook on a real socket."""

import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Receiver(ThreadingHTTPServer):
    """A webhook on a real socket."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.answer = 204
        self.came = threading.Event()
        """Set once something has come, before it is answered."""
        self.released = threading.Event()
        """While it is not set nothing is answered."""
        self.released.set()

    @property
    def url(self) -> str:
        """Where it listens, with what must stay secret."""
        return f"http://127.0.0.1:{self.server_port}/hook/s3cret?token=t0p"


class Answering(BaseHTTPRequestHandler):
    """Keeps what it gets."""

    def do_POST(self) -> None:
        """Keep it, and answer."""
        server = self.server
        assert isinstance(server, Receiver)
        body = self.rfile.read(int(self.headers["content-length"]))
        server.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
        server.came.set()
        server.released.wait(60)
        self.send_response(server.answer)
        self.send_header("content-length", "0")
        with suppress(ConnectionError):  # who asked has gone
            self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""
