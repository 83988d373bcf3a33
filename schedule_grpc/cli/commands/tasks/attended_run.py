"""A run by hand that the command line attends: it starts the run, shows its progress, and waits for its end."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from schedule_grpc.cli.progress import Display, display
from schedule_grpc.client import AsyncClient, RunResult
from schedule_grpc.domain.execution import Execution
from schedule_grpc.errors import Unavailable
from schedule_grpc.events import Progress, Transition, WatchEvent
from schedule_grpc.runtime.clock import SystemClock

LINGER = 1.0
"""Seconds that the last words of an execution may take after the answer that it has ended."""
NOTE = "Interrupted at the command line"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRequest:
    """What to run, and how."""

    name: str
    payload: Mapping[str, Any] | None
    request_id: str
    cancel_on_interrupt: bool = False


class Interrupted(Exception):
    """Somebody pressed Ctrl-C; ``execution`` is as it was then, after its cancellation if that was wanted."""

    def __init__(self, execution: Execution) -> None:
        super().__init__(execution.id)
        self.execution = execution


async def start_run(client: AsyncClient, request: RunRequest) -> RunResult:
    """Return the run as it begins."""
    return await client.run_task_now(request.name, payload=request.payload, detach=True, request_id=request.request_id)


async def attend_run(client: AsyncClient, request: RunRequest) -> RunResult:
    """Return the run at its end, having shown the way there.

    Two calls with one request id: the first gives the execution's id, so that it can be watched and cancelled; the
    second waits for the same execution.

    Raises:
        Interrupted: if this coroutine is cancelled once the run was asked for.
    """
    async with client.watch_executions(request.name) as events:
        starting = asyncio.create_task(start_run(client, request))
        try:
            execution = (await asyncio.shield(starting)).execution
            with display() as shown:
                shown.changed(execution)
                async with _shown(events, execution, shown):
                    return await _wait_for_end(client, request, execution)
        except asyncio.CancelledError:
            execution = (await starting).execution
            if request.cancel_on_interrupt:
                execution = await client.cancel_execution(execution.id, note=NOTE)
            raise Interrupted(execution) from None


async def _wait_for_end(client: AsyncClient, request: RunRequest, execution: Execution) -> RunResult:
    try:
        return await client.run_task_now(request.name, payload=request.payload, request_id=request.request_id)
    except Unavailable as error:
        if execution.id in error.message:  # a server that stops in order says it itself
            raise
        raise Unavailable(f"{error.message}; execution {execution.id} goes on without this call") from None


@asynccontextmanager
async def _shown(events: AsyncIterator[WatchEvent], execution: Execution, display: Display) -> AsyncIterator[None]:
    """Within this context what is told of an execution is shown; what is still under way at its end may arrive.

    Whatever becomes of the events, the answer to the call is what counts.
    """
    watching = asyncio.create_task(_show(events, execution, display))
    try:
        yield
        with suppress(TimeoutError):
            async with SystemClock().timeout(LINGER):
                await asyncio.wait([watching])
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def _show(events: AsyncIterator[WatchEvent], execution: Execution, shown: Display) -> None:
    """Show what is told of an execution, until it has ended."""
    if execution.state.is_terminal:
        return
    async for event in events:
        if isinstance(event, Progress) and event.execution_id == execution.id:
            shown.progressed(event)
        elif isinstance(event, Transition) and event.execution.id == execution.id:
            if _begins(event.execution) < _begins(execution):
                continue  # it was recorded as it began: that it waited before is no news
            shown.changed(event.execution)
            if event.execution.state.is_terminal:
                return


def _begins(execution: Execution) -> int:
    """Return how often attempts of an execution have begun."""
    return execution.attempt + execution.hand_backs
