"""The calls that concern executions: run, cancel, trigger, backfill, watch, and the history."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from schedule_grpc.domain.execution import Backfill, Execution, ExecutionFilter, ExecutionPage, State
from schedule_grpc.domain.paging import MAX_PAGE_SIZE, ExecutionCursor, Page
from schedule_grpc.domain.planning import backfill
from schedule_grpc.domain.schedule import Schedule, parse
from schedule_grpc.domain.task import TaskFilter, checked_payload
from schedule_grpc.errors import (
    ExecutionNotFound,
    InvalidSchedule,
    NoWorker,
    ShuttingDown,
    TaskNotFound,
)
from schedule_grpc.events import Ending, Hub, Progress, Subscription, Transition
from schedule_grpc.handlers import Registry
from schedule_grpc.runtime.clock import MAX_WAIT, Clock
from schedule_grpc.runtime.threads import Aside, weight_of
from schedule_grpc.service.manual_runs import ManualRuns
from schedule_grpc.service.overtaken import Overtaken, retried_when_overtaken
from schedule_grpc.store import ManualRun, Store
from schedule_grpc.text.unicode import checked

MAX_REQUEST_ID = 128
MAX_CANCEL_NOTE = 1024
NO_WORKER_AFTER = timedelta(seconds=30)
"""How long a RunTaskNow that waits gives a server time to offer the handler."""
TRIGGERED_AT_ONCE = 500
"""Runs recorded in one transaction. Other writers have their turn between two transactions."""

_EVERY_MINUTE = parse("* * * * *")


class ExecutionService:
    """The part of the Service that concerns executions."""

    _store: Store
    _runs: ManualRuns
    _clock: Clock
    _hub: Hub
    _registry: Registry
    _draining: asyncio.Event
    aside: Aside
    _searches: Aside

    async def run_now(
        self, name: str, *, payload: Mapping[str, Any] | None = None, detach: bool = False, request_id: str = ""
    ) -> Execution:
        """Run the task beside its schedule; return the execution at its end, or at once with ``detach``.

        Raises:
            TaskNotFound, TaskDisabled.
            InvalidArgument: if the payload is not acceptable, or the request id was used for something else.
            NoWorker: if no server that offers the handler took the execution in time; it ended SKIPPED.
            ShuttingDown: if this server stops meanwhile; the execution goes on.
        """
        if self._draining.is_set():
            raise ShuttingDown
        execution = await self._runs.record(
            ManualRun(
                name=name,
                payload=None if payload is None else await self._checked(payload),
                request_id=checked("request_id", request_id, most=MAX_REQUEST_ID) or None,
            )
        )
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
        execution = await self._store.cancel(execution_id, note=note, now=self._clock.now())
        if execution is None:
            raise ExecutionNotFound(execution_id)
        return execution

    async def trigger_cron(self, cron: str) -> tuple[Execution, ...]:
        """Run, now, every enabled task whose schedule means the same; ``* * * * *`` runs every enabled task.

        Raises:
            InvalidArgument: if ``cron`` is neither a cron expression nor a schedule that means one.
            ShuttingDown: if this server stops.
        """
        if self._draining.is_set():
            raise ShuttingDown
        schedule = _cron_schedule(cron)
        names = [name async for name in self._names_of_tasks_with(schedule)]
        recorded: list[Execution] = []
        for start in range(0, len(names), TRIGGERED_AT_ONCE):
            some = names[start : start + TRIGGERED_AT_ONCE]
            recorded += await self._store.trigger(some, now=self._clock.now())
        return tuple(recorded)

    @retried_when_overtaken
    async def backfill(self, name: str, start_time: datetime, end_time: datetime) -> Backfill:
        """Record executions for the occurrences in [start_time, end_time), up to now; they run one by one, in order.

        Raises:
            TaskNotFound, TaskDisabled.
            InvalidArgument: if the end is not after the start, or there are more than 1,000 occurrences.
        """
        task = await self._store.find_task(name)
        if task is None:
            raise TaskNotFound(name)
        now = self._clock.now()
        planned = await self._searches.compute(partial(backfill, task, start_time, end_time, now))
        recorded = await self._store.backfill(task, planned, now=now)
        if recorded is None:
            raise Overtaken(name, "backfilled")
        return recorded

    @contextmanager
    def watching(self, task_name: str = "", states: frozenset[State] = frozenset()) -> Iterator[Subscription]:
        """Within this context the subscription receives events of executions, from now on, until the server stops.

        Args:
            task_name: Events of this task only; empty: of all.
            states: Changes to one of these states only; empty: all. Progress belongs to RUNNING.
        """

        def matches(event: Transition | Progress) -> bool:
            if isinstance(event, Progress):
                return task_name in ("", event.task_name) and (not states or State.RUNNING in states)
            return task_name in ("", event.execution.task_name) and (not states or event.execution.state in states)

        with self._hub.subscribed(matches) as subscription:
            yield subscription

    async def history(self, name: str, chosen: ExecutionFilter, page: Page) -> ExecutionPage:
        """Return a page of one task's executions, newest first; an unknown name gives an empty one.

        Raises:
            InvalidArgument: if the page's size or token is invalid.
        """
        return await self._executions(name, chosen, page)

    async def executions(self, chosen: ExecutionFilter, page: Page) -> ExecutionPage:
        """Return a page of all tasks' executions, newest first.

        Raises:
            InvalidArgument: if the page's size or token is invalid.
        """
        return await self._executions(None, chosen, page)

    async def execution(self, execution_id: str) -> Execution:
        """Return one execution.

        Raises:
            ExecutionNotFound: if the history does not hold it.
        """
        execution = await self._store.find_execution(execution_id)
        if execution is None:
            raise ExecutionNotFound(execution_id)
        return execution

    # -- inside

    async def _checked(self, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        return await self.aside.compute(lambda: checked_payload(payload), weight=weight_of(payload))

    async def _names_of_tasks_with(self, schedule: Schedule) -> AsyncIterator[str]:
        every_task = schedule.same_times(_EVERY_MINUTE)
        after = ""
        while page := await self._store.list_tasks(TaskFilter(enabled=True), after=after, limit=MAX_PAGE_SIZE):
            for task in page:
                if every_task or task.schedule.same_times(schedule):
                    yield task.name
            after = page[-1].name

    async def _executions(self, name: str | None, chosen: ExecutionFilter, page: Page) -> ExecutionPage:
        cursor = ExecutionCursor.read(page, name, chosen)
        executions = await self._store.list_executions(name, chosen, after=cursor.position, limit=page.limit + 1)
        shown = executions[: page.limit]
        token = ""
        if len(executions) > len(shown):
            token = ExecutionCursor(position=(shown[-1].create_time, shown[-1].id)).write(name, chosen)
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
                    await self._store.give_up(found.id, now=now)
                    raise NoWorker(found.handler, found.id)
                await self._notified_or_time_to_read(ending)
                if ending.execution is not None:
                    return ending.execution
                ending.clear()
                read = await self._store.find_execution(execution.id)
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
        return execution.handler not in await self._store.offered_elsewhere(now=self._clock.now())


def _cron_schedule(cron: str) -> Schedule:
    try:
        schedule = parse(cron)
    except InvalidSchedule as error:
        raise InvalidSchedule("cron", error.reason, text=cron) from None
    if schedule.cron is None:
        raise InvalidSchedule("cron", f"{cron} means no cron expression", text=cron)
    return schedule
