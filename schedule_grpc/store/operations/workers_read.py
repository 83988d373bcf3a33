"""Operations that read workers: which there are, and which handlers they offer."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from schedule_grpc.database import Operation, Row
from schedule_grpc.domain.canonical_json import decode, encode
from schedule_grpc.domain.offers import Offers, offers_of
from schedule_grpc.domain.task import Handler
from schedule_grpc.domain.worker import OfferedHandler, Worker
from schedule_grpc.runtime.clock import MICROSECOND, to_micros
from schedule_grpc.store.columns import MAX_NUMBER, Columns
from schedule_grpc.store.operations.replicas import handlers_offered
from schedule_grpc.store.queries import QUERIES

MOST_LISTED = 1000
"""Workers in one answer."""
STILL_OFFERS_FOR = timedelta(seconds=15)
"""A worker's handlers count as offered for so long after its lease: a network that is away for a moment is no news."""
_NOT_READ: dict[str, Any] = {
    "labels": "{}",
    "beat": 0,
    "draining": 0,
    "end_time": None,
    "registered_by": "",
    "running": 0,
}
"""Columns that `offering_workers` leaves out."""


def list_workers(namespace: str, handler: str, since: datetime) -> Operation[tuple[Worker, ...]]:
    """Read the workers of a namespace and those of all namespaces that live, or ended since a moment, newest first.

    If there are too many, those that live come before those that ended.
    """
    rows = yield (
        QUERIES.list_workers,
        {
            "namespace": namespace,
            "handler": encode(handler) if handler else "",
            "since": to_micros(since),
            "limit": MOST_LISTED,
        },
    )
    return tuple(sorted(map(_worker, rows), key=lambda worker: worker.start_time, reverse=True))


def offering_workers(now: datetime) -> Operation[tuple[Worker, ...]]:
    """Read the workers that can be given attempts; of their handlers the names alone."""
    rows = yield QUERIES.offering_workers, {"since": to_micros(now - STILL_OFFERS_FOR)}
    return tuple(map(_worker, rows))


def offers(now: datetime, *, is_shared: bool) -> Operation[Offers]:
    """Read which handlers are offered by workers and, in a database that servers share, by servers."""
    workers = yield from offering_workers(now)
    servers = (yield from handlers_offered(now)) if is_shared else frozenset[str]()
    return offers_of(servers, workers)


def handlers_of_workers(namespace: str, now: datetime) -> Operation[tuple[Handler, ...]]:
    """Read the handlers that workers offer to a namespace, each as the newest worker that offers it describes it."""
    offering: dict[str, list[Worker]] = {}
    for worker in sorted((yield from offering_workers(now)), key=lambda each: (each.start_time, each.session)):
        if worker.serves(namespace):
            for name in worker.handlers:
                offering.setdefault(name, []).append(worker)
    described: dict[str, dict[str, OfferedHandler]] = {}
    for session in {workers[-1].session for workers in offering.values()}:
        rows = yield QUERIES.offers_of_worker, {"session": session}
        described[session] = {offer.name: offer for row in rows for offer in _offers(row["offers"])}
    return tuple(
        _handler(described[workers[-1].session].get(name, OfferedHandler(name=name)), workers)
        for name, workers in sorted(offering.items())
    )


def _handler(offer: OfferedHandler, workers: Sequence[Worker]) -> Handler:
    return Handler(
        name=offer.name,
        description=offer.description,
        payload_schema=offer.payload_schema,
        worker_count=len(workers),
        worker_versions=tuple(sorted({worker.version for worker in workers if worker.version})),
    )


def _worker(found: Row) -> Worker:
    """Return the worker of a row; what cannot be read has a harmless value."""
    columns, row = Columns(), _NOT_READ | dict(found)
    return Worker(
        session=row["session"],
        namespace=row["namespace"],
        name=columns.text("name", row["name"]),
        version=columns.text("version", row["version"]),
        labels=_labels(columns, row["labels"]),
        offers=tuple(OfferedHandler(name=name) for name in _names(row["handlers"])),
        slots=columns.count("slots", row["slots"], MAX_NUMBER),
        lease=columns.count("lease", row["lease"]) * MICROSECOND,
        start_time=columns.required_instant("start_time", row["start_time"]),
        seen_time=columns.required_instant("seen_time", row["seen_time"]),
        beat=columns.count("beat", row["beat"]),
        draining=bool(row["draining"]),
        end_time=columns.instant("end_time", row["end_time"]),
        registered_by=columns.text("registered_by", row["registered_by"]),
        running=row["running"],
    )


def _labels(columns: Columns, text: str) -> dict[str, str]:
    found = columns.json_object("labels", text)
    return {key: value for key, value in found.items() if isinstance(value, str)}


@lru_cache(maxsize=256)
def _names(text: str) -> tuple[str, ...]:
    """Return the names of a worker's handlers; none if a newer program wrote them in another form."""
    try:
        found = decode(text)
    except ValueError:
        return ()
    return tuple(name for name in found if isinstance(name, str)) if isinstance(found, list) else ()


def _offers(text: str) -> tuple[OfferedHandler, ...]:
    """Return what a worker says of its handlers; what a newer program wrote in another form is left out."""
    try:
        found = decode(text)
    except ValueError:
        return ()
    each = [offer for offer in found if isinstance(offer, dict)] if isinstance(found, list) else []
    return tuple(
        OfferedHandler(
            name=_text(offer.get("name")),
            description=_text(offer.get("description")),
            concurrency=offer["concurrency"] if isinstance(offer.get("concurrency"), int) else None,
            payload_schema=_text(offer.get("payload_schema")),
        )
        for offer in each
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
