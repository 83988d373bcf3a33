"""The HTTP interface of a server that starts: it listens at once, and answers once its code is loaded.

FastAPI takes longer to load than the rest of the server, and holds up whatever runs meanwhile. So the address is taken
first, which tells at once whether it can be; the code is loaded when there is time, and who calls in between waits.
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
    """An address that is listened on, and in time the server that answers there."""

    def __init__(self, address: str, make: "Callable[[Any], HttpServer]") -> None:
        """Listen.

        Args:
            address: HOST:PORT; port 0 takes a free one.
            make: Makes the server, given the module `schedule_grpc.api.http`; called in a thread.

        Raises:
            CannotStart: if the address cannot be listened on.
        """
        host, _, port = address.rpartition(":")
        self._listener = _listening(host.strip("[]"), int(port), address)
        self._make = make
        self._server: HttpServer | None = None
        forks.keep(self._listener.fileno())  # the loop does not wait for it yet
        self.address = f"{host}:{self._listener.getsockname()[1]}"
        """Where it listens."""

    async def answer(self) -> None:
        """Load the code in a thread, and answer who has come and who comes."""
        server = await in_thread(
            lambda _: self._make(importlib.import_module("schedule_grpc.api.http")), name="load HTTP", abandon=True
        )
        server.start(self._listener)
        self._server = server

    async def close(self) -> None:
        """Accept no more calls, and let those under way end."""
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
