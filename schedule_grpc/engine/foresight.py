"""The tasks that the last look saw coming: until one is due, or something changes, a tick needs no look of its own."""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice, takewhile

from schedule_grpc.domain.planning import Firing
from schedule_grpc.domain.task import Task
from schedule_grpc.store import Look

AHEAD = timedelta(seconds=1)
"""A look sees this far if nothing changed since the last one: a task that it read is at most this old when it fires."""


@dataclass(slots=True)
class _Foreseen:
    """A look, and the tasks of it that are still to come."""

    look: Look
    time: datetime
    """The time of the look."""
    tasks: deque[Task]
    """The tasks that come next, in their order."""
    until: datetime
    """All tasks that are due before this instant are in `tasks`."""


class Foresight:
    """The tasks that come next, in their order, as the last look saw them; nothing where something changed since.

    It relies on `forget` being called at every change. So it is only for a server that has its database to itself, and
    only while that server's engine receives the events of its store.
    """

    def __init__(self) -> None:
        self._hears = False
        self._foreseen: _Foreseen | None = None
        self._changes = 0
        """The number of changes so far."""
        self._changes_before_look = 0
        """The number of changes when the look under way began: a look that began before the last change is not kept."""
        self._changes_before_last = 0
        """The number of changes when the last finished look began."""

    @contextmanager
    def hearing(self) -> Iterator[None]:
        """Within this context its owner calls `forget` at each change."""
        self._hears = True
        try:
            yield
        finally:
            self._hears = False
            self.forget()

    def forget(self) -> None:
        """Know nothing, for something changed."""
        self._changes += 1
        self._foreseen = None

    def begin_look(self) -> timedelta:
        """Note that a look begins, to be learned from; return how far it should see.

        If something changed since the last one began, it should not see ahead: that would be forgotten unused.
        """
        self._changes_before_look = self._changes
        return AHEAD if self._hears and self._changes == self._changes_before_last else timedelta(0)

    def learn(self, look: Look, now: datetime) -> None:
        """Keep the look that began last."""
        self._changes_before_last = self._changes_before_look
        is_simple = not (look.claimable or look.expired)
        if is_simple and self._hears and self._changes == self._changes_before_look:
            self._foreseen = _Foreseen(look, now, deque((*look.due, *look.coming)), look.known_until)
        else:
            self._foreseen = None

    def look(self, now: datetime, limit: int) -> Look | None:
        """Return the look that the store would give now; None if it has to be asked."""
        seen = self._foreseen
        if seen is None or now < seen.time:
            return None
        next_wait_time = seen.look.next_wait_time
        if next_wait_time is not None and next_wait_time <= now:
            return None
        known = min(now, seen.until)
        due = tuple(islice(takewhile(lambda task: _due_time(task) <= known, seen.tasks), limit))
        if len(due) < limit and now >= seen.until:
            return None
        next_run = None if due else min([seen.until, *map(_due_time, islice(seen.tasks, 1))])
        return Look(
            due=due,
            claimable=frozenset(),
            expired=False,
            next_time=min(filter(None, (next_run, next_wait_time)), default=None),
            next_wait_time=next_wait_time,
            next_claim_time=seen.look.next_claim_time,
        )

    def sees_beyond(self, fired: int) -> bool:
        """Return whether more tasks are known than those that are fired next; else a look behind them has to see."""
        return self._foreseen is not None and len(self._foreseen.tasks) > fired

    def moved(self, firings: Sequence[Firing]) -> None:
        """Leave out the first tasks, which were moved on: they come again at their next runs."""
        seen = self._foreseen
        if seen is None:
            return
        for firing in firings:
            seen.tasks.popleft()
            if firing.next_run_time is not None:
                seen.until = min(seen.until, firing.next_run_time + firing.start_delay)
        if not seen.tasks:
            self._foreseen = None  # it looked no further: nothing happens then


def _due_time(task: Task) -> datetime:
    if task.due_time is None:
        raise AssertionError("a look gives tasks that are due some time")
    return task.due_time
