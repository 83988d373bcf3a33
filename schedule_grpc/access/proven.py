"""What credentials prove: a caller, and for how long."""

from datetime import datetime
from typing import NamedTuple

from msgspec import Struct

from schedule_grpc.domain.access.caller import Caller


class Basis(NamedTuple):
    """What a proof rests on: proofs that rest on the same hold for as long as each other."""

    key_digest: bytes
    until: datetime | None
    is_identified: bool


class Proven(Struct, frozen=True):
    """A caller, and until when its proof holds; None: until it is revoked."""

    caller: Caller
    until: datetime | None = None
    key_digest: bytes = b""
    """The SHA-256 of the text of its key; empty if it used none."""

    @property
    def basis(self) -> Basis:
        """What decides how long it holds."""
        return Basis(self.key_digest, self.until, self.caller.is_identified)
