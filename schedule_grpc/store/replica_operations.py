"""Operations of the servers that share a database: who is there, and what do they offer?"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from schedule_grpc.clock import from_micros, to_micros
from schedule_grpc.database import Operation
from schedule_grpc.json_text import decode, encode
from schedule_grpc.store.protocol import Replica
from schedule_grpc.store.queries import QUERIES
from schedule_grpc.store.told import Told

ALIVE_FOR = timedelta(seconds=35)
"""So long after its newest heartbeat a replica is counted among the living: as long as its leases hold."""
FORGOTTEN_AFTER = timedelta(hours=1)


def attend(replica: Replica, now: datetime) -> Operation[Told[tuple[Replica, ...]]]:
    """Note a heartbeat; see who else is there."""
    yield (
        QUERIES.attend,
        {
            "id": replica.id,
            "start_time": to_micros(replica.start_time),
            "now": to_micros(now),
            "handlers": encode(sorted(replica.handlers)),
        },
    )
    yield QUERIES.forget_replicas, {"before": to_micros(now - FORGOTTEN_AFTER)}
    return (yield from replicas(now)), ()


def leave(replica_id: str) -> Operation[Told[None]]:
    """Note that a replica stops."""
    yield QUERIES.leave, {"id": replica_id}
    return None, ()


def replicas(now: datetime) -> Operation[tuple[Replica, ...]]:
    """Read who is there, the one that has been there longest first."""
    rows = yield QUERIES.replicas_seen, {"since": to_micros(now - ALIVE_FOR)}
    return tuple(
        Replica(id=row["id"], start_time=from_micros(row["start_time"]), handlers=_names(row["handlers"]))
        for row in rows
    )


def _names(text: str) -> frozenset[str]:
    """Return the handlers of another replica; none if a newer one tells them in another form."""
    try:
        told = decode(text)
    except ValueError:
        return frozenset()
    return frozenset(name for name in told if isinstance(name, str)) if isinstance(told, list) else frozenset()


def offered_by(found: Sequence[Replica]) -> frozenset[str]:
    """Return the handlers that any of these replicas offers."""
    return frozenset[str]().union(*(replica.handlers for replica in found))
