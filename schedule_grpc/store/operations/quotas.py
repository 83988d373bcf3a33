"""Limits of namespaces that a write checks itself, while it holds the row that has them."""

from collections import Counter
from collections.abc import Collection, Iterable

from schedule_grpc.database import Operation
from schedule_grpc.domain.access.quota import QuotaExceeded
from schedule_grpc.domain.task import Task
from schedule_grpc.store.operations.namespaces import limits_of
from schedule_grpc.store.queries import QUERIES

MAX_TASKS = "max_tasks"


class Room:
    """How many more tasks namespaces may have; those that are not named may have any number."""

    def __init__(self, limits: dict[str, int] | None = None, counts: dict[str, int] | None = None) -> None:
        self._limits = limits or {}
        self._counts = Counter(counts or {})

    def take(self, tasks: Iterable[Task]) -> QuotaExceeded | None:
        """Take the places of new tasks, all or none; return the refusal, if a namespace has too few."""
        wanted = Counter([task.namespace for task in tasks])
        for namespace, count in sorted(wanted.items()):
            limit = self._limits.get(namespace)
            if limit is not None and self._counts[namespace] + count > limit:
                return QuotaExceeded(namespace, MAX_TASKS, limit)
        self._counts += wanted
        return None


def room_in(namespaces: Collection[str]) -> Operation[Room]:
    """Count the tasks of namespaces that limit them, which are held until the transaction ends: no other adds any.

    Nothing is asked where there are none.
    """
    if not namespaces:
        return Room()
    held = yield QUERIES.hold_namespaces, [{"name": name} for name in sorted(namespaces)]
    limits = {row["name"]: limits_of(row["limits"]).max_tasks for row in held}
    most = {name: limit for name, limit in limits.items() if limit is not None}
    # In a statement of its own: it sees the tasks of transactions that ended while this one waited for a namespace.
    rows = yield QUERIES.count_tasks, [{"namespace": name} for name in most]
    return Room(most, {row["namespace"]: row["count"] for row in rows})


def limited_namespaces(tasks: Iterable[Task], limited: Collection[str]) -> set[str]:
    """Return the namespaces of tasks that may have a limit."""
    return {task.namespace for task in tasks if task.namespace in limited} if limited else set()
