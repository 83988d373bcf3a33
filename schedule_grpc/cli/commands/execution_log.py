"""The log of one execution on standard output: what is kept, or also what comes until the execution ends."""

from dataclasses import dataclass

from schedule_grpc.cli.exits import warn
from schedule_grpc.cli.following import Follower
from schedule_grpc.cli.log_lines import LogPrinter
from schedule_grpc.cli.progress import Lines
from schedule_grpc.client import AsyncClient
from schedule_grpc.domain.access.scope import Scope
from schedule_grpc.domain.execution import Execution
from schedule_grpc.domain.execution.log_lines import LogLine
from schedule_grpc.errors import PermissionDenied
from schedule_grpc.events import Progress

WITHHELD = "for log lines, and a server that keeps them"


@dataclass(frozen=True, kw_only=True, slots=True)
class LogRequest:
    """The log to show, and how much of it."""

    execution_id: str
    lines: int
    attempt: int | None = None
    as_json: bool = False


class _Output:
    """Shows log lines on standard output, and changes of the state on standard error."""

    def __init__(self, request: LogRequest) -> None:
        self._printer = LogPrinter(as_json=request.as_json, attempt=request.attempt or 1)
        self._states = Lines()
        self.count = 0

    def changed(self, execution: Execution) -> None:
        """Show an execution as it is now."""
        self._states.changed(execution)

    def progressed(self, event: Progress) -> None:
        """Show nothing: progress is no part of the log."""

    def logged(self, attempt: int, line: LogLine) -> None:
        """Show a line."""
        self.count += 1
        self._printer.print(attempt, line)


async def show_log(client: AsyncClient, request: LogRequest) -> None:
    """Show the newest lines that are kept."""
    output = _Output(request)
    execution = await _kept(Follower(client, request.execution_id, output, attempt=request.attempt), request)
    log = execution.log
    if log is None or request.attempt is not None or request.as_json:
        return
    if not log.lines and not log.dropped:
        warn("No log lines.")
    elif others := log.dropped + len(log.lines) - output.count:
        warn(f"({others:,} other lines are not shown: they were dropped, or are older)")


async def follow_log(client: AsyncClient, request: LogRequest) -> Execution:
    """Show the newest lines that are kept, and then those that come; return the execution at its end."""
    output = _Output(request)
    async with client.watch_executions(execution_id=request.execution_id, log_lines=True) as events:
        follower = Follower(client, request.execution_id, output, attempt=request.attempt)
        return await follower.to_its_end(events, await _kept(follower, request))


async def _kept(follower: Follower, request: LogRequest) -> Execution:
    """Show what is kept; return the execution.

    Raises:
        PermissionDenied: if the server withholds the log.
    """
    execution = await follower.kept(newest=request.lines)
    if execution.log is None:
        raise PermissionDenied(Scope.READ, execution.namespace, name=execution.task_name, why=WITHHELD)
    return execution
