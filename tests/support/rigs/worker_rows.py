"""Rows of workers, as the service writes them."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from schedule_grpc.database import Operation
from schedule_grpc.domain.access.namespace import DEFAULT_NAMESPACE
from schedule_grpc.domain.canonical_json import encode
from schedule_grpc.runtime.clock import to_micros
from schedule_grpc.store import Store

INSERT = """
INSERT INTO workers (session, namespace, name, version, labels, handlers, offers, slots, lease, beat, draining,
    start_time, seen_time, end_time, registered_by)
VALUES (:session, :namespace, :name, :version, :labels, :handlers, :offers, :slots, :lease, 1, :draining,
    :start_time, :seen_time, :end_time, :registered_by)
"""


async def written(store: Store, sql: str, **values: Any) -> None:
    """Write what no operation of the store writes."""

    def operation() -> Operation[None]:
        yield sql, values

    await store._database.write(operation)


async def worker_there(
    store: Store,
    session: str,
    now: datetime,
    *handlers: str,
    namespace: str = DEFAULT_NAMESPACE,
    version: str = "1",
    schemas: Mapping[str, str] | None = None,
    seen: timedelta = timedelta(0),
    started: timedelta = timedelta(0),
    ended: timedelta | None = None,
    draining: bool = False,
    offers: Sequence[Any] | None = None,
) -> None:
    """Write the row of a worker with a lease of 30 s; ``seen``, ``started``, ``ended``: how long ago it did so."""
    described = [
        {"name": name, "description": f"Does {name}", "payload_schema": (schemas or {}).get(name, "")}
        for name in sorted(handlers)
    ]
    await written(
        store,
        INSERT,
        session=session,
        namespace=namespace,
        name=f"host-{session}",
        version=version,
        labels=encode({"zone": "eu"}),
        handlers=encode(sorted(handlers)),
        offers=encode(list(described if offers is None else offers)),
        slots=4,
        lease=30_000_000,
        draining=int(draining),
        start_time=to_micros(now - started),
        seen_time=to_micros(now - seen),
        end_time=None if ended is None else to_micros(now - ended),
        registered_by="key:workers",
    )


async def workers_gone(store: Store) -> None:
    """Remove all rows of workers."""
    await written(store, "DELETE FROM workers")
