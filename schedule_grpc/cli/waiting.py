"""Why an execution that has not begun waits: told at once, and again whenever the reason changes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from schedule_grpc.domain.execution import Execution, ExecutionFilter, State
from schedule_grpc.domain.policy import Overlap
from schedule_grpc.errors import ScheduleError
from schedule_grpc.runtime.clock import SystemClock, pass_by
from schedule_grpc.text.instants import time_shown

if TYPE_CHECKING:
    from schedule_grpc.client import AsyncClient
    from schedule_grpc.domain.task import Task

AGAIN = 1.0
"""Seconds between two looks. An execution for which the first one finds no reason is about to begin."""
OPEN = ExecutionFilter(states=frozenset({State.PENDING, State.RUNNING}))
LOOKED_AT = 50
"""Open executions of a task that are read to find the one that holds its gate."""


@asynccontextmanager
async def telling_why(client: "AsyncClient", execution: Execution, tell: Callable[[str], None]) -> AsyncIterator[None]:
    """Within this context ``tell`` is called with the reason for which an execution waits, as `tell_waiting` does."""
    telling = asyncio.create_task(tell_waiting(client, execution, tell))
    try:
        yield
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)


async def tell_waiting(client: "AsyncClient", execution: Execution, tell: Callable[[str], None]) -> None:
    """Call ``tell`` with the reason for which an execution waits, and again with each other one, until it begins.

    A server that does not answer, or does not let this caller read, is no reason to fail: the run itself goes on.
    """
    clock, told, is_first = SystemClock(), "", True
    while execution.state is State.PENDING:
        try:
            reason = await why_waiting(client, execution)
        except ScheduleError:
            reason = told
        if not reason and not is_first:
            reason = f"waits for a free slot: all that offer {execution.handler} are busy"
        if reason and reason != told:
            tell(reason)
            told = reason
        is_first = False
        await pass_by(clock, AGAIN)
        try:
            execution = await client.get_execution(execution.id)
        except ScheduleError:
            continue


async def why_waiting(client: "AsyncClient", execution: Execution) -> str:
    """Return the reason for which a PENDING execution does not begin; empty if a free slot is all that it needs.

    Raises:
        ScheduleError: if the server does not tell.
    """
    task = await client.get_task(execution.task_name)
    if task.no_worker:
        return f"waits: no server and no worker offers {task.handler}"
    if execution.available_time > max(SystemClock().now(), execution.create_time):
        return f"waits until {time_shown(execution.available_time)}"
    ahead = await _ahead(client, task, execution)
    if ahead is not None:
        return f"waits at the gate of {task.name} behind {ahead.id} ({ahead.state})"
    return ""


async def _ahead(client: "AsyncClient", task: "Task", execution: Execution) -> Execution | None:
    """Return the execution of the same task whose end this one waits for; None if it waits for none."""
    if task.policy.overlap is Overlap.ALLOW_ALL:
        return None
    page = await client.get_task_history(task.name, OPEN, page_size=LOOKED_AT)
    older = [each for each in page.executions if each.id != execution.id and each.create_time <= execution.create_time]
    running = [each for each in older if each.state is State.RUNNING]
    return next(iter(running), older[-1] if older else None)
