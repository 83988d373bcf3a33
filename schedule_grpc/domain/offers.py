"""Which handlers servers and workers offer, and workers as callers may list them."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from msgspec import Struct

from schedule_grpc.domain.access.grant import ALL
from schedule_grpc.domain.worker import Worker

_NONE: frozenset[str] = frozenset()


class Offers(Struct, frozen=True):
    """The names of the handlers that are offered at one moment."""

    by_namespace: Mapping[str, frozenset[str]]
    """By the namespace in which they are offered; `ALL`: in every one."""

    def within(self, namespace: str) -> frozenset[str]:
        """Return the handlers that are offered to the tasks of a namespace."""
        everywhere = self.by_namespace.get(ALL, _NONE)
        own = self.by_namespace.get(namespace, _NONE)
        return everywhere | own if own else everywhere


def offers_of(servers: Iterable[str], workers: Iterable[Worker]) -> Offers:
    """Return what is offered by servers, given the names of their handlers, and by workers."""
    found: dict[str, frozenset[str]] = {ALL: frozenset(servers)}
    for worker in workers:
        found[worker.namespace] = found.get(worker.namespace, _NONE) | worker.handlers
    return Offers(by_namespace=found)


class WorkerInfo(Struct, frozen=True, kw_only=True):
    """A worker as callers may list it: its session, which is its secret, is not told."""

    id: str
    """Identifies the session to people."""
    name: str
    """Its own label."""
    version: str = ""
    """Of its program."""
    handlers: tuple[str, ...] = ()
    """The names of the handlers that it offers, in order."""
    slots: int
    """How many attempts it runs at once."""
    running: int = 0
    """How many attempts it has now."""
    labels: Mapping[str, str] = {}
    start_time: datetime
    """When the session began."""
    seen_time: datetime
    """When it last renewed its lease."""
    draining: bool = False
    """Whether it stops."""
    end_time: datetime | None = None
    """When the session ended; None while it lives."""
    namespace: str
    """Whose executions it runs; `ALL`: those of every namespace."""
    registered_by: str = ""
    """The principal that registered it; empty where that is not known."""

    @property
    def is_living(self) -> bool:
        """Whether the session has not ended."""
        return self.end_time is None

    @property
    def title(self) -> str:
        """Its name, and the version of its program."""
        named = self.name or self.id
        return f"{named} ({self.version})" if self.version else named


def info_of(worker: Worker) -> WorkerInfo:
    """Return what callers may know of a worker."""
    return WorkerInfo(
        id=worker.id,
        name=worker.name,
        version=worker.version,
        handlers=tuple(sorted(worker.handlers)),
        slots=worker.slots,
        running=worker.running,
        labels=worker.labels,
        start_time=worker.start_time,
        seen_time=worker.seen_time,
        draining=worker.draining,
        end_time=worker.end_time,
        namespace=worker.namespace,
        registered_by=worker.registered_by,
    )
