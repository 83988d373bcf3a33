"""The store's operations on tasks: their definitions, the handlers they may name, their reviews and alerts."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import partial

from schedule_grpc.database import Lane
from schedule_grpc.domain.access.namespace import TaskKey
from schedule_grpc.domain.condition import Alert
from schedule_grpc.domain.listing import RunMark, TaskActivity, TaskPlace
from schedule_grpc.domain.registration import FreshTask, Registration, TaskChange
from schedule_grpc.domain.task import Handler, Task, TaskFilter
from schedule_grpc.store.operations import alerts, declared, listing, reviews, tasks
from schedule_grpc.store.operations.listing import Found
from schedule_grpc.store.operations.reviews import Review
from schedule_grpc.store.operations.tasks import Registered
from schedule_grpc.store.transactions import Transactions

REVIEWED_AT_ONCE = 100
"""Tasks."""


class TaskStore(Transactions):
    """Operations on tasks."""

    async def change_tasks(
        self, changes: Sequence[TaskChange], *, now: datetime, limited: Collection[str] = ()
    ) -> bool:
        """Write new definitions of tasks, or their deletion, with the rows due under the old ones: all, or none.

        Safe because each is a compare-and-set: returns False, and writes nothing, if a task is no longer as
        ``change.before`` (uid, revision, next_run_time), another task took the name, or the namespace is gone. A
        changed handler is written into PENDING rows; disabling ends never-attempted rows of SCHEDULE, CATCH_UP and
        BACKFILL as SKIPPED; deleting ends all PENDING rows, SKIPPED where they never started, else FAILED.

        Of the ``limited`` namespaces, which are held meanwhile, none gets more tasks than it may have, whatever other
        servers write.

        Raises:
            QuotaExceeded: if one would; nothing is written.
        """
        try:
            await self._write(tasks.change_tasks, changes, now, limited)
        except tasks.Overtaken:
            return False
        return True

    async def register_tasks(
        self, calls: Sequence[Sequence[FreshTask]], *, limited: Collection[str] = ()
    ) -> tuple[Registered, ...]:
        """Create the missing tasks of each registering call, all or none of a call; return its tasks as they are then.

        Safe because a name is unique within its namespace, which must be there. A call's answer is None, and nothing of
        it is written, if one of its tasks exists with another definition: `change_tasks` writes that change. It may
        also be None if another call overtook it. It is QuotaExceeded, and nothing of the call is written, if one of the
        ``limited`` namespaces, as by `change_tasks`, has no room for its tasks.
        """
        try:
            return await self._write(tasks.register_tasks, calls, limited)
        except tasks.Overtaken:
            return (None,) * len(calls)

    async def find_task(self, key: TaskKey) -> Task | None:
        """Return the living task of that namespace and name."""
        return await self._database.read(partial(tasks.find_task, key))

    async def find_tasks(self, keys: Sequence[TaskKey]) -> Mapping[TaskKey, Task]:
        """Return the living tasks of these namespaces and names, by these; a key without a task is left out."""
        return await self._database.read(partial(tasks.find_tasks, keys))

    async def differing(self, wanted: Sequence[Registration]) -> tuple[tuple[Registration, Task | None], ...]:
        """Return the registrations whose tasks are not stored letter for letter so, in order, each with its task.

        A registration that is left out would change nothing; one that is returned may change nothing, either.
        """
        return await self._database.read(partial(declared.differing, wanted))

    async def list_tasks(self, namespace: str, chosen: TaskFilter, *, after: str, limit: int) -> tuple[Task, ...]:
        """Return at most ``limit`` living tasks of a namespace whose names follow ``after``, in the order of names."""
        return await self._database.read(partial(tasks.list_tasks, namespace, chosen, after, limit))

    async def search_tasks(
        self, namespace: str, chosen: TaskFilter, *, after: TaskPlace, limit: int, now: datetime
    ) -> Found:
        """Return at most ``limit`` living tasks of a namespace that a filter chooses, in its order, from a place on."""
        return await self._database.read(partial(listing.search_tasks, namespace, chosen, after, limit, now))

    async def activities(self, uids: Sequence[str]) -> Mapping[str, TaskActivity]:
        """Return what the executions of some tasks are doing, by the tasks' uids."""
        return await self._database.read(partial(listing.activities, tuple(uids)))

    async def newest_runs(self, namespace: str, uids: Sequence[str]) -> Mapping[str, tuple[str, tuple[RunMark, ...]]]:
        """Return the newest executions of some tasks of a namespace: by uid, the task's name and its executions.

        The executions are at most `RUNS_IN_STRIP`, the oldest first; a uid without executions is left out.
        """
        return await self._database.read(partial(listing.newest_runs, namespace, tuple(uids)))

    async def latest_settled(self) -> datetime | None:
        """Return the latest settled time of all tasks; None if there is no task."""
        return await self._database.read(tasks.latest_settled, lane=Lane.ENGINE)

    async def offer_handlers(self, handlers: Sequence[Handler], *, now: datetime) -> None:
        """Note that these handlers are offered: tasks may name them from now on."""
        await self._write(tasks.offer_handlers, handlers, now)

    async def known_handlers(self) -> tuple[Handler, ...]:
        """Return every handler ever offered, by name; ``offered`` is False on all: the store cannot know."""
        return await self._database.read(tasks.known_handlers)

    async def review(self, *, after: str, now: datetime) -> Review:
        """Review the next few tasks whose uids follow ``after``, for a server that starts, and correct them.

        A next run that was computed by other zone rules is moved; alerts begin for tasks that this program cannot read,
        and end for tasks that it can read again. Safe beside firing: a next run moves by compare-and-set, and the
        settled time stays.
        """
        found = await self._database.read(partial(reviews.review, after, REVIEWED_AT_ONCE))
        if not found.finds_nothing:
            await self._write(reviews.correct_tasks, found, now)
        return found

    async def review_alerted(self, *, now: datetime) -> None:
        """Review the tasks with an alert for being unreadable in the same way."""
        found = await self._database.read(reviews.review_alerted)
        if not found.finds_nothing:
            await self._write(reviews.correct_tasks, found, now)

    async def reviewed_by(self) -> str:
        """Return which program, with which tz data, last reviewed all tasks; empty before the first review."""
        return await self._database.read(reviews.reviewed_by)

    async def note_reviewed(self, by: str, *, now: datetime) -> None:
        """Note which program, with which tz data, reviewed all tasks."""
        await self._write(reviews.note_reviewed, by, now)

    async def note_unreadable(self, tasks: Sequence[Task], *, now: datetime) -> None:
        """Begin the alerts of tasks that this program cannot read in full."""
        await self._write(alerts.note_unreadable, tasks, now)

    async def note_overdue(self, *, now: datetime) -> None:
        """Begin the alerts of tasks that did not run within their grace, and end the alerts of tasks that ran since."""
        await self._write(alerts.note_overdue, now)

    async def unsent_alerts(self) -> tuple[Alert, ...]:
        """Return alerts whose start or end is not sent yet, the oldest first."""
        return await self._database.read(alerts.unsent_alerts, lane=Lane.ENGINE)

    async def mark_alert_sent(self, alert: Alert) -> None:
        """Note that the start or end of an alert, as it was read, has been sent."""
        await self._write(alerts.mark_alert_sent, alert)
