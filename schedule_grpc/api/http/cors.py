"""What a page of an allowed origin may send, and may read of an answer (CORS, https://fetch.spec.whatwg.org/)."""

from collections.abc import Mapping

SECONDS = 600
"""How long a browser may remember the answer to a preflight."""
OF_ROUTES = ("authorization", "content-type", "idempotency-key", "schedule-namespace")
"""Request headers that a page may set."""
OF_RPCS = (
    "authorization",
    "connect-protocol-version",
    "connect-timeout-ms",
    "content-type",
    "grpc-timeout",
    "x-grpc-web",
    "x-user-agent",
)
"""The same for Connect and gRPC-Web."""
READABLE_OF_RPCS = "grpc-message, grpc-status, grpc-status-details-bin, retry-after"
"""Response headers of Connect and gRPC-Web that a page may read: gRPC-Web answers an error in headers alone."""


def preflight_headers(allowed: str, *, rpc: bool) -> Mapping[str, str]:
    """Return the headers that allow a page to send its request, by one of the allowed methods."""
    names = OF_RPCS if rpc else OF_ROUTES
    return {
        "access-control-allow-methods": allowed,
        "access-control-allow-headers": ", ".join(names),
        "access-control-max-age": str(SECONDS),
    }


def sharing_headers(origin: str, *, rpc: bool) -> Mapping[bytes, bytes]:
    """Return the headers that let a page of an allowed origin read an answer."""
    shared = {
        b"access-control-allow-origin": origin.encode("latin-1"),
        b"cross-origin-resource-policy": b"cross-origin",
        b"vary": b"Origin",
    }
    return shared | {b"access-control-expose-headers": READABLE_OF_RPCS.encode()} if rpc else shared
