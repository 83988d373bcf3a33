"""The HTTP server: uvicorn in the server's event loop."""

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

IDLE_SECONDS = 75
"""How long a connection without a request stays open."""


class HttpServer:
    """Serves one ASGI application on one address."""

    def __init__(self, app: Any, *, grace: float) -> None:
        """Take an application, and the seconds that calls in progress have when the server stops."""
        config = uvicorn.Config(
            app,
            http=partial(BoundedConnection, crowd=Crowd()),  # type: ignore[arg-type]  # uvicorn only calls it
            ws="none",
            lifespan="off",
            log_config=None,  # the log is set up already
            log_level="error",  # a caller's mistake is answered, not logged
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=IDLE_SECONDS,
            timeout_graceful_shutdown=round(grace),
        )
        self._server = _Server(config)
        self._serving: asyncio.Task[None] | None = None

    def start(self, listener: socket.socket) -> None:
        """Answer on a listening socket."""
        self._serving = asyncio.create_task(self._server.serve(sockets=[listener]), name="http")

    async def stop(self) -> None:
        """Accept no more calls, and let the calls in progress end."""
        self._server.should_exit = True
        if self._serving is not None:
            await self._serving


class _Server(uvicorn.Server):
    """uvicorn's server without its signal handlers: the process has its own."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install no signal handler."""
        yield
