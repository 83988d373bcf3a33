"""A run by hand that the command line attends: it starts the run, shows its progress, and waits for its end."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from schedule_grpc.cli.following import Follower, begun
from schedule_grpc.cli.progress import Display, display
from schedule_grpc.cli.waiting import telling_why
from schedule_grpc.client import AsyncClient, RunResult
from schedule_grpc.domain.execution import Execution, State
from schedule_grpc.errors import Unavailable
from schedule_grpc.events import Progress, Transition, WatchEvent
from schedule_grpc.runtime.clock import SystemClock

LINGER = 1.0
"""Seconds for which the last events of an execution are awaited after the answer that it has ended."""
NOTE = "Interrupted at the command line"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRequest:
    """The task to run by hand, and its options."""

    name: str
    payload: Mapping[str, Any] | None
    request_id: str
    cancel_on_interrupt: bool = False
    follow: bool = False
    """Show log lines, too."""


class Interrupted(Exception):
    """Ctrl-C interrupted the command; ``execution`` is the execution then, cancelled if the request says so."""

    def __init__(self, execution: Execution) -> None:
        super().__init__(execution.id)
        self.execution = execution


async def start_run(client: AsyncClient, request: RunRequest) -> RunResult:
    """Start the run; return it without waiting for its end."""
    return await client.run_task_now(request.name, payload=request.payload, detach=True, request_id=request.request_id)


async def attend_run(client: AsyncClient, request: RunRequest) -> RunResult:
    """Start the run, show what it waits for and its progress, and return it at its end.

    Two calls with one request id: the first gives the execution's id, so that it can be watched and cancelled; the
    second waits for the same execution. A run that is followed has no second call: its events and its row show its end.

    Raises:
        Interrupted: if this coroutine is cancelled after it has called for the run.
    """
    async with client.watch_executions(request.name, log_lines=request.follow) as events:
        starting = asyncio.create_task(start_run(client, request))
        try:
            execution = (await asyncio.shield(starting)).execution
            with display() as shown:
                if request.follow:
                    ended = await Follower(client, execution.id, shown).to_its_end(events, execution)
                    return RunResult(success=ended.state is State.SUCCEEDED, execution=ended)
                shown.changed(execution)
                async with _shown(events, execution, shown), telling_why(client, execution, shown.waits):
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
        if execution.id in error.message:  # a server that stops in order has named it already
            raise
        raise Unavailable(f"{error.message}; execution {execution.id} goes on without this call") from None


@asynccontextmanager
async def _shown(events: AsyncIterator[WatchEvent], execution: Execution, display: Display) -> AsyncIterator[None]:
    """Within this context the events of an execution are shown; at its end the last ones get `LINGER` seconds.

    Lost events do no harm: the answer to the call counts.
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
    """Show the events of an execution until its end."""
    if execution.state.is_terminal:
        return
    async for event in events:
        if isinstance(event, Progress) and event.execution_id == execution.id:
            shown.progressed(event)
        elif isinstance(event, Transition) and event.execution.id == execution.id:
            if begun(event.execution) < begun(execution):
                continue  # older than the answer, which showed the run already begun
            shown.changed(event.execution)
            if event.execution.state.is_terminal:
                return
