"""The store's operations on executions: what callers ask for, what an engine fires, runs and records, and retention."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

from schedule_grpc.database import Lane
from schedule_grpc.domain.access.audit import Author
from schedule_grpc.domain.execution import Backfill, Execution, ExecutionFilter, Report, State
from schedule_grpc.domain.execution.log_lines import LogLines
from schedule_grpc.domain.planning import Firing
from schedule_grpc.domain.task import Task
from schedule_grpc.store.claims import Claimed, ClaimRequest, Fired, Look, ManualRun, Submitted
from schedule_grpc.store.operations import claims, clock, executions, queue, retention, submissions
from schedule_grpc.store.operations.retention_round import Pruned, Round
from schedule_grpc.store.transactions import Transactions

TASKS_AT_ONCE = 100
REMOVED_AT_ONCE = 500
"""Tasks, and rows, of one `prune` at most: few enough that no other operation waits long behind it."""


class ExecutionStore(Transactions):
    """Operations on executions."""

    async def submit(
        self, runs: Sequence[ManualRun], *, now: datetime, request: ClaimRequest | None = None
    ) -> Submitted:
        """Record manual runs of enabled tasks, each admitted or skipped at its gate; each run has its own answer.

        Runs that can start at once are claimed in the same transaction, as by `fire`, unless something older waits.

        Safe to repeat with a request id: the execution recorded first is the answer, whatever became of it. An answer
        may be an error: TaskNotFound, TaskDisabled, TaskUnreadable, or InvalidArgument where the request id was used
        for another task or another payload.
        """
        return await self._write(submissions.submit, runs, now, request, self.is_shared)

    async def trigger(
        self, namespace: str, names: Sequence[str], *, author: Author | None = None, now: datetime
    ) -> tuple[Execution, ...]:
        """Record a run of each of these tasks that exists and is enabled, admitted or skipped at its gate.

        ``author`` is the call that asks for the runs; without one they are not audited, and so in `backfill` and
        `cancel`.
        """
        return await self._write(executions.trigger, namespace, names, author, now)

    async def backfill(
        self, task: Task, planned: Sequence[Execution], *, author: Author | None = None, now: datetime
    ) -> Backfill | None:
        """Record a backfill's executions, except for occurrences that have a row already.

        Safe because it compares (uid, revision): returns None, and writes nothing, if the task has changed meanwhile.
        """
        return await self._write(executions.backfill, task, planned, author, now)

    async def cancel(
        self, namespace: str, execution_id: str, *, note: str, author: Author | None = None, now: datetime
    ) -> Execution | None:
        """End a waiting execution as CANCELLED, or request the cancellation of a running one; return it as it is then.

        Safe beside a claim and a record: a success that is recorded first stands. None if the namespace has no such
        execution.
        """
        return await self._write(executions.cancel, namespace, execution_id, note, author, now)

    async def give_up(self, namespace: str, execution_id: str, *, now: datetime) -> Execution | None:
        """End an execution that never started as SKIPPED for NO_WORKER; return it as it is then.

        Safe beside a claim: the first of the two stands. None if the namespace has no such execution.
        """
        return await self._write(executions.give_up, namespace, execution_id, now)

    async def find_execution(self, namespace: str, execution_id: str) -> Execution | None:
        """Return one execution of a namespace; None if it has none of that id."""
        return await self._database.read(partial(executions.find_execution, namespace, execution_id))

    async def is_requested(self, namespace: str, request_id: str) -> bool:
        """Return whether a request id stands for an execution of a namespace."""
        return await self._database.read(partial(executions.is_requested, namespace, request_id))

    async def list_executions(
        self,
        namespace: str,
        task_name: str | None,
        chosen: ExecutionFilter,
        *,
        after: tuple[datetime, str] | None,
        limit: int,
    ) -> tuple[Execution, ...]:
        """Return at most ``limit`` executions of a namespace, newest first, that follow ``after`` (creation time, id).

        With a task's name: those of the living task of that name.
        """
        listed = partial(executions.list_executions, namespace, task_name, chosen, after, limit)
        return await self._database.read(listed)

    async def look(
        self, handlers: frozenset[str], *, now: datetime, limit: int, horizon: timedelta = timedelta(0)
    ) -> Look:
        """Return the due tasks, the claimable handlers, the tasks that come next, and when to look again."""
        return await self._database.read(partial(queue.look, handlers, now, limit, horizon), lane=Lane.ENGINE)

    async def fire(self, firings: Sequence[Firing], *, now: datetime, request: ClaimRequest | None = None) -> Fired:
        """Advance each task and record its executions; return the recorded ones.

        Executions that can start at once are claimed in the same transaction, as far as their handlers have free slots
        in the request: they are written once, as RUNNING, and are never seen waiting.

        Safe because it is a compare-and-set: a firing is dropped if its task changed or another server fired it, and an
        occurrence is dropped if it has a row already. A claim is as safe as by `claim`.
        """
        return await self._write(claims.fire, firings, now, request, self.is_shared)

    async def claim(self, request: ClaimRequest) -> Claimed:
        """Make available executions RUNNING under a lease with a fresh token each.

        Safe because a row is claimed from PENDING only, and every later write compares the token. In a shared database
        an owner without a lease claims nothing.
        """
        return await self._write(claims.claim, request, self.is_shared)

    async def record(self, reports: Sequence[Report], logs: Sequence[LogLines] = ()) -> tuple[Execution | None, ...]:
        """Write the reports of attempts; return the executions as they are then, in the same order.

        Safe because each write is fenced by (id, lease token, RUNNING): None if another server took the execution over.
        A report repeated after its first success returns the row as it stands. ``logs`` are appended in the same
        transaction, as by `append_logs`: a failure that they cause keeps the reports from being written, too, so the
        caller writes these again without them.
        """
        return await self._write(queue.record, reports, logs)

    async def cancel_requests(self, owner: str) -> frozenset[str]:
        """Return the lease tokens of a server's running attempts whose cancellation was requested."""
        return await self._database.read(partial(queue.cancel_requests, owner), lane=Lane.ENGINE)

    async def rescue(self, *, now: datetime) -> int:
        """Settle every RUNNING execution as lost; return how many. Only for the sole server of a file, at its start.

        Each becomes PENDING again or FAILED: its retry policy decides, for an attempt that failed by LEASE_LOST.
        """
        return await self._write(queue.rescue, now)

    async def take_over(self, lapsed: Mapping[str, int], *, now: datetime) -> int:
        """End the leases of lost servers, and settle the RUNNING executions that no lease covers; return how many.

        Safe beside a server that lives after all: a lease is ended only while its count is still ``beat`` and its owner
        neither renews it nor claims under it, and its attempts are settled in the same transaction; later reports of
        that server are refused.

        Args:
            lapsed: The leases that are over: server id → ``beat``, as it was last read.
            now: The time at which the attempts count as lost.
        """
        return await self._write(queue.take_over, lapsed, now)

    async def recover_own(self, owner: str, *, held: frozenset[str], begun: frozenset[str], now: datetime) -> int:
        """Settle RUNNING executions of ``owner`` that it does not run and that are older than `ORPHAN_AGE`.

        Args:
            owner: The server itself.
            held: Lease tokens of the attempts that run there.
            begun: Lease tokens of attempts that called their handlers there: these are lost. The others never began and
                are handed back, uncounted.
            now: The time of the recovery.
        """
        return await self._write(queue.recover_own, owner, held, begun, now)

    async def expire(self, *, now: datetime) -> int:
        """End executions that did not start before their start deadline as MISSED; return how many."""
        return await self._write(queue.expire, now)

    async def shorten_waits(self, *, now: datetime) -> int:
        """Shorten waits that exceed their backoff or jitter because the clock was set back; return how many."""
        return await self._write(clock.shorten_waits, now)

    async def count_open(self) -> Mapping[State, int]:
        """Return how many executions are PENDING and RUNNING."""
        return await self._database.read(queue.count_open, lane=Lane.ENGINE)

    async def count_open_of(self, namespace: str, *, most: int) -> int:
        """Return how many executions of a namespace are PENDING or RUNNING; those that are PENDING up to ``most``."""
        return await self._database.read(partial(executions.count_open_of, namespace, most))

    async def begin_round(self, *, now: datetime) -> Round:
        """Return a new round of retention, at its beginning."""
        return await self._database.read(partial(retention.begin_round, now))

    async def next_histories(self, current: Round) -> tuple[tuple[str, ...], Round]:
        """Return the uids of the next tasks whose histories a round looks at, and the round as it goes on from them."""
        return await self._database.read(partial(retention.next_histories, current))

    async def prune(self, task_uids: Sequence[str], *, now: datetime) -> Pruned:
        """Remove ended executions that their tasks' retention does not keep, and deleted tasks that have none left.

        Looks at the first few of the tasks, and removes a few rows, so that no other operation waits long behind it.
        Safe at any time: an open row is never removed.
        """
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

    async def end_round(self, finished: Round) -> None:
        """Note that a round is over: the next one looks at histories that changed since this one began.

        Safe beside other servers, and if a server dies within a round: histories that changed meanwhile are looked at
        twice, none is left out.
        """
        await self._write(retention.end_round, finished)
