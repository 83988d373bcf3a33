"""What credentials prove: a caller, and for how long."""

from datetime import datetime

from msgspec import Struct

from schedule_grpc.domain.access.caller import Caller


class Proven(Struct, frozen=True):
    """A caller, and until when its proof holds; None: until it is revoked."""

    caller: Caller
    until: datetime | None = None
    key_digest: bytes = b""
    """The SHA-256 of the text of its key; empty if it used none."""
