"""The route of a client to a server: options of the gRPC channel, TLS, and the token."""

import ipaddress
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import grpc

from schedule_grpc.client.address import target
from schedule_grpc.client.requests import NEVER_RETRIED
from schedule_grpc.client.rpcs import SERVICES
from schedule_grpc.client.token import CallMetadata, metadata_with, no_metadata

DEADLINE = 10.0
"""Seconds for a call, over all its attempts; a waiting RunTaskNow and a watch have none."""

ATTEMPTS = 4
MAX_ATTEMPTS = 5
"""gRPC's own limit."""

Pem: TypeAlias = bytes | str | PathLike[str]

_SCHEME = re.compile(r"(unix|unix-abstract|dns|ipv4|ipv6):")
_OPTIONS = (
    # A batch of registrations may have 1 MiB; gRPC does not retry a request that is larger than this buffer.
    ("grpc.per_rpc_retry_buffer_size", 2 * 1024 * 1024),
    # A thousand tasks with their payloads are more than gRPC's 4 MiB, and the server is not our enemy.
    ("grpc.max_receive_message_length", -1),
    # The attempts of a call shall meet a server that has come back, not one old failure to connect.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    # Calls without a deadline notice a server that is gone without closing its connection.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Tls:
    """How server and client prove their identity. Certificates and keys are PEM: the bytes, or the path of a file.

    ``ca`` holds the certificates to trust (None: the public authorities that gRPC knows). ``certificate`` and ``key``
    are the client's own, for servers that ask for them. ``server_name`` is the name in the server's certificate if it
    differs from the one in the address.
    """

    ca: Pem | None = None
    certificate: Pem | None = None
    key: Pem | None = field(default=None, repr=False)
    server_name: str = ""

    def credentials(self) -> grpc.ChannelCredentials:
        """Return the credentials of a gRPC channel.

        Raises:
            ValueError: if a certificate or key is not PEM, or only one of the two is given.
            OSError: if a file cannot be read.
        """
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together")
        return grpc.ssl_channel_credentials(
            root_certificates=_pem(self.ca, "ca"),
            private_key=_pem(self.key, "key"),
            certificate_chain=_pem(self.certificate, "certificate"),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """The parts of a gRPC channel to a server, and what makes the metadata of its calls."""

    address: str
    credentials: grpc.ChannelCredentials | None
    options: tuple[tuple[str, Any], ...]
    metadata: CallMetadata


def route(
    address: str, *, tls: Tls | None, token: str | None, token_file: PathLike[str] | str | None = None, attempts: int
) -> Route:
    """Return the route to an address; a call is attempted up to ``attempts`` times.

    Raises:
        ValueError: for invalid settings, and for a token that would leave this machine without TLS.
        OSError: if the file of the token, or one that ``tls`` names, cannot be read.
    """
    address = target(address, encrypted=tls is not None)
    metadata = metadata_with(token, token_file)
    if metadata is not no_metadata and tls is None and not is_loopback(address):
        raise ValueError(f"a token is not sent to {address} without TLS: give tls=Tls(...), or use a loopback address")
    return Route(
        address=address,
        credentials=None if tls is None else tls.credentials(),
        options=(*_OPTIONS, *_options_of(address, tls, attempts)),
        metadata=metadata,
    )


def is_loopback(address: str) -> bool:
    """Return whether all of an address (a gRPC target) is certainly on this machine; False if in doubt."""
    scheme, rest = "dns", address
    if found := _SCHEME.match(address):
        scheme, rest = found[1], address[found.end() :]
    if scheme.startswith("unix"):
        return True
    if scheme == "dns":
        return _is_loopback_host(rest.removeprefix("///"))
    return all(_is_loopback_host(each) for each in rest.split(","))


def _is_loopback_host(place: str) -> bool:
    bracketed = re.fullmatch(r"\[(.*)\](:\d+)?", place)
    host = bracketed[1] if bracketed else place if place.count(":") > 1 else place.partition(":")[0]
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _options_of(address: str, tls: Tls | None, attempts: int) -> Iterator[tuple[str, Any]]:
    yield "grpc.service_config", json.dumps(_service_config(attempts))
    if is_loopback(address):
        # A proxy from the environment has no business here, and a token would go through it in the clear.
        yield "grpc.enable_http_proxy", 0
    if tls and tls.server_name:
        yield "grpc.ssl_target_name_override", tls.server_name


def _service_config(attempts: int) -> dict[str, Any]:
    if not 1 <= attempts <= MAX_ATTEMPTS:
        raise ValueError(f"attempts must be 1 to {MAX_ATTEMPTS}, not {attempts}")
    if attempts == 1:
        return {}
    policy = {
        "maxAttempts": attempts,
        "initialBackoff": "0.2s",
        "maxBackoff": "2s",
        "backoffMultiplier": 2,
        # CANCELLED is a stopping server's answer to a call that it does not handle any more. gRPC does not make a call
        # again that this program cancelled.
        "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
    }
    # An entry that names a method takes precedence over one that names the service alone.
    once = [
        {"service": service.full_name, "method": rpc}
        for service in SERVICES
        for rpc in NEVER_RETRIED
        if rpc in service.methods_by_name
    ]
    services = [{"service": service.full_name} for service in SERVICES]
    return {"methodConfig": [{"name": services, "retryPolicy": policy}, {"name": once}]}


def _pem(given: Pem | None, name: str) -> bytes | None:
    if given is None:
        return None
    content = given if isinstance(given, bytes) else Path(given).read_bytes()
    if b"-----BEGIN " not in content:
        raise ValueError(f"{name} is not PEM")
    return content
