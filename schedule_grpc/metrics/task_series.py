"""The series of tasks: bounded in number, and gone with the task."""

from collections.abc import Collection, Iterable

from prometheus_client import Counter

from schedule_grpc.domain.access.namespace import TaskKey
from schedule_grpc.domain.execution import Execution
from schedule_grpc.metrics.bounds import OTHER, Bounds, Capped

_REMEMBERED = 10_000
"""Deleted tasks that are known to be gone: their last executions may end later."""


class Series:
    """The series of one task, or those that tasks share."""

    __slots__ = ("_children", "key", "uid")

    def __init__(self, key: TaskKey, uid: str = "") -> None:
        """Take the labels, a namespace and a name, and the uid of the task; empty: they are shared."""
        self.key = key
        self.uid = uid
        self._children: dict[tuple[Counter, str, str], Counter] = {}

    def count(self, counter: Counter, label: str, last: str = "", *, by: int) -> None:
        """Add to a counter, whose first labels are the namespace and the name; an empty last one is left out."""
        key = counter, label, last
        if (child := self._children.get(key)) is None:
            child = self._children[key] = counter.labels(*self.key, *_given(label, last))
        child.inc(by)

    def remove(self) -> None:
        """Remove what was counted."""
        for counter, label, last in self._children:
            counter.remove(*self.key, *_given(label, last))
        self._children.clear()


class TaskSeries:
    """Which series count the executions of which task.

    A task is known by its uid: one that is deleted and registered anew has the name of the former one, and a greater
    uid. So it does not matter in which order the notices of deletions and the ends of executions arrive.
    """

    def __init__(self, bounds: Bounds, namespaces: Capped[str]) -> None:
        self._most = bounds.tasks
        self._namespaces = namespaces
        self._of_task: dict[str, Series] = {}
        """By the task's uid."""
        self._named: dict[TaskKey, Series] = {}
        """The same ones by namespace and name."""
        self._shared: dict[str, Series] = {}
        """By namespace, for tasks without series of their own."""
        self._gone: dict[str, None] = {}

    @property
    def known(self) -> Collection[str]:
        """The uids of the tasks that have series of their own."""
        return self._of_task.keys()

    def of(self, execution: Execution) -> Series:
        """Return the series that count an execution."""
        series = self._of_task.get(execution.task_uid)
        return self._found(execution) if series is None else series

    def remove(self, uids: Iterable[str]) -> None:
        """Remove the series of tasks that were deleted; what ends later is counted with the others."""
        for uid in uids:
            self._gone[uid] = None
            if len(self._gone) > _REMEMBERED:
                del self._gone[next(iter(self._gone))]
            series = self._of_task.pop(uid, None)
            if series is not None:
                series.remove()
                del self._named[series.key]

    def remove_namespace(self, namespace: str) -> None:
        """Remove what the tasks of a deleted namespace share; it has no tasks any more."""
        if (series := self._shared.pop(namespace, None)) is not None:
            series.remove()

    def _found(self, execution: Execution) -> Series:
        uid, key = execution.task_uid, execution.task_key
        if uid in self._gone:
            return self._shared_in(execution.namespace)
        former = self._named.get(key)
        if former is not None:
            if uid < former.uid:
                return self._shared_in(execution.namespace)
            self.remove([former.uid])  # the notice of its deletion is late, or was lost
        if len(self._of_task) >= self._most:
            return self._shared_in(execution.namespace)
        series = self._of_task[uid] = self._named[key] = Series(key, uid)
        return series

    def _shared_in(self, namespace: str) -> Series:
        series = self._shared.get(namespace)
        if series is not None:
            return series
        named = namespace if self._namespaces.has_room(namespace) else OTHER
        if (series := self._shared.get(named)) is None:
            series = self._shared[named] = Series((named, OTHER))
        return series


def _given(label: str, last: str) -> tuple[str, ...]:
    return (label, last) if last else (label,)
