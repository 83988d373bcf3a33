"""The calls that concern executions: run, cancel, trigger, backfill, watch, and the history."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from msgspec import structs

from schedule_grpc.domain.access.scope import Scope
from schedule_grpc.domain.execution import Backfill, Execution, ExecutionFilter, ExecutionPage, State
from schedule_grpc.domain.execution.log_lines import KeptLog
from schedule_grpc.domain.paging import MAX_PAGE_SIZE, ExecutionCursor, Page
from schedule_grpc.domain.planning import backfill
from schedule_grpc.domain.schedule import Schedule, parse
from schedule_grpc.domain.task import TaskFilter, checked_payload
from schedule_grpc.errors import (
    ExecutionNotFound,
    InvalidArgument,
    InvalidSchedule,
    NoWorker,
    PermissionDenied,
    ShuttingDown,
    TaskNotFound,
)
from schedule_grpc.events import Ending, Hub, Logged, Subscription, Transition, Watched
from schedule_grpc.handlers import Registry
from schedule_grpc.runtime.clock import MAX_WAIT
from schedule_grpc.runtime.threads import Aside, weight_of
from schedule_grpc.service.authored import Authored
from schedule_grpc.service.manual_runs import ManualRuns
from schedule_grpc.service.overtaken import Overtaken, retried_when_overtaken
from schedule_grpc.service.permitted import Position, covered_executions, shown_event, shown_execution
from schedule_grpc.service.quotas import Quotas
from schedule_grpc.store import LogBook, ManualRun, Store
from schedule_grpc.text.unicode import checked

MAX_REQUEST_ID = 128
MAX_CANCEL_NOTE = 1024
MAX_LOG_LINES = 1000
"""In one answer."""
LOG_WRITTEN_WITHIN = 1.0
"""Seconds for which a reader of an execution waits until the lines that this server buffers are written."""
NO_WORKER_AFTER = timedelta(seconds=30)
"""How long a RunTaskNow that waits gives a server time to offer the handler."""
TRIGGERED_AT_ONCE = 500
"""Runs recorded in one transaction. Other writers have their turn between two transactions."""

_EVERY_MINUTE = parse("* * * * *")


class ExecutionService(Authored):
    """The part of the Service that concerns executions."""

    _store: Store
    _runs: ManualRuns
    _hub: Hub
    _registry: Registry
    _draining: asyncio.Event
    _namespace: str
    aside: Aside
    _searches: Aside
    _quotas: Quotas
    _logbook: LogBook | None

    async def run_now(
        self, name: str, *, payload: Mapping[str, Any] | None = None, detach: bool = False, request_id: str = ""
    ) -> Execution:
        """Run the task beside its schedule; return the execution at its end, or at once with ``detach``.

        Raises:
            TaskNotFound, TaskDisabled.
            QuotaExceeded: if the namespace has as many open executions, or asked for as many within a minute, as it
                may. A call whose request id was recorded before is answered all the same.
            PermissionDenied: if a payload is given, and neither the caller's grants nor the task's policy allow that.
            InvalidArgument: if the payload is not acceptable, or the request id was used for something else.
            NoWorker: if no server and no worker that offers the handler took the execution in time; it ended SKIPPED.
            ShuttingDown: if this server stops meanwhile; the execution goes on.
        """
        if self._draining.is_set():
            raise ShuttingDown
        self._permit.require(name)
        if payload is not None:
            await self._require_override(name)
        run = ManualRun(
            namespace=self._namespace,
            name=name,
            author=self._author("RunTaskNow"),
            payload=None if payload is None else await self._checked(payload),
            request_id=checked("request_id", request_id, most=MAX_REQUEST_ID) or None,
        )
        async with self._quotas.asking_for_runs(run.namespace, 1, is_repeated=partial(self._is_repeated, run)) as asked:
            execution = await self._runs.record(run)
            asked.recorded = 1
        if detach or execution.state.is_terminal:
            return execution
        return await self._wait_for_end(execution)

    async def cancel(self, execution_id: str, *, note: str = "") -> Execution:
        """Cancel a PENDING execution, or ask the handler of a RUNNING one to stop; return the execution as it is then.

        Raises:
            ExecutionNotFound: if the history does not hold it.
            InvalidArgument: if the note is too long, or cannot be kept.
        """
        note = checked("note", note, most=MAX_CANCEL_NOTE)
        if not self._permit.covers_all:
            self._permit.require((await self._whole(execution_id)).task_name)
        author = self._author("CancelExecution")
        execution = await self._store.cancel(self._namespace, execution_id, note=note, author=author, now=author.time)
        if execution is None:
            raise ExecutionNotFound(execution_id)
        return execution

    async def trigger_cron(self, cron: str) -> tuple[Execution, ...]:
        """Run, now, every enabled task whose schedule means the same; ``* * * * *`` runs all of the namespace.

        Raises:
            InvalidArgument: if ``cron`` is neither a cron expression nor a schedule that means one.
            QuotaExceeded: as `run_now`, if not all of the executions are allowed; then none is recorded.
            ShuttingDown: if this server stops.
        """
        if self._draining.is_set():
            raise ShuttingDown
        schedule = _cron_schedule(cron)
        names = [name async for name in self._names_of_tasks_with(schedule)]
        recorded: list[Execution] = []
        async with self._quotas.asking_for_runs(self._namespace, len(names)) as asked:
            for start in range(0, len(names), TRIGGERED_AT_ONCE):
                some = names[start : start + TRIGGERED_AT_ONCE]
                author = self._author("TriggerCron")
                recorded += await self._store.trigger(self._namespace, some, author=author, now=author.time)
                asked.recorded = len(recorded)
        return tuple(recorded)

    @retried_when_overtaken
    async def backfill(self, name: str, start_time: datetime, end_time: datetime) -> Backfill:
        """Record executions for the occurrences in [start_time, end_time), up to now; they run one by one, in order.

        Raises:
            TaskNotFound, TaskDisabled.
            InvalidArgument: if the end is not after the start, or there are more than 1,000 occurrences.
            QuotaExceeded: as `run_now`, if not all of the executions are allowed; then none is recorded.
        """
        self._permit.require(name)
        task = await self._store.find_task((self._namespace, name))
        if task is None:
            raise TaskNotFound(name)
        author = self._author("BackfillTask")
        now, by = author.time, author.attribution or None
        plan = partial(backfill, task, start_time, end_time, now, by=by, traceparent=author.traceparent)
        planned = await self._searches.compute(plan)
        async with self._quotas.asking_for_runs(self._namespace, len(planned)) as asked:
            recorded = await self._store.backfill(task, planned, author=author, now=now)
            if recorded is None:
                raise Overtaken(name, "backfilled")
            asked.recorded = len(recorded.executions)
        return recorded

    def streaming(self) -> AbstractAsyncContextManager[None]:
        """Within this context a stream of the namespace's events is open to a caller: it counts among its streams.

        Raises:
            QuotaExceeded: if as many are open here as the namespace may have.
        """
        return self._quotas.streaming(self._namespace)

    @contextmanager
    def watching(
        self,
        task_name: str = "",
        states: frozenset[State] = frozenset(),
        *,
        execution_id: str = "",
        log_lines: bool = False,
    ) -> Iterator[Subscription]:
        """Within this context the subscription receives events of the namespace's executions, until the server stops.

        Args:
            task_name: Events of this task only; empty: of all in the namespace.
            states: Changes to one of these states only; empty: all. Progress and log lines belong to RUNNING.
            execution_id: Events of this execution only; empty: of all.
            log_lines: Log lines, too, of the tasks whose content the caller may see.
        """
        namespace, permit = self._namespace, self._permit

        def matches(event: Watched) -> bool:
            of = event.execution if isinstance(event, Transition) else event
            identifier, state = (of.id, of.state) if isinstance(of, Execution) else (of.execution_id, State.RUNNING)
            if of.namespace != namespace or task_name not in ("", of.task_name) or not permit.covers(of.task_name):
                return False
            if isinstance(event, Logged) and not permit.sees(event.task_name):
                return False
            return execution_id in ("", identifier) and (not states or state in states)

        shown = None if permit.sees_all else partial(shown_event, permit=permit)
        with self._hub.subscribed(matches, shown, log_lines=log_lines) as subscription:
            yield subscription

    async def history(self, name: str, chosen: ExecutionFilter, page: Page) -> ExecutionPage:
        """Return a page of one task's executions, newest first; an unknown name gives an empty one.

        Raises:
            InvalidArgument: if the page's size or token is invalid.
        """
        if not self._permit.covers(name):
            return ExecutionPage(executions=())
        return await self._executions(name, chosen, page)

    async def executions(self, chosen: ExecutionFilter, page: Page) -> ExecutionPage:
        """Return a page of the executions of all tasks in the namespace, newest first.

        Raises:
            InvalidArgument: if the page's size or token is invalid.
        """
        return await self._executions(None, chosen, page)

    async def execution(self, execution_id: str, *, log_lines: int = 0) -> Execution:
        """Return one execution, with its progress, and with as many of its newest log lines if the caller may see them.

        Raises:
            ExecutionNotFound: if the history does not hold it.
            InvalidArgument: if the number of lines is not between 0 and 1,000.
        """
        if not 0 <= log_lines <= MAX_LOG_LINES:
            raise InvalidArgument.of("log_lines", f"must be between 0 and {MAX_LOG_LINES}")
        execution = await self._whole(execution_id)  # first: of one that has ended, all lines are there then
        await self._write_log_of(execution_id)
        log = None
        if log_lines and self._permit.sees(execution.task_name):
            log = await self._store.logs_of(execution_id, limit=log_lines)
        progress = await self._store.progress_of(execution_id)
        return shown_execution(structs.replace(execution, progress=progress, log=log), self._permit)

    async def log_of(self, execution_id: str, lines: int) -> KeptLog:
        """Return the newest of an execution's log lines.

        Raises:
            ExecutionNotFound, InvalidArgument: as `execution`.
            PermissionDenied: if the caller may not see them.
        """
        execution = await self.execution(execution_id, log_lines=lines)
        self._permit.require(execution.task_name, Scope.READ)
        return execution.log or KeptLog()

    # -- inside

    async def _whole(self, execution_id: str) -> Execution:
        """Return an execution, whole.

        Raises:
            ExecutionNotFound: if the history does not hold it, or the caller's grants do not cover its task.
        """
        execution = await self._store.find_execution(self._namespace, execution_id)
        if execution is None or not self._permit.covers(execution.task_name, Scope.OBSERVE):
            raise ExecutionNotFound(execution_id)
        return execution

    async def _write_log_of(self, execution_id: str) -> None:
        """Write what this server buffers of an execution's lines and progress, so that they can be read."""
        if self._logbook is not None:
            with suppress(TimeoutError):  # the database takes no writes now; it may be read all the same
                async with self._clock.timeout(LOG_WRITTEN_WITHIN):
                    await self._logbook.flush(execution_id)

    async def _is_repeated(self, run: ManualRun) -> bool:
        return run.request_id is not None and await self._store.is_requested(run.namespace, run.request_id)

    async def _require_override(self, name: str) -> None:
        """Check that a run may have a payload of its own: one can undo a task's care (``{"keep": 1}`` for a backup).

        Raises:
            PermissionDenied: if neither the caller's grants nor the task's policy allow it.
            TaskNotFound: if the caller would need that permission for a task that is not there.
        """
        if self._permit.covers(name, Scope.WRITE):
            return
        task = await self._store.find_task((self._namespace, name))
        if task is None:
            raise TaskNotFound(name)
        if not task.policy.payload_override:
            why = "for a payload of the run's own, unless the task's policy has payload_override"
            raise PermissionDenied(Scope.WRITE, self._namespace, name=name, why=why)

    async def _checked(self, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        return await self.aside.compute(lambda: checked_payload(payload), weight=weight_of(payload))

    async def _names_of_tasks_with(self, schedule: Schedule) -> AsyncIterator[str]:
        every_task = schedule.same_times(_EVERY_MINUTE)
        namespace, after = self._namespace, ""
        while page := await self._store.list_tasks(
            namespace, TaskFilter(enabled=True), after=after, limit=MAX_PAGE_SIZE
        ):
            for task in page:
                if self._permit.covers(task.name) and (every_task or task.schedule.same_times(schedule)):
                    yield task.name
            after = page[-1].name

    async def _executions(self, name: str | None, chosen: ExecutionFilter, page: Page) -> ExecutionPage:
        cursor = ExecutionCursor.read(page, name, chosen)

        async def read(after: Position | None, limit: int) -> tuple[Execution, ...]:
            return await self._store.list_executions(self._namespace, name, chosen, after=after, limit=limit)

        executions, place = await covered_executions(read, self._permit, after=cursor.position, limit=page.limit + 1)
        shown = executions[: page.limit]
        if len(executions) > len(shown):
            place = shown[-1].create_time, shown[-1].id
        token = "" if place is None else ExecutionCursor(position=place).write(name, chosen)
        if not self._permit.sees_all:
            shown = tuple(shown_execution(each, self._permit) for each in shown)
        return ExecutionPage(executions=shown, next_page_token=token)

    async def _wait_for_end(self, execution: Execution) -> Execution:
        give_up_time = self._clock.now() + NO_WORKER_AFTER
        found = execution
        with self._hub.ending(execution.id) as ending:
            while True:
                if self._draining.is_set():
                    raise ShuttingDown(execution.id)
                now = self._clock.now()
                if now >= give_up_time and await self._has_no_server(found):
                    await self._store.give_up(found.namespace, found.id, now=now)
                    raise NoWorker(found.handler, found.id)
                await self._notified_or_time_to_read(ending)
                if ending.execution is not None:
                    return ending.execution
                ending.clear()
                read = await self._store.find_execution(execution.namespace, execution.id)
                if read is None or read.state.is_terminal:
                    return read or execution
                found = read

    async def _notified_or_time_to_read(self, ending: Ending) -> None:
        alarm = self._clock.call_later(MAX_WAIT, ending.set)
        try:
            await ending.wait()
        finally:
            alarm.cancel()

    async def _has_no_server(self, execution: Execution) -> bool:
        if execution.state is not State.PENDING or execution.start_time is not None:
            return False
        if execution.handler in self._registry:
            return False
        elsewhere = await self._store.offered_elsewhere(execution.namespace, now=self._clock.now())
        return execution.handler not in elsewhere


def _cron_schedule(cron: str) -> Schedule:
    try:
        schedule = parse(cron)
    except InvalidSchedule as error:
        raise InvalidSchedule("cron", error.reason, text=cron) from None
    if schedule.cron is None:
        raise InvalidSchedule("cron", f"{cron} means no cron expression", text=cron)
    return schedule
