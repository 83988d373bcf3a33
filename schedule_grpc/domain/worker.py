"""Workers: processes elsewhere that run handlers; what they say of themselves, and what may be said."""

import hashlib
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta

from msgspec import Struct

from schedule_grpc.domain.access.grant import ALL

PROTOCOL = 1
"""The newest version of the workers' protocol that this program speaks."""
MAX_HANDLERS = 1000
MAX_SLOTS = 1000
MAX_HELD = 2 * MAX_SLOTS
"""Attempts that a worker has: in its slots, and as many whose outcomes are not acknowledged yet."""
MAX_LABELS = 16
MAX_LABEL = 128
"""Characters of a label, a name, a version."""
MAX_DESCRIPTION = 1024
MAX_SCHEMA_BYTES = 16 * 1024
DEFAULT_LEASE = timedelta(seconds=30)
SHORTEST_LEASE = timedelta(seconds=10)
LONGEST_LEASE = timedelta(minutes=10)
LAPSES_AFTER = timedelta(seconds=5)
"""How long after its end a lease counts as over: clocks run at slightly different speeds."""


class OfferedHandler(Struct, frozen=True, kw_only=True):
    """A handler as a worker offers it."""

    name: str
    description: str = ""
    concurrency: int | None = None
    """How many attempts of it the worker runs at once; None: as many as it has slots."""
    payload_schema: str = ""
    """A JSON Schema; empty: there is none."""


class Worker(Struct, frozen=True, kw_only=True):
    """One session of a worker."""

    session: str
    """Identifies the session in calls of the worker: a secret of its."""
    namespace: str
    """The namespace whose executions it runs; `ALL`: every one."""
    name: str
    version: str
    labels: Mapping[str, str]
    offers: tuple[OfferedHandler, ...]
    slots: int
    lease: timedelta
    start_time: datetime
    seen_time: datetime
    beat: int = 0
    """The number of renewals."""
    draining: bool = False
    end_time: datetime | None = None
    """When the session ended; None while it lives."""
    registered_by: str = ""
    """The principal that registered it; empty where that is not known."""
    running: int = 0
    """How many attempts it has now, where that was read."""

    @property
    def id(self) -> str:
        """Identifies the session to people, and gives no access to it."""
        return public_id(self.session)

    @property
    def handlers(self) -> frozenset[str]:
        """The names of the handlers that it offers."""
        return frozenset(offer.name for offer in self.offers)

    @property
    def title(self) -> str:
        """What executions keep of it: its name, and the version of its program."""
        named = self.name or self.id
        return f"{named} ({self.version})" if self.version else named

    def serves(self, namespace: str) -> bool:
        """Return whether it runs executions of a namespace."""
        return self.namespace in (ALL, namespace)


def public_id(session: str) -> str:
    """Return what names a session to people: it gives no access to it."""
    return hashlib.sha256(session.encode()).hexdigest()[:12]


def new_session_id() -> str:
    """Return the id of a new session: random, so that no other caller can guess it."""
    return secrets.token_hex(16)
