"""What the last look saw coming: until that has come, or anything else did, a tick needs no look of its own."""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import islice, takewhile

from schedule_grpc.domain.planning import Firing
from schedule_grpc.domain.task import Task
from schedule_grpc.store import Look

AHEAD = timedelta(seconds=1)
"""How far a look sees, where nothing came in between: what it reads is that old at most when it is fired."""


class Foresight:
    """The tasks that come next, in their order, as the last look saw them; nothing where something changed since.

    It relies on being told of every change. So it is only for a server that has its database to itself, and only while
    that server's engine hears of what the store did.
    """

    def __init__(self) -> None:
        self._hears = False
        self._tasks: deque[Task] = deque()
        self._until: datetime | None = None
        """Of the tasks that are due before this instant none is missing; None where nothing is known."""
        self._look: Look | None = None
        self._looked: datetime | None = None
        self.changes = 0
        """How often something changed: a look that began before the last change saw less."""
        self._changes_looked_at = 0

    @contextmanager
    def hearing(self) -> Iterator[None]:
        """Within this context whoever holds this calls `forget` at each change."""
        self._hears = True
        try:
            yield
        finally:
            self._hears = False
            self.forget()

    @property
    def horizon(self) -> timedelta:
        """How far the next look is to see: what changes again and again is not worth to be read ahead."""
        return AHEAD if self._hears and self.changes == self._changes_looked_at else timedelta(0)

    def forget(self) -> None:
        """Know nothing, for something changed."""
        self.changes += 1
        self._until = None

    def learn(self, look: Look, now: datetime, *, changes: int) -> None:
        """Keep what a look saw that began after so many changes."""
        self._changes_looked_at = changes
        simple = not (look.claimable or look.expired)
        self._until = look.known_until if simple and self._hears and changes == self.changes else None
        self._tasks = deque((*look.due, *look.coming))
        self._look, self._looked = look, now

    def look(self, now: datetime, limit: int) -> Look | None:
        """Return what a look at the store would see now; None if only that can tell."""
        seen = self._look
        if self._until is None or seen is None or self._looked is None or now < self._looked:
            return None
        if seen.next_wait_time is not None and seen.next_wait_time <= now:
            return None
        known = min(now, self._until)
        due = tuple(islice(takewhile(lambda task: _due_time(task) <= known, self._tasks), limit))
        if len(due) < limit and now >= self._until:
            return None
        next_run = None if due else min([self._until, *map(_due_time, islice(self._tasks, 1))])
        return Look(
            due=due,
            claimable=frozenset(),
            expired=False,
            next_time=min(filter(None, (next_run, seen.next_wait_time)), default=None),
            next_wait_time=seen.next_wait_time,
            next_claim_time=seen.next_claim_time,
        )

    def sees_beyond(self, fired: int) -> bool:
        """Tell whether more tasks are known than those that are fired next: else a look behind them has to tell."""
        return self._until is not None and len(self._tasks) > fired

    def moved(self, firings: Sequence[Firing]) -> None:
        """Leave out the first tasks, which were moved on: they come again at their next runs."""
        for firing in firings:
            self._tasks.popleft()
            if firing.next_run_time is not None and self._until is not None:
                self._until = min(self._until, firing.next_run_time + firing.start_delay)
        if not self._tasks:
            self._until = None  # it looked no further: nothing happens then


def _due_time(task: Task) -> datetime:
    if task.due_time is None:
        raise AssertionError("a look gives tasks that are due some time")
    return task.due_time
