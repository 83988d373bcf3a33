"""The one implementation of the Store protocol: operations over a database, events after their commit."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar, cast

from schedule_grpc.database import Database, Lane, ObservedDatabase, Operation
from schedule_grpc.domain.condition import Alert
from schedule_grpc.domain.execution import Backfill, Execution, ExecutionFilter, Report, State
from schedule_grpc.domain.planning import Firing
from schedule_grpc.domain.registration import FreshTask, Registration, TaskChange
from schedule_grpc.domain.task import Handler, Task, TaskFilter
from schedule_grpc.events import Hub
from schedule_grpc.runtime import failpoints
from schedule_grpc.store.claims import Claimed, ClaimRequest, Fired, Look, ManualRun, Submitted
from schedule_grpc.store.operations import (
    alerts,
    claims,
    clock,
    declared,
    executions,
    queue,
    replicas,
    retention,
    reviews,
    submissions,
    tasks,
)
from schedule_grpc.store.operations.retention_round import Round
from schedule_grpc.store.protocol import LeaseLine, Pruned, Replica, Review
from schedule_grpc.store.relay import PeerNotifier
from schedule_grpc.store.with_events import WithEvents

T = TypeVar("T")


TASKS_AT_ONCE = 100
REMOVED_AT_ONCE = 500
"""What one look at the history takes on at most: little enough that nobody waits long behind it."""


class SqlStore:
    """Every method's promise stands in the Store protocol."""

    def __init__(
        self,
        database: Database,
        hub: Hub,
        *,
        peers: PeerNotifier | None = None,
        lease_line: Callable[[], LeaseLine] | None = None,
        on_error: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Take a database.

        Args:
            database: Where it is kept.
            hub: Is told of what happens, once it is committed.
            peers: Tells the other servers of a shared database.
            lease_line: Opens a connection on which a lease in it is renewed.
            on_error: Hears of each refused operation.
        """
        self._database = ObservedDatabase(database, on_error)
        self._hub = hub
        self._peers = peers
        self._lease_line = lease_line

    @property
    def is_shared(self) -> bool:
        """See Store."""
        return self._peers is not None

    async def change_tasks(self, changes: Sequence[TaskChange], *, now: datetime) -> bool:
        """See Store."""
        try:
            await self._write(tasks.change_tasks, changes, now)
        except tasks.Overtaken:
            return False
        return True

    async def register_tasks(self, calls: Sequence[Sequence[FreshTask]]) -> tuple[tuple[Task, ...] | None, ...]:
        """See Store."""
        try:
            return await self._write(tasks.register_tasks, calls)
        except tasks.Overtaken:
            return (None,) * len(calls)

    async def find_task(self, name: str) -> Task | None:
        """See Store."""
        return await self._database.read(partial(tasks.find_task, name))

    async def find_tasks(self, names: Sequence[str]) -> Mapping[str, Task]:
        """See Store."""
        return await self._database.read(partial(tasks.find_tasks, names))

    async def differing(self, wanted: Sequence[Registration]) -> tuple[tuple[Registration, Task | None], ...]:
        """See Store."""
        return await self._database.read(partial(declared.differing, wanted))

    async def list_tasks(self, chosen: TaskFilter, *, after: str, limit: int) -> tuple[Task, ...]:
        """See Store."""
        return await self._database.read(partial(tasks.list_tasks, chosen, after, limit))

    async def submit(
        self, runs: Sequence[ManualRun], *, now: datetime, request: ClaimRequest | None = None
    ) -> Submitted:
        """See Store."""
        return await self._write(submissions.submit, runs, now, request, self.is_shared)

    async def trigger(self, names: Sequence[str], *, now: datetime) -> tuple[Execution, ...]:
        """See Store."""
        return await self._write(executions.trigger, names, now)

    async def backfill(self, task: Task, planned: Sequence[Execution], *, now: datetime) -> Backfill | None:
        """See Store."""
        return await self._write(executions.backfill, task, planned, now)

    async def cancel(self, execution_id: str, *, note: str, now: datetime) -> Execution | None:
        """See Store."""
        return await self._write(executions.cancel, execution_id, note, now)

    async def give_up(self, execution_id: str, *, now: datetime) -> Execution | None:
        """See Store."""
        return await self._write(executions.give_up, execution_id, now)

    async def find_execution(self, execution_id: str) -> Execution | None:
        """See Store."""
        return await self._database.read(partial(executions.find_execution, execution_id))

    async def list_executions(
        self, task_name: str | None, chosen: ExecutionFilter, *, after: tuple[datetime, str] | None, limit: int
    ) -> tuple[Execution, ...]:
        """See Store."""
        return await self._database.read(partial(executions.list_executions, task_name, chosen, after, limit))

    async def offer_handlers(self, handlers: Sequence[Handler], *, now: datetime) -> None:
        """See Store."""
        await self._write(tasks.offer_handlers, handlers, now)

    async def known_handlers(self) -> tuple[Handler, ...]:
        """See Store."""
        return await self._database.read(tasks.known_handlers)

    async def look(
        self, handlers: frozenset[str], *, now: datetime, limit: int, horizon: timedelta = timedelta(0)
    ) -> Look:
        """See Store."""
        return await self._database.read(partial(queue.look, handlers, now, limit, horizon), lane=Lane.ENGINE)

    async def fire(self, firings: Sequence[Firing], *, now: datetime, request: ClaimRequest | None = None) -> Fired:
        """See Store."""
        return await self._write(claims.fire, firings, now, request, self.is_shared)

    async def claim(self, request: ClaimRequest) -> Claimed:
        """See Store."""
        return await self._write(claims.claim, request, self.is_shared)

    async def record(self, reports: Sequence[Report]) -> tuple[Execution | None, ...]:
        """See Store."""
        return await self._write(queue.record, reports)

    async def cancel_requests(self, owner: str) -> frozenset[str]:
        """See Store."""
        return await self._database.read(partial(queue.cancel_requests, owner), lane=Lane.ENGINE)

    async def rescue(self, *, now: datetime) -> int:
        """See Store."""
        return await self._write(queue.rescue, now)

    async def take_over(self, ended: Mapping[str, int], *, now: datetime) -> int:
        """See Store."""
        return await self._write(queue.take_over, ended, now)

    async def recover_own(self, owner: str, *, held: frozenset[str], begun: frozenset[str], now: datetime) -> int:
        """See Store."""
        return await self._write(queue.recover_own, owner, held, begun, now)

    async def expire(self, *, now: datetime) -> int:
        """See Store."""
        return await self._write(queue.expire, now)

    async def shorten_waits(self, *, now: datetime) -> int:
        """See Store."""
        return await self._write(clock.shorten_waits, now)

    async def begin_round(self, *, now: datetime) -> Round:
        """See Store."""
        return await self._database.read(partial(retention.begin_round, now))

    async def next_histories(self, current: Round) -> tuple[tuple[str, ...], Round]:
        """See Store."""
        return await self._database.read(partial(retention.next_histories, current))

    async def prune(self, task_uids: Sequence[str], *, now: datetime) -> Pruned:
        """See Store."""
        looked_at = task_uids[:TASKS_AT_ONCE]
        found = await self._database.read(partial(retention.histories, looked_at, now, REMOVED_AT_ONCE))
        changed = [history for history in found if history.loses_something or not history.is_planned(now)]
        removed = 0
        if any(history.loses_something for history in changed):
            removed = await self._write(retention.remove, changed, now)
        elif changed:
            await self._write(retention.look_again, changed, now)
        if sum(len(history.surplus) for history in found) < REMOVED_AT_ONCE:
            return Pruned(removed=removed, left=task_uids[TASKS_AT_ONCE:])
        unfinished = looked_at.index(found[-1].task.uid)  # it may have more
        return Pruned(removed=removed, left=task_uids[unfinished:])

    async def end_round(self, ended: Round) -> None:
        """See Store."""
        await self._write(retention.end_round, ended)

    async def review(self, *, after: str, now: datetime) -> Review:
        """See Store."""
        found = await self._database.read(partial(reviews.review, after, TASKS_AT_ONCE))
        if not found.finds_nothing:
            await self._write(reviews.correct_tasks, found, now)
        return found

    async def review_alerted(self, *, now: datetime) -> None:
        """See Store."""
        found = await self._database.read(reviews.review_alerted)
        if not found.finds_nothing:
            await self._write(reviews.correct_tasks, found, now)

    async def reviewed_by(self) -> str:
        """See Store."""
        return await self._database.read(reviews.reviewed_by)

    async def note_reviewed(self, by: str, *, now: datetime) -> None:
        """See Store."""
        await self._write(reviews.note_reviewed, by, now)

    async def note_unreadable(self, tasks: Sequence[Task], *, now: datetime) -> None:
        """See Store."""
        await self._write(alerts.note_unreadable, tasks, now)

    async def note_overdue(self, *, now: datetime) -> None:
        """See Store."""
        await self._write(alerts.note_overdue, now)

    async def unsent_alerts(self) -> tuple[Alert, ...]:
        """See Store."""
        return await self._database.read(alerts.unsent_alerts, lane=Lane.ENGINE)

    async def mark_alert_sent(self, alert: Alert) -> None:
        """See Store."""
        await self._write(alerts.mark_alert_sent, alert)

    async def renew_lease(self, replica: Replica, *, now: datetime) -> tuple[Replica, ...]:
        """See Store."""
        return await self._write(replicas.renew_lease, replica, now)

    def lease_line(self) -> LeaseLine:
        """See Store."""
        if self._lease_line is None:
            raise AssertionError("a database that nobody shares knows no leases")
        return self._lease_line()

    async def leave(self, replica_id: str) -> None:
        """See Store."""
        await self._write(replicas.leave, replica_id)

    async def offered_elsewhere(self, *, now: datetime) -> frozenset[str]:
        """See Store."""
        if not self.is_shared:
            return frozenset()
        return await self._database.read(partial(replicas.handlers_offered, now))

    async def time(self) -> datetime | None:
        """See Store."""
        return await self._database.time()

    async def latest_settled(self) -> datetime | None:
        """See Store."""
        return await self._database.read(tasks.latest_settled, lane=Lane.ENGINE)

    async def count_open(self) -> Mapping[State, int]:
        """See Store."""
        return await self._database.read(queue.count_open, lane=Lane.ENGINE)

    @property
    def refused_writes(self) -> int:
        """See Store."""
        return self._database.refused_writes

    async def try_write(self) -> None:
        """See Store."""
        await self._database.try_write()

    async def ping(self) -> None:
        """See Store."""
        await self.known_handlers()

    async def close(self) -> None:
        """See Store."""
        await self._database.close()
        if self._peers is not None:
            await self._peers.close()

    async def _write(self, operation: Callable[..., Operation[WithEvents[T]]], *arguments: Any) -> T:
        failpoints.reached(operation.__name__, "begun")
        factory = partial(failpoints.within(operation), *arguments)
        result, _ = await self._database.write(factory, committed=self._publish)
        failpoints.reached(operation.__name__, "committed")
        return cast("T", result)

    def _publish(self, told: WithEvents[Any]) -> None:
        _, events = told
        if events:
            self._hub.publish(events)
            if self._peers is not None:
                self._peers.tell(events)
