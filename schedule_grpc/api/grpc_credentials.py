"""The credentials of a gRPC call, from its metadata and its connection."""

from typing import Any
from urllib.parse import unquote

from schedule_grpc.access.certificates import PeerCertificate
from schedule_grpc.access.credentials import Credentials, Way

AUTHORIZATION = "authorization"
AGENT = "user-agent"


def credentials_of(context: Any, way: Way) -> Credentials:
    """Return what a call shows of its caller."""
    tokens: list[str] = []
    agent = ""
    for name, value in context.invocation_metadata() or ():
        if name == AUTHORIZATION:
            tokens.append(value)
        elif name == AGENT:
            agent = value
    peer = context.peer() or ""
    if "%" in peer:
        peer = unquote(peer)  # an IPv6 address is in %5B and %5D
    return Credentials(
        authorization=tokens,
        socket_grants=way.socket_grants,
        certificate=PeerCertificate.of_grpc(context.auth_context()) if way.shows_certificates else None,
        peer=peer,
        agent=agent,
    )
