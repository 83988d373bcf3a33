"""The HTTP interface of a server that starts: it listens at once, and answers once its code is loaded.

FastAPI takes longer to load than the rest of the server, and delays everything else meanwhile. So the server listens
first, and fails at once if it cannot; the code is loaded after the engine has started. Earlier calls wait.
"""

import importlib
import socket
from typing import TYPE_CHECKING, Any

from schedule_grpc.errors import CannotStart
from schedule_grpc.runtime import forks
from schedule_grpc.runtime.listeners import Bound, Listener, listening_socket, remove_socket
from schedule_grpc.runtime.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from schedule_grpc.api.http import HttpServer

BACKLOG = 1024


class HttpInterface:
    """The listening sockets of HTTP, and later the server that answers on them."""

    def __init__(self, listeners: "Sequence[Listener]", make: "Callable[[Any], HttpServer]") -> None:
        """Listen.

        Args:
            listeners: At least one.
            make: Makes the server, given the module `schedule_grpc.api.http`; called in a thread.

        Raises:
            CannotStart: if the server cannot listen on one of them.
        """
        self._make = make
        self._sockets: list[tuple[socket.socket, Listener]] = []
        self._server: HttpServer | None = None
        try:
            for listener in listeners:
                self._sockets.append((_listening(listener), listener))
        except CannotStart:
            self._close_sockets()
            raise
        for made, _ in self._sockets:
            forks.keep(made.fileno())  # the event loop does not know the socket yet
        self.addresses = tuple(_bound(*each) for each in self._sockets)
        """The bound addresses."""

    async def answer(self) -> None:
        """Load the code in a thread, then answer the calls that wait and all later ones."""
        server = await in_thread(
            lambda _: self._make(importlib.import_module("schedule_grpc.api.http")), name="load HTTP", abandon=True
        )
        for made, listener in self._sockets:
            server.start(made, listener)
        self._server = server

    async def close(self) -> None:
        """Accept no more calls, and let the calls in progress end."""
        for made, _ in self._sockets:
            forks.forget(made.fileno())
        if self._server is not None:
            await self._server.stop()
        self._close_sockets()

    def _close_sockets(self) -> None:
        for made, listener in self._sockets:
            made.close()
            remove_socket(listener)


def _listening(listener: Listener) -> socket.socket:
    # Bound by hand: uvicorn would end the process where the port is in use.
    try:
        return listening_socket(listener, BACKLOG)
    except OSError as error:
        raise CannotStart(f"http: cannot listen on {listener.address}: {error.strerror or error}") from error


def _bound(made: socket.socket, listener: Listener) -> Bound:
    return listener.bound_to(0 if listener.path is not None else made.getsockname()[1])
