"""Tasks as callers are sent them, kept: callers ask for the same tasks again and again, and tasks rarely change."""

from collections.abc import Callable, Iterator, Sequence

from schedule_grpc.domain.paging import fitting
from schedule_grpc.domain.task import Task
from schedule_grpc.runtime.threads import LIGHT, Aside, weight_of

MOST_KEPT = 4096
"""Tasks."""
MOST_BYTES = 4096
"""Of one that is kept."""
EACH = LIGHT // 25
"""What a task that is written anew weighs beside its payload and metadata."""


class WrittenTasks:
    """Writes tasks in one form; one that is still what it was when it was last written is not written again."""

    def __init__(self, write: Callable[[Task], bytes], aside: Aside) -> None:
        """Take what writes a task, out of nothing but the task, and where that is done if it takes long."""
        self._write = write
        self._aside = aside
        self._kept: dict[str, tuple[Task, bytes]] = {}

    async def one(self, task: Task) -> bytes:
        """Return a task as it is sent."""
        known = self._known(task)
        if known is not None:
            return known
        weight = weight_of(task.definition.payload, task.definition.metadata)
        written = await self._aside.compute(lambda: self._write(task), weight=weight)
        self._keep(task, written)
        return written

    async def page(self, tasks: Sequence[Task]) -> list[bytes]:
        """Return tasks as they are sent: the first ones, as many as one page may have."""
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
        """Return all of the tasks as they are sent, and keep none: who registers a batch does not ask for it next."""
        return await self._all(tasks, [self._known(task) for task in tasks], list)

    async def _all(
        self,
        tasks: Sequence[Task],
        known: Sequence[bytes | None],
        taken: Callable[[Iterator[bytes]], list[bytes]],
    ) -> list[bytes]:
        """Return what is taken of the tasks as they are sent; what is not known is written aside if it takes long."""
        fresh = [task for task, written in zip(tasks, known, strict=True) if written is None]
        weight = EACH * len(fresh)
        if weight <= LIGHT:  # else it is aside whatever they hold
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
        self._kept[task.uid] = task, written  # an equal one: the next time it is the same one, which is soon seen
        return written

    def _keep(self, task: Task, written: bytes) -> None:
        self._kept.pop(task.uid, None)
        if len(written) > MOST_BYTES:
            return
        if len(self._kept) >= MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[task.uid] = task, written
