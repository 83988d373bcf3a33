"""What all pages share: the files, the sessions, the feed, and what is known of the server."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from starlette.responses import Response

from schedule_grpc.access.gate import Gate
from schedule_grpc.access.sessions import Sessions
from schedule_grpc.api.ui.assets import Assets
from schedule_grpc.api.ui.html import POLICY
from schedule_grpc.api.ui.viewer import Viewer
from schedule_grpc.domain.access.grant import ALL
from schedule_grpc.domain.access.scope import Scope
from schedule_grpc.domain.paging import MAX_PAGE_SIZE, Page
from schedule_grpc.runtime.clock import Clock
from schedule_grpc.runtime.listeners import Bound
from schedule_grpc.service import Service
from schedule_grpc.service.kept import KeptFor
from schedule_grpc.store import Replica

PARTS_KEPT_FOR = 1.0
"""Seconds for which the main part of a page answers other tabs too."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """What every page says of the server."""

    title: str = ""
    """The server's own name, such as ``production``; empty: it has none."""
    colour: str = "none"
    version: str = ""
    changes: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Dashboard:
    """The parts that all pages share."""

    clock: Clock
    sessions: Sessions
    gate: Gate | None = None
    """Finds out whose key a browser logs in with; None: nobody needs to."""
    assets: Assets = field(default_factory=Assets.read)
    shown: Shown = Shown()
    facts: Callable[[], Mapping[str, str]] = dict
    """Returns what the page System says of the settings in force, secrets hidden."""
    replicas: Callable[[], Awaitable[Sequence[Replica]]] | None = None
    """Reads the servers that share the database; None: they are not known here."""
    troubles: Callable[[], Sequence[str]] = tuple
    """Returns why the server is not healthy; nothing if it is."""
    grpc: Sequence[Bound] = ()
    """The addresses on which the server listens for gRPC."""
    secure: bool = False
    """Whether browsers come over TLS that a proxy before the server ends."""
    policy: str = POLICY
    """What browsers may do with a page, and which sites may show it in a frame."""

    parts: KeptFor[Response] = field(init=False)
    """Main parts of pages that were rendered within the last second."""

    def __post_init__(self) -> None:
        """Keep parts by the clock of the server."""
        object.__setattr__(self, "parts", KeptFor(PARTS_KEPT_FOR, self.clock))

    @property
    def changes(self) -> bool:
        """Whether this port takes changes."""
        return self.shown.changes

    async def namespaces_for(self, service: Service, viewer: Viewer) -> Sequence[str]:
        """Return the namespaces that a viewer can switch to, the one that it sees among them."""
        names = {viewer.namespace, *viewer.named_namespaces}
        if viewer.caller.may(Scope.ADMIN, ALL):
            found = await service.list_namespaces(Page(size=MAX_PAGE_SIZE))
            names |= {namespace.name for namespace in found.namespaces}
        return sorted(names)
