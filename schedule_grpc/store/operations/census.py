"""Operations that count for metrics: by searches of indexes, so their cost grows only with what waits or is wrong."""

from collections.abc import Collection
from datetime import datetime
from itertools import groupby
from operator import attrgetter

from schedule_grpc.database import Operation
from schedule_grpc.domain.census import Census, Waiting, WorkerCount
from schedule_grpc.domain.offers import offers_of
from schedule_grpc.runtime.clock import to_micros
from schedule_grpc.store.operations.replicas import handlers_offered
from schedule_grpc.store.operations.tasks import looked_at
from schedule_grpc.store.operations.workers_read import offering_workers
from schedule_grpc.store.queries import QUERIES

MOST_CONDITIONS = 5000
"""Conditions of one census; more are not counted."""
_MICROS = 1_000_000


def census(now: datetime, own: frozenset[str], *, is_shared: bool) -> Operation[Census]:
    """Count; ``own`` are the handlers that the asking server offers."""
    micros = to_micros(now)
    due = yield QUERIES.first_due, {"now": micros}
    queues = yield QUERIES.waiting_queues, {}
    conditions = yield QUERIES.conditions_that_hold, {"limit": MOST_CONDITIONS}
    workers = yield from offering_workers(now)
    servers = (yield from handlers_offered(now)) if is_shared else frozenset[str]()
    offers = offers_of(servers | own, workers)
    by_namespace = attrgetter("namespace")
    there = {name: tuple(each) for name, each in groupby(sorted(workers, key=by_namespace), key=by_namespace)}
    return Census(
        overdue=max((_seconds_since(row["due_time"], micros) for row in due), default=0),
        waiting=tuple(
            Waiting(
                namespace=row["namespace"],
                handler=row["handler"],
                seconds=_seconds_since(row["available_time"], micros),
                is_offered=row["handler"] in offers.within(row["namespace"]),
            )
            for row in queues
            if looked_at(row["available_time"]) <= micros
        ),
        conditions=tuple((row["namespace"], row["task_name"], row["key"]) for row in conditions),
        workers=tuple(
            WorkerCount(namespace=name, workers=len(each), slots=sum(worker.slots for worker in each))
            for name, each in there.items()
        ),
    )


def gone(tasks: Collection[str], namespaces: Collection[str]) -> Operation[tuple[frozenset[str], frozenset[str]]]:
    """Read which of these tasks (by uid) and namespaces are deleted."""
    living = yield QUERIES.living_tasks, [{"uid": uid} for uid in sorted(tasks)]
    there = yield QUERIES.namespace_names, {}
    return (
        frozenset(tasks) - {row["uid"] for row in living},
        frozenset(namespaces) - {row["name"] for row in there},
    )


def _seconds_since(stored: object, now: int) -> float:
    """Return for how long an instant is past; 0 if it is not."""
    return max((now - looked_at(stored)) / _MICROS, 0.0)
