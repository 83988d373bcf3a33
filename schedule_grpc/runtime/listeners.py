"""The listeners of a server: TCP addresses and unix sockets, in the clear or by TLS."""

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from schedule_grpc.runtime.certificates import ReloadedCertificates

UNIX = "unix:"
LONGEST_PATH = 107
"""Bytes of a unix socket's path: the kernel has room for no more, on Linux (unix(7))."""
ANSWERS_WITHIN = 1.0
"""Seconds that a server on a unix socket gets to take a connection."""


def unix_path(address: str) -> str:
    """Return the path in the address of a unix socket; empty for HOST:PORT."""
    return address.removeprefix(UNIX) if address.startswith(UNIX) else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bound:
    """An address on which a server listens."""

    address: str
    """HOST:PORT or unix:PATH."""
    encrypted: bool

    def __str__(self) -> str:
        return self.address

    @property
    def path(self) -> str:
        """The path of a unix socket; empty for HOST:PORT."""
        return unix_path(self.address)


@dataclass(frozen=True, kw_only=True, slots=True)
class Listener:
    """An address to listen on, with its certificates or the mode of its socket."""

    address: str
    """HOST:PORT, port 0 takes a free one; or unix:PATH."""
    certificates: ReloadedCertificates | None = None
    """None: no TLS."""
    socket_mode: int = 0o600
    """The mode of the unix socket: the users that can write to the file can connect."""
    grants: tuple[str, ...] | None = None
    """What callers of the unix socket may do, who prove no more than that they can open it; None: it is an address."""
    health_only: bool = False
    """Whether it serves health and metrics alone, to everybody who reaches it."""

    @property
    def path(self) -> Path | None:
        """The path of a unix socket; None for an address."""
        path = unix_path(self.address)
        return Path(path) if path else None

    def bound_to(self, port: int) -> Bound:
        """Return the bound address, with the port that the system gave."""
        address = self.address if self.path is not None else f"{self.address.rpartition(':')[0]}:{port}"
        return Bound(address=address, encrypted=self.certificates is not None)

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Bind the listener within this context: the socket file of a dead server is removed before.

        Until the context ends, only the owner can connect to a unix socket; then the socket gets its mode.

        Raises:
            OSError: if another server answers on the socket, if something else is there, or if it cannot be removed.
        """
        path = self.path
        if path is None:
            yield
            return
        _remove_left_behind(path)
        before = os.umask(0o177)
        try:
            yield
        finally:
            os.umask(before)
        path.chmod(self.socket_mode)


def listening_socket(listener: Listener, backlog: int) -> socket.socket:
    """Return a socket that listens, without blocking.

    Raises:
        OSError: if the address cannot be listened on.
    """
    with listener.claimed():
        return _bound(listener, backlog)


def remove_socket(listener: Listener) -> None:
    """Remove the file of a unix socket on which nothing listens any more."""
    if listener.path is not None:
        with suppress(OSError):
            listener.path.unlink()


def _bound(listener: Listener, backlog: int) -> socket.socket:
    if listener.path is not None:
        family, kind, protocol, place = socket.AF_UNIX, socket.SOCK_STREAM, 0, str(listener.path)
    else:
        host, _, port = listener.address.rpartition(":")
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
        family, kind, protocol, _, place = found  # type: ignore[assignment]
    made = socket.socket(family, kind, protocol)
    try:
        if family != socket.AF_UNIX:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(place)
        made.listen(backlog)
        made.setblocking(False)
    except OSError:
        made.close()
        raise
    return made


def _remove_left_behind(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(f"{path} is there, and is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.settimeout(ANSWERS_WITHIN)
        try:
            caller.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
        else:
            raise FileExistsError("another server listens there")
