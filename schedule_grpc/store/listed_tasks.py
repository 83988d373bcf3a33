"""Tasks that were listed before, known by the columns that change: an unchanged page costs few columns a task."""

from collections.abc import Sequence
from threading import Lock
from typing import Any, TypeAlias

from schedule_grpc.database import Row
from schedule_grpc.domain.task import Task
from schedule_grpc.store.rows import task_read_again, values_of

MOST_KEPT = 4096
"""Tasks."""
COLUMNS = (
    "uid",
    "revision",
    "settled_time",
    "next_run_time",
    "last_run_time",
    "success_count",
    "failure_count",
    "consecutive_failures",
    "last_success_time",
    "last_failure_time",
)
"""The columns that list_tasks reads: a task's revision implies its definition, its note, who changed it, and whether it
is enabled."""

Place: TypeAlias = tuple[Any, ...]
"""The values of these columns: a task's place."""


class ListedTasks:
    """Keeps the last listed tasks, each with its place."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Place, Task]] = {}
        self._lock = Lock()  # several threads read

    def known(self, place: Place) -> Task | None:
        """Return the task with this place; None if it was not listed so."""
        kept = self._kept.get(place[0])
        return kept[1] if kept is not None and kept[0] == place else None

    def learn(self, row: Row) -> Task:
        """Return the task in a whole row, and keep it."""
        task = task_read_again(row)  # the same value as in calls that read this task alone
        with self._lock:
            if task.uid not in self._kept and len(self._kept) >= MOST_KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[task.uid] = tuple(row[column] for column in COLUMNS), task
        return task


def places_in(rows: Sequence[Row]) -> list[Place]:
    """Return the places in the rows of list_tasks."""
    return [values_of(row) for row in rows]


LISTED = ListedTasks()
"""Of all stores of this process: uids are never given twice."""
