"""The store's operations on tasks: their definitions, the handlers they may name, their reviews and alerts."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial

from schedule_grpc.database import Lane
from schedule_grpc.domain.condition import Alert
from schedule_grpc.domain.registration import FreshTask, Registration, TaskChange
from schedule_grpc.domain.task import Handler, Task, TaskFilter
from schedule_grpc.store.operations import alerts, declared, reviews, tasks
from schedule_grpc.store.operations.reviews import Review
from schedule_grpc.store.transactions import Transactions

REVIEWED_AT_ONCE = 100
"""Tasks."""


class TaskStore(Transactions):
    """The tasks."""

    async def change_tasks(self, changes: Sequence[TaskChange], *, now: datetime) -> bool:
        """Write tasks' new definitions, or their deletion, with what was due under the old ones: all, or none.

        Safe because each is a compare-and-set: False, and nothing written, if a task is no longer as ``change.before``
        (uid, revision, next_run_time), or another one took the name. A changed handler is written into PENDING rows;
        disabling ends never-attempted rows of SCHEDULE, CATCH_UP and BACKFILL as SKIPPED; deleting ends all PENDING
        rows, SKIPPED where they never started, else FAILED.
        """
        try:
            await self._write(tasks.change_tasks, changes, now)
        except tasks.Overtaken:
            return False
        return True

    async def register_tasks(self, calls: Sequence[Sequence[FreshTask]]) -> tuple[tuple[Task, ...] | None, ...]:
        """Create the tasks that calls want and that are not there: of each call all, or none; return them as they are.

        Safe because a name is unique. None, and nothing of the call written, where a task is there and not as it is
        wanted: what that changes takes computing, and is `change_tasks`'s to write. It may also stand for a call that
        another one overtook.
        """
        try:
            return await self._write(tasks.register_tasks, calls)
        except tasks.Overtaken:
            return (None,) * len(calls)

    async def find_task(self, name: str) -> Task | None:
        """Return the living task of that name."""
        return await self._database.read(partial(tasks.find_task, name))

    async def find_tasks(self, names: Sequence[str]) -> Mapping[str, Task]:
        """Return the living tasks of these names, by name; a name of none is left out."""
        return await self._database.read(partial(tasks.find_tasks, names))

    async def differing(self, wanted: Sequence[Registration]) -> tuple[tuple[Registration, Task | None], ...]:
        """Return what is not registered to the letter as it is wanted, in its order, each with the task as it is.

        What is left out would change nothing if it were registered; what is returned may change nothing, either.
        """
        return await self._database.read(partial(declared.differing, wanted))

    async def list_tasks(self, chosen: TaskFilter, *, after: str, limit: int) -> tuple[Task, ...]:
        """Return at most ``limit`` living tasks whose names follow ``after``, in the order of their names."""
        return await self._database.read(partial(tasks.list_tasks, chosen, after, limit))

    async def latest_settled(self) -> datetime | None:
        """Return up to when the task that is furthest is accounted for; None if there is none."""
        return await self._database.read(tasks.latest_settled, lane=Lane.ENGINE)

    async def offer_handlers(self, handlers: Sequence[Handler], *, now: datetime) -> None:
        """Remember that these handlers have been offered: tasks may name them from now on."""
        await self._write(tasks.offer_handlers, handlers, now)

    async def known_handlers(self) -> tuple[Handler, ...]:
        """Return every handler ever offered, by name; ``offered`` is False on all: the store cannot know."""
        return await self._database.read(tasks.known_handlers)

    async def review(self, *, after: str, now: datetime) -> Review:
        """Look at the next few tasks whose uids follow ``after``, and correct what this server's start changes of them.

        A next run that other zone rules gave moves to where it is by the rules there are; the alerts of tasks that
        cannot be read begin, those of tasks that can be read again end. Safe beside firing: a next run moves by compare
        and set, and the settled time stays.
        """
        found = await self._database.read(partial(reviews.review, after, REVIEWED_AT_ONCE))
        if not found.finds_nothing:
            await self._write(reviews.correct_tasks, found, now)
        return found

    async def review_alerted(self, *, now: datetime) -> None:
        """Look likewise at the tasks that could not be read."""
        found = await self._database.read(reviews.review_alerted)
        if not found.finds_nothing:
            await self._write(reviews.correct_tasks, found, now)

    async def reviewed_by(self) -> str:
        """Return by which program and tz data all tasks were last reviewed; empty if none has."""
        return await self._database.read(reviews.reviewed_by)

    async def note_reviewed(self, by: str, *, now: datetime) -> None:
        """Note that all tasks were reviewed, by which program and tz data."""
        await self._write(reviews.note_reviewed, by, now)

    async def note_unreadable(self, tasks: Sequence[Task], *, now: datetime) -> None:
        """Begin the alerts of tasks of which a part cannot be read."""
        await self._write(alerts.note_unreadable, tasks, now)

    async def note_overdue(self, *, now: datetime) -> None:
        """Begin the alerts of tasks that did not run in their grace, and end those of tasks that have run since."""
        await self._write(alerts.note_overdue, now)

    async def unsent_alerts(self) -> tuple[Alert, ...]:
        """Return alerts of which the start or the end is still to be told, the oldest first."""
        return await self._database.read(alerts.unsent_alerts, lane=Lane.ENGINE)

    async def mark_alert_sent(self, alert: Alert) -> None:
        """Note that what was to be told of an alert, as it was read, has been told."""
        await self._write(alerts.mark_alert_sent, alert)
