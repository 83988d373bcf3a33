"""What a listener itself says of its callers, at both edges."""

from schedule_grpc.access.credentials import Way
from schedule_grpc.domain.access.grant import read_grants
from schedule_grpc.runtime.listeners import Listener


def way_of(listener: Listener) -> Way:
    """Return the way by which calls come that this listener accepts."""
    certificates = listener.certificates
    return Way(
        socket_grants=None if listener.grants is None else read_grants(listener.grants),
        shows_certificates=certificates is not None and certificates.asks_for_client_certificate,
        health_only=listener.health_only,
    )
