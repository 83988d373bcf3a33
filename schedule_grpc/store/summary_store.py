"""The store's operations that read a namespace at a glance."""

from collections.abc import Hashable, Mapping, Sequence
from datetime import datetime
from functools import partial

from schedule_grpc.domain.access.namespace import TaskKey
from schedule_grpc.domain.execution import Execution
from schedule_grpc.domain.explanation import Records
from schedule_grpc.domain.states import State
from schedule_grpc.domain.summary import Counts, HandlerDurations, OpenCondition, WaitingQueue
from schedule_grpc.domain.task import Task, TaskFilter
from schedule_grpc.store.operations import summary, upcoming, why
from schedule_grpc.store.operations.summary import Failure
from schedule_grpc.store.operations.upcoming import Schedules
from schedule_grpc.store.transactions import Transactions


class SummaryStore(Transactions):
    """Operations that read what is wrong, runs, waits, ended and comes, each up to a number."""

    async def counts(self, namespace: str, *, prefix: str, now: datetime) -> Counts:
        """Return how many tasks of a namespace, whose names begin so, and their executions are in each state."""
        return await self._database.read(partial(summary.counts, namespace, prefix, now))

    async def longest_running(self, namespace: str, *, limit: int) -> tuple[Execution, ...]:
        """Return what runs in a namespace, the earliest start first, with its progress."""
        return await self._database.read(partial(summary.longest_running, namespace, limit))

    async def waiting_queues(self, namespace: str, *, now: datetime) -> tuple[WaitingQueue, ...]:
        """Return what could start now in a namespace, by handler; all handlers count as offered."""
        return await self._database.read(partial(summary.waiting_queues, namespace, now))

    async def open_conditions(self, namespace: str, *, without: str, limit: int) -> tuple[OpenCondition, ...]:
        """Return the conditions of a namespace's tasks that hold, but for those of one key, the newest first."""
        return await self._database.read(partial(summary.open_conditions, namespace, without, limit))

    async def ends_by_minute(
        self, namespace: str, *, since: datetime, until: datetime
    ) -> Mapping[datetime, Mapping[State, int]]:
        """Return how many executions that were recorded in [since, until) have ended, by minute and state."""
        return await self._database.read(partial(summary.ends_by_minute, namespace, since, until))

    async def durations_of_handlers(self, namespace: str, *, since: datetime, most: int) -> HandlerDurations:
        """Return how long executions recorded from a time on took, by handler: of the newest ones, up to a number."""
        return await self._database.read(partial(summary.durations_of_handlers, namespace, since, most))

    async def failures_before(
        self, namespace: str, *, since: datetime, after: tuple[int, str], limit: int
    ) -> tuple[tuple[Failure, ...], tuple[int, str] | None]:
        """Return executions that FAILED and were recorded from a time on, newest first, and where more may follow."""
        return await self._database.read(partial(summary.failures_before, namespace, since, after, limit))

    async def schedules(self, namespace: str, chosen: Sequence[TaskFilter], *, most: int) -> Schedules:
        """Return when the enabled tasks of a namespace are due that some filters choose, if there are so many at most.

        Of a filter its prefix, handler and category count; no task is chosen by two of them.
        """
        return await self._database.read(partial(upcoming.schedules, namespace, tuple(chosen), most))

    async def schedules_mark(self, namespace: str, prefixes: Sequence[str]) -> Hashable:
        """Return a value that is another one after each change of tasks whose names begin with one of these."""
        return await self._database.read(partial(upcoming.schedules_mark, namespace, tuple(prefixes)))

    async def find_last_task(self, key: TaskKey) -> Task | None:
        """Return the living task of a namespace and a name; else the last deleted one, while it has a history."""
        return await self._database.read(partial(why.find_last_task, key))

    async def records(self, task: Task, *, since: datetime, until: datetime) -> Records:
        """Return the executions for a task's occurrences in [since, until], and the changes of the task since then.

        At most a thousand of those that ran, the newest, and as many of the others.
        """
        return await self._database.read(partial(why.records, task, since, until))
