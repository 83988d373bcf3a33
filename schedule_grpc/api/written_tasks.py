"""A cache of serialized tasks: callers request the same tasks again and again, and tasks rarely change."""

from collections.abc import Callable, Iterator, Sequence

from schedule_grpc.domain.paging import fitting
from schedule_grpc.domain.task import Task
from schedule_grpc.runtime.threads import LIGHT, Aside, weight_of

MOST_KEPT = 4096
"""Tasks in the cache."""
MOST_BYTES = 4096
"""The largest serialized task that is kept."""
EACH = LIGHT // 25
"""The weight of serializing a task, beside its payload and metadata."""


class WrittenTasks:
    """Serializes tasks in one form; a task that did not change since the last time is not serialized again."""

    def __init__(self, write: Callable[[Task], bytes], aside: Aside) -> None:
        """Take the function that serializes a task, from nothing but the task, and the thread for large ones."""
        self._write = write
        self._aside = aside
        self._kept: dict[str, tuple[Task, bytes]] = {}

    async def one(self, task: Task) -> bytes:
        """Return a task, serialized."""
        known = self._known(task)
        if known is not None:
            return known
        weight = weight_of(task.definition.payload, task.definition.metadata)
        written = await self._aside.compute(lambda: self._write(task), weight=weight)
        self._keep(task, written)
        return written

    async def page(self, tasks: Sequence[Task]) -> list[bytes]:
        """Return the first tasks, serialized, as many as fit into one page."""
        known = [self._known(task) for task in tasks]
        kept = [written for written in known if written is not None]
        if len(kept) == len(tasks):
            return fitting(kept, len)
        page = await self._all(tasks, known, lambda each: fitting(each, len))
        for task, before, written in zip(tasks, known, page, strict=False):
            if before is None:
                self._keep(task, written)
        return page

    async def batch(self, tasks: Sequence[Task]) -> list[bytes]:
        """Return all tasks, serialized, and keep none: a caller that registers a batch does not read it next."""
        return await self._all(tasks, [self._known(task) for task in tasks], list)

    async def _all(
        self,
        tasks: Sequence[Task],
        known: Sequence[bytes | None],
        taken: Callable[[Iterator[bytes]], list[bytes]],
    ) -> list[bytes]:
        """Return the serialized tasks that ``taken`` takes; those not in the cache are serialized aside if large."""
        fresh = [task for task, written in zip(tasks, known, strict=True) if written is None]
        weight = EACH * len(fresh)
        if weight <= LIGHT:  # else they are serialized aside, whatever their size
            weight += weight_of(
                *(value for task in fresh for value in (task.definition.payload, task.definition.metadata))
            )
        each = (written or self._write(task) for task, written in zip(tasks, known, strict=True))
        return await self._aside.compute(lambda: taken(each), weight=weight)

    def _known(self, task: Task) -> bytes | None:
        kept = self._kept.get(task.uid)
        if kept is None:
            return None
        before, written = kept
        if before is task:
            return written
        if before != task:
            return None
        self._kept[task.uid] = task, written  # an equal one: the next call compares by identity
        return written

    def _keep(self, task: Task, written: bytes) -> None:
        self._kept.pop(task.uid, None)
        if len(written) > MOST_BYTES:
            return
        if len(self._kept) >= MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[task.uid] = task, written
