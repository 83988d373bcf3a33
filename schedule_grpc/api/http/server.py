"""The HTTP server: uvicorn in the loop that everything else runs in."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import uvicorn

from schedule_grpc.api.http.connection import BoundedConnection
from schedule_grpc.api.http.crowd import Crowd
from schedule_grpc.api.http_interface import BACKLOG
from schedule_grpc.runtime.certificates import ReloadedCertificates, server_context

IDLE_SECONDS = 75
"""How long a connection without a request is kept."""


class HttpServer:
    """Serves one ASGI application on all its listeners."""

    def __init__(self, app: Any, *, grace: float) -> None:
        """Take an application, and how many seconds calls under way get when the server stops."""
        self._app = app
        self._grace = grace
        self._crowd = Crowd()
        self._servers: list[_Server] = []
        self._serving: list[asyncio.Task[None]] = []

    def start(self, listener: socket.socket, certificates: ReloadedCertificates | None = None) -> None:
        """Answer on a socket that listens, by TLS where there are certificates."""
        config = self._config()
        if certificates is not None:
            config.load()  # which would set the certificates of one moment
            config.ssl = server_context(certificates)
        server = _Server(config)
        self._servers.append(server)
        self._serving.append(asyncio.create_task(server.serve(sockets=[listener]), name="http"))

    async def stop(self) -> None:
        """Accept no more calls, and let those under way end."""
        for server in self._servers:
            server.should_exit = True
        await asyncio.gather(*self._serving)

    def _config(self) -> uvicorn.Config:
        return uvicorn.Config(
            self._app,
            http=partial(BoundedConnection, crowd=self._crowd),  # type: ignore[arg-type]  # it is only called
            ws="none",
            lifespan="off",
            log_config=None,  # our own is set up already
            log_level="error",  # what callers do wrong they are told
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=IDLE_SECONDS,
            timeout_graceful_shutdown=round(self._grace),
        )


class _Server(uvicorn.Server):
    """uvicorn's, but for the signals: they are the whole process's."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take none."""
        yield
