"""The HTTP interface of a server that starts: it listens at once, and answers once its code is loaded.

FastAPI takes longer to load than the rest of the server, and delays everything else meanwhile. So the server listens
first, and fails at once if it cannot; the code is loaded after the engine has started. Earlier calls wait.
"""

import importlib
import socket
from typing import TYPE_CHECKING, Any

from schedule_grpc.errors import CannotStart
from schedule_grpc.runtime import forks
from schedule_grpc.runtime.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from schedule_grpc.api.http import HttpServer

BACKLOG = 1024


class HttpInterface:
    """A listening socket, and later the server that answers on it."""

    def __init__(self, address: str, make: "Callable[[Any], HttpServer]") -> None:
        """Listen.

        Args:
            address: HOST:PORT; port 0 takes a free one.
            make: Makes the server, given the module `schedule_grpc.api.http`; called in a thread.

        Raises:
            CannotStart: if the server cannot listen on the address.
        """
        host, _, port = address.rpartition(":")
        self._listener = _listening(host.strip("[]"), int(port), address)
        self._make = make
        self._server: HttpServer | None = None
        forks.keep(self._listener.fileno())  # the event loop does not know the socket yet
        self.address = f"{host}:{self._listener.getsockname()[1]}"
        """The bound address."""

    async def answer(self) -> None:
        """Load the code in a thread, then answer the calls that wait and all later ones."""
        server = await in_thread(
            lambda _: self._make(importlib.import_module("schedule_grpc.api.http")), name="load HTTP", abandon=True
        )
        server.start(self._listener)
        self._server = server

    async def close(self) -> None:
        """Accept no more calls, and let the calls in progress end."""
        forks.forget(self._listener.fileno())
        if self._server is not None:
            await self._server.stop()
        self._listener.close()


def _listening(host: str, port: int, address: str) -> socket.socket:
    # Bound by hand: uvicorn would end the process where the port is in use.
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(place)
            listener.listen(BACKLOG)
            listener.setblocking(False)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise CannotStart(f"http: cannot listen on {address}: {error.strerror or error}") from error
    return listener
