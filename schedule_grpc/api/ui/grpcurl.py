"""The command line that asks the server by gRPC for what a page shows."""

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from schedule_grpc.runtime.listeners import Bound

ANY_HOST = frozenset({"0.0.0.0", "[::]", ""})  # noqa: S104 (to know it, not to listen on it)
UNKNOWN = "HOST:50051"
"""What stands for an address where the server has none by TCP."""


def address_of(bound: Sequence[Bound], host: str) -> tuple[str, bool]:
    """Return the address of the server's gRPC, and whether it is encrypted.

    Args:
        bound: The addresses on which the server listens for gRPC.
        host: The name by which the browser calls the server, for a server that listens on all of its addresses.
    """
    for each in bound:
        if each.path:
            continue
        own, _, port = each.address.rpartition(":")
        called = f"[{host}]" if ":" in host else host
        return f"{called if own in ANY_HOST else own}:{port}", each.encrypted
    return UNKNOWN, False


def command(
    rpc: str,
    request: Mapping[str, Any],
    *,
    bound: Sequence[Bound],
    host: str,
    namespace: str = "",
    has_key: bool = False,
) -> str:
    """Return the command, for a shell.

    Args:
        rpc: SERVICE/METHOD.
        request: The fields of the request; empty ones are left out.
        bound: The addresses on which the server listens for gRPC.
        host: The name by which the browser calls the server.
        namespace: The namespace of the call; empty: the caller's own.
        has_key: Whether the server asks the caller for a key; the command has it from the variable ``SCHEDULE_KEY``.
    """
    address, encrypted = address_of(bound, host)
    fields = {name: value for name, value in {**request, "namespace": namespace}.items() if value not in ("", [], None)}
    words = ["grpcurl", *(() if encrypted else ("-plaintext",))]
    if has_key:
        words.append('-H "authorization: Bearer $SCHEDULE_KEY"')
    if fields:
        words += ["-d", shlex.quote(json.dumps(fields))]
    return " ".join([*words, shlex.quote(address), rpc])
