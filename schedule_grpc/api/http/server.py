"""The HTTP server: uvicorn in the server's event loop."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import uvicorn

from schedule_grpc.access.credentials import Way
from schedule_grpc.api.http.connection import BoundedConnection
from schedule_grpc.api.http.crowd import Crowd
from schedule_grpc.api.http_interface import BACKLOG
from schedule_grpc.api.listener_way import way_of
from schedule_grpc.runtime.certificates import server_context
from schedule_grpc.runtime.listeners import Listener

IDLE_SECONDS = 75
"""How long a connection without a request stays open."""


class HttpServer:
    """Serves one ASGI application on all its listeners."""

    def __init__(self, app: Any, *, grace: float) -> None:
        """Take an application, and the seconds that calls in progress have when the server stops."""
        self._app = app
        self._grace = grace
        self._crowd = Crowd()
        self._servers: list[_Server] = []
        self._serving: list[asyncio.Task[None]] = []

    def start(self, made: socket.socket, listener: Listener) -> None:
        """Answer on a listener's socket, by TLS if it has certificates."""
        certificates = listener.certificates
        config = self._config(way_of(listener))
        if certificates is not None:
            config.load()  # later it would replace the context by uvicorn's own
            config.ssl = server_context(certificates)
        server = _Server(config)
        self._servers.append(server)
        self._serving.append(asyncio.create_task(server.serve(sockets=[made]), name="http"))

    async def stop(self) -> None:
        """Accept no more calls, and let the calls in progress end."""
        for server in self._servers:
            server.should_exit = True
        await asyncio.gather(*self._serving)

    def _config(self, way: Way) -> uvicorn.Config:
        connection: Any = partial(BoundedConnection, crowd=self._crowd, way=way)  # uvicorn only calls it
        return uvicorn.Config(
            self._app,
            http=connection,
            ws="none",
            lifespan="off",
            log_config=None,  # the log is set up already
            log_level="error",  # a caller's mistake is answered, not logged
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=IDLE_SECONDS,
            timeout_graceful_shutdown=round(self._grace),
        )


class _Server(uvicorn.Server):
    """uvicorn's server without its signal handlers: the process has its own."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install no signal handler."""
        yield
