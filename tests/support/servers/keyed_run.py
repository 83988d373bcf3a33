"""The suite with keys (`pytest --keyed`): servers of tests ask every caller for a key, and callers in tests show it.

Tests do not say so themselves: each way to call a server has one place here, where the key of the server is put into a
call that shows none. A server that a test starts by itself, without `serving` and `start`, asks for no key.
"""

import tempfile
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, Self

import grpc
import httpx2

KEYLESS = "about callers without keys, or about a server that the test itself starts for callers without keys"
AUTHORIZATION = "authorization"

is_on = False
_numbers = count(1)
_texts: dict[str, str] = {}
"""The first key of each database, by its place."""
_ports: dict[str, str] = {}
"""The key that the server on a port asks for."""


def new_file() -> Path:
    """Return the name of a file for a first key, in no folder of a test."""
    return Path(tempfile.gettempdir()) / f"first-{next(_numbers)}-{id(_texts):x}.key"


def learn(place: str, file: Path, *addresses: str | None) -> None:
    """Take the key from a file where a server has written it; the server answers on these addresses.

    Where a database had a key before, the server wrote none, and asks for the one that it wrote at its first start.
    """
    if file.exists():
        _texts[place] = file.read_text().strip()
        file.unlink()
    for address in addresses:
        if address is not None and place in _texts:
            _ports[_port(address)] = _texts[place]


def key_for(*addresses: str) -> str | None:
    """Return the key that the server on the first known one of these addresses asks for; None: it asks for none."""
    return next((_ports[_port(each)] for each in addresses if _port(each) in _ports), None)


def bearer(address: str) -> dict[str, str]:
    """Return the header that a call to an address needs: none where no key is asked for."""
    text = key_for(address)
    return {} if text is None else {AUTHORIZATION: f"Bearer {text}"}


def keyed(request: bytes, address: str) -> bytes:
    """Return a request of HTTP/1 with the key, where one is asked for."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in bearer(address).items())
    return request.replace(b"\r\n", b"\r\n" + lines.encode(), 1)


def variables(*addresses: str) -> dict[str, str]:
    """Return the variables of a command that asks the server on the first known one of these addresses."""
    text = key_for(*addresses)
    return {} if text is None else {"SCHEDULE_TOKEN": text}


def begin() -> None:
    """From now on servers ask for keys, and channels of gRPC and clients of HTTP show them."""
    global is_on  # noqa: PLW0603
    is_on = True
    for module in (grpc, grpc.aio):
        module.insecure_channel = _keyed_channels(module.insecure_channel)
    build = httpx2.Client.build_request

    def build_request(self: Any, *arguments: Any, **options: Any) -> httpx2.Request:
        request = build(self, *arguments, **options)
        for name, value in bearer(request.url.netloc.decode()).items():
            request.headers.setdefault(name, value)
        return request

    for kind in (httpx2.Client, httpx2.AsyncClient):
        kind.build_request = build_request


def _port(address: str) -> str:
    return address.rstrip("/").rpartition(":")[2]


def _keyed_channels(make: Callable[..., Any]) -> Callable[..., Any]:
    def insecure_channel(target: str, *arguments: Any, **options: Any) -> Any:
        return _Keyed(make(target, *arguments, **options), target)

    return insecure_channel


class _Keyed:
    """A channel whose calls show the key of the server; all else is the channel's own."""

    def __init__(self, channel: Any, address: str) -> None:
        self._channel = channel
        self._address = address

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    def _calling(self, make: Callable[..., Any], *arguments: Any, **options: Any) -> Callable[..., Any]:
        call = make(*arguments, **options)

        def keyed(*arguments: Any, metadata: Any = None, **options: Any) -> Any:
            shown = tuple(metadata or ())
            if not any(name == AUTHORIZATION for name, _ in shown):
                shown += tuple(bearer(self._address).items())
            return call(*arguments, metadata=shown, **options)

        return keyed

    def unary_unary(self, *arguments: Any, **options: Any) -> Callable[..., Any]:
        return self._calling(self._channel.unary_unary, *arguments, **options)

    def unary_stream(self, *arguments: Any, **options: Any) -> Callable[..., Any]:
        return self._calling(self._channel.unary_stream, *arguments, **options)

    def stream_stream(self, *arguments: Any, **options: Any) -> Callable[..., Any]:
        return self._calling(self._channel.stream_stream, *arguments, **options)

    def __enter__(self) -> Self:
        self._channel.__enter__()
        return self

    def __exit__(self, *error: object) -> Any:
        return self._channel.__exit__(*error)

    async def __aenter__(self) -> Self:
        await self._channel.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> Any:
        return await self._channel.__aexit__(*error)
