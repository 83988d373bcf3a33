"""Operations on the servers of a shared database: their leases, and the handlers that they offer."""

from datetime import datetime, timedelta

from schedule_grpc.database import Operation, Rows
from schedule_grpc.domain.canonical_json import decode, encode
from schedule_grpc.runtime.clock import from_micros, to_micros
from schedule_grpc.store.columns import LATEST, holds_instant
from schedule_grpc.store.queries import QUERIES
from schedule_grpc.store.replica import Replica
from schedule_grpc.store.with_events import WithEvents

OFFERS_FOR = timedelta(seconds=15)
"""A server's handlers count as offered for so long after it last renewed its lease."""


def renew_lease(replica: Replica, now: datetime) -> Operation[WithEvents[tuple[Replica, ...]]]:
    """Renew a server's lease, or take it for the first time; return all servers that hold one."""
    yield (
        QUERIES.renew_lease,
        {
            "id": replica.id,
            "start_time": to_micros(replica.start_time),
            "now": to_micros(now),
            "handlers": encode(sorted(replica.handlers)),
            "program": replica.program,
        },
    )
    return (yield from replicas()), ()


def leave(replica_id: str) -> Operation[WithEvents[None]]:
    """End a server's own lease: it stops."""
    yield QUERIES.leave, {"id": replica_id}
    return None, ()


def replicas() -> Operation[tuple[Replica, ...]]:
    """Read the servers that hold a lease, the oldest first."""
    return _replicas((yield QUERIES.replicas, {}))


def handlers_offered(now: datetime) -> Operation[frozenset[str]]:
    """Read the handlers that any server offers."""
    rows = yield QUERIES.replicas_seen, {"since": to_micros(now - OFFERS_FOR)}
    return frozenset[str]().union(*(replica.handlers for replica in _replicas(rows)))


def _replicas(rows: Rows) -> tuple[Replica, ...]:
    return tuple(
        Replica(
            id=row["id"],
            start_time=from_micros(row["start_time"]) if holds_instant(row["start_time"]) else LATEST,
            handlers=_names(row["handlers"]),
            beat=row["beat"],
            program=row["program"],
        )
        for row in rows
    )


def _names(text: str) -> frozenset[str]:
    """Return the handlers of a peer; none if a newer program wrote them in another form."""
    try:
        names = decode(text)
    except ValueError:
        return frozenset()
    return frozenset(name for name in names if isinstance(name, str)) if isinstance(names, list) else frozenset()
