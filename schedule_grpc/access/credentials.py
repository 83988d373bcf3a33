"""What a call shows of its caller, before anything is decided by it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from msgspec import Struct

from schedule_grpc.access.certificates import PeerCertificate
from schedule_grpc.domain.access.grant import Grant
from schedule_grpc.errors import Unauthenticated

BEARER = "bearer"
LONGEST_TOKEN = 16 * 1024
"""Characters."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """The way by which a call comes: what the listener itself says of its callers."""

    socket_grants: tuple[Grant, ...] | None = None
    """The grants of callers of a unix socket; None: it is a TCP address."""
    shows_certificates: bool = False
    """Whether callers show certificates."""
    health_only: bool = False
    """Whether health and metrics are served there, to everybody, and nothing else."""


BY_TCP = Way()
"""The way of an address on which nothing is known of callers."""


class Credentials(Struct, frozen=True, kw_only=True):
    """The credentials of a call, as they arrived."""

    authorization: Sequence[str] = ()
    """The values of ``authorization``: one, in a call that is in order."""
    socket_grants: tuple[Grant, ...] | None = None
    """The grants of the unix socket by which the call came; None: it came over TCP."""
    certificate: PeerCertificate | None = None
    """The certificate that the connection was made with, if the listener asks for one."""
    key_digest: bytes = b""
    """The digest of the key with which a browser's session began; empty: the call belongs to none."""
    session_until: datetime | None = None
    """When that session is over."""
    peer: str = ""
    """The address from which it came."""
    agent: str = ""
    """The program that the caller says it is."""

    @property
    def token(self) -> str | None:
        """The bearer token (RFC 6750); None if the call has no ``authorization``.

        Raises:
            Unauthenticated: if it is of another scheme, empty, too long, or sent twice.
        """
        if not self.authorization:
            return None
        scheme, _, token = self.authorization[0].partition(" ")
        if len(self.authorization) > 1 or scheme.lower() != BEARER or not 0 < len(token) <= LONGEST_TOKEN:
            raise Unauthenticated
        return token


def host_of(peer: str) -> str:
    """Return the address of a peer without its port: ports tell calls apart, not callers."""
    return peer.rpartition(":")[0] or peer
