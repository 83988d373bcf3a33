"""Credentials to callers: a key, a token of an issuer, a certificate, a unix socket, or nobody in particular."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from msgspec import structs

from schedule_grpc.access.credentials import Credentials
from schedule_grpc.access.key_ring import KeyRing
from schedule_grpc.access.proven import Basis, Proven
from schedule_grpc.domain.access.caller import ANONYMOUS, ANYBODY, EVERYTHING, Caller
from schedule_grpc.domain.access.grant import Grant
from schedule_grpc.errors import Unauthenticated
from schedule_grpc.runtime.clock import Clock

SOCKET = "socket"
"""The name of a caller that proves no more than that it can open the socket's file."""


class Mode(StrEnum):
    """Whether callers must prove who they are."""

    OFF = "off"
    """Everybody may do everything."""
    PERMISSIVE = "permissive"
    """Callers that prove nothing get the anonymous grants, and are counted: ``required`` would refuse them."""
    REQUIRED = "required"


class Prover(Protocol):
    """A way to prove who a caller is, beside keys."""

    async def prove(self, credentials: Credentials) -> Proven | None:
        """Return the caller that the credentials prove; None if they are none of this kind, or not accepted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CallerPolicy:
    """How a server treats its callers."""

    mode: Mode | None = None
    """None: ``required`` as soon as there is a key, or another way to prove who one is; else ``off``."""
    anonymous_grants: tuple[Grant, ...] = EVERYTHING
    """Of callers that prove nothing, while the mode is ``permissive``."""


class Authenticator:
    """Finds out who calls."""

    def __init__(
        self,
        policy: CallerPolicy,
        keys: KeyRing,
        clock: Clock,
        *,
        provers: Sequence[Prover] = (),
        would_refuse: Callable[[Credentials, str], None] = lambda *_: None,
    ) -> None:
        """Take the parts.

        Args:
            policy: Whether callers must prove who they are.
            keys: The keys of the service.
            clock: Tells when a proof is over.
            provers: Other proofs, asked in order where there is no key.
            would_refuse: Called, while the mode is ``permissive``, for each call that ``required`` would refuse.
        """
        self._policy = policy
        self._keys = keys
        self._clock = clock
        self._provers = provers
        self._would_refuse = would_refuse
        self._anonymous = Caller(name=ANONYMOUS, grants=policy.anonymous_grants)

    @property
    def mode(self) -> Mode:
        """Whether callers must prove who they are, as it is now."""
        if self._policy.mode is not None:
            return self._policy.mode
        return Mode.OFF if self._keys.is_empty and not self._provers else Mode.REQUIRED

    @property
    def stays_open(self) -> bool:
        """Whether the settings say that everybody may do everything: then a key would be no more than a trap."""
        return self._policy.mode is Mode.OFF

    async def prove(self, credentials: Credentials, rpc: str) -> Proven:
        """Return who calls.

        Raises:
            Unauthenticated: if the caller must prove who it is, and does not.
            Unavailable: if the database has been away for too long to trust a key.
        """
        mode = self.mode
        if mode is Mode.OFF:
            return Proven(_from(credentials, _of_socket(credentials) or ANYBODY))
        try:
            token = credentials.token
            if (proven := self._keys.proven(token) if token is not None else self._of_session(credentials)) is not None:
                return structs.replace(proven, caller=_from(credentials, proven.caller))
            return await self._proven_otherwise(credentials)
        except Unauthenticated:
            if mode is Mode.REQUIRED:
                raise
            self._would_refuse(credentials, rpc)
            return Proven(_from(credentials, _of_socket(credentials) or self._anonymous))

    def still_holds(self, basis: Basis) -> bool:
        """Return whether a call that was admitted may go on: its key's text is accepted, its proof is not over."""
        if basis.key_digest and not self._keys.still_accepts(basis.key_digest):
            return False
        if basis.until is not None and self._clock.now() >= basis.until:
            return False
        return basis.is_identified or self.mode is not Mode.REQUIRED

    def _of_session(self, credentials: Credentials) -> Proven | None:
        proven = self._keys.proven_by(credentials.key_digest) if credentials.key_digest else None
        return None if proven is None else structs.replace(proven, until=credentials.session_until)

    async def _proven_otherwise(self, credentials: Credentials) -> Proven:
        for prover in self._provers:
            if (proven := await prover.prove(credentials)) is not None:
                return Proven(_from(credentials, proven.caller), proven.until)
        socket = _of_socket(credentials)
        if socket is None or credentials.authorization:  # a wrong token is not made right by the way that it took
            raise Unauthenticated
        return Proven(_from(credentials, socket))


def _of_socket(credentials: Credentials) -> Caller | None:
    grants = credentials.socket_grants
    return None if grants is None else Caller(name=SOCKET, grants=grants)


def _from(credentials: Credentials, caller: Caller) -> Caller:
    return structs.replace(caller, peer=credentials.peer, agent=credentials.agent)
