"""Progress of executions as it happens: as sentences, as lines, or as one line that moves."""

import sys
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Column
from rich.text import Text

from schedule_grpc.cli.log_lines import log_line_shown
from schedule_grpc.domain.durations import human
from schedule_grpc.domain.execution import Execution, State
from schedule_grpc.domain.execution.log_lines import LogLine
from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.events import Logged, Lost, Progress, WatchEvent
from schedule_grpc.text.instants import time_shown
from schedule_grpc.text.terminal import first_line, plain

ALMOST = 0.9999
"""The end of the bar: at 1 rich would stop its clock, though the handler may go on."""


class Display(Protocol):
    """Shows one execution's way to its end."""

    def __enter__(self) -> Self:
        """Begin to show."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Show no more."""

    def changed(self, execution: Execution) -> None:
        """Show an execution as it is now."""

    def progressed(self, event: Progress) -> None:
        """Show the progress that its handler reported."""

    def logged(self, attempt: int, line: LogLine) -> None:
        """Show a line that its handler logged."""

    def waits(self, reason: str) -> None:
        """Show why the execution has not begun, unless it was shown to have begun meanwhile."""


def display() -> Display:
    """Return the display for standard error: one moving line on a terminal, else lines."""
    return Moving() if sys.stderr.isatty() else Lines()


class Lines:
    """A line for each event, on standard error."""

    def __init__(self) -> None:
        self._last = ""
        self._waiting: Execution | None = None
        """The execution, while it has not begun."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def changed(self, execution: Execution) -> None:
        """Print its state."""
        self._waiting = execution if _has_not_begun(execution) else None
        self._print(f"{execution.id}  {state_in_words(execution)}")

    def progressed(self, event: Progress) -> None:
        """Print its handler's progress."""
        self._print(f"{event.execution_id}  {progress_in_words(event)}")

    def logged(self, attempt: int, line: LogLine) -> None:  # noqa: ARG002 (the state before it names the attempt)
        """Print the line."""
        print(log_line_shown(line).plain, file=sys.stderr, flush=True)

    def waits(self, reason: str) -> None:
        """Print the reason."""
        if self._waiting is not None:
            self._print(f"{self._waiting.id}  {self._waiting.state}  {reason}")

    def _print(self, line: str) -> None:
        if line != self._last:  # an answer and an event may both bring the same line
            print(plain(line), file=sys.stderr, flush=True)
        self._last = line


class Moving:
    """One line at the bottom of the terminal: the execution's state, its progress, the time it takes."""

    def __init__(self) -> None:
        self._bar = Bar(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
            BarColumn(bar_width=20),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._row = self._bar.add_task("", total=None)
        self._waiting: Execution | None = None

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def changed(self, execution: Execution) -> None:
        """Show its state; the error of a failed attempt stays above the line."""
        self._waiting = execution if _has_not_begun(execution) else None
        words = state_in_words(execution)
        if execution.state is State.PENDING and execution.failed_attempts:
            self._bar.console.print(Text(plain(words)))
            words = f"{execution.state}  next attempt at {time_shown(execution.available_time)}"
        self._bar.tasks[0].total = None  # a new attempt has not reported progress yet
        self._bar.update(self._row, description=plain(f"{execution.task_name}: {words}"), completed=0, refresh=True)

    def logged(self, attempt: int, line: LogLine) -> None:  # noqa: ARG002 (the line below it names the attempt)
        """Print the line above the one that moves."""
        self._bar.console.print(log_line_shown(line), soft_wrap=True)

    def progressed(self, event: Progress) -> None:
        """Move the bar."""
        description = f"{plain(event.task_name)}: {first_line(event.text)}" if event.text else None
        done = min(event.fraction, ALMOST)
        self._bar.update(self._row, total=1.0, completed=done, description=description, refresh=True)

    def waits(self, reason: str) -> None:
        """Show the reason in place of the state."""
        if self._waiting is not None:
            description = plain(f"{self._waiting.task_name}: {self._waiting.state}  {reason}")
            self._bar.update(self._row, description=description, refresh=True)


GAP = "(the server was not heard for a while: events may be missing here)"


def _has_not_begun(execution: Execution) -> bool:
    return execution.state is State.PENDING and not execution.failed_attempts


def event_in_words(event: WatchEvent) -> str:
    """Return a line for an event of any execution."""
    if isinstance(event, Lost):
        return f"({event.count} events were lost: this reader was too slow)" if event.count else GAP
    if isinstance(event, Progress):
        return f"{time_shown(event.time)}  {event.execution_id}  {progress_in_words(event)}"
    if isinstance(event, Logged):
        return "\n".join(f"{event.execution_id}  {log_line_shown(line).plain}" for line in event.lines)
    return f"{time_shown(event.time)}  {event.execution.id}  {state_in_words(event.execution)}"


def progress_in_words(event: Progress) -> str:
    """Return a handler's progress: ``42 %  reading invoices``."""
    return f"{event.fraction:.0%}".replace("%", " %") + (f"  {first_line(event.text)}" if event.text else "")


def state_in_words(execution: Execution) -> str:
    """Return an execution's state and the reason for it, on one line."""
    state = execution.state.value
    if execution.state is State.PENDING and execution.failed_attempts:
        last = execution.failed_attempts[-1]
        why = "" if last.failure_kind is FailureKind.TIMEOUT else f": {first_line(last.error)}"
        failure = f"attempt {last.number} failed ({last.failure_kind.value}) after {human(last.duration)}{why}"
        return f"{state}  {failure}; next at {time_shown(execution.available_time)}"
    if execution.state is State.RUNNING:
        asked = ", asked to stop" if execution.cancel_requested_time else ""
        return f"{state}  attempt {execution.attempt}{asked}"
    if execution.state.is_terminal:
        why = execution.reason or first_line(execution.error or "")
        took = f" after {human(execution.duration)}" if execution.start_time and execution.duration else ""
        return f"{state}{took}{': ' + why if why else ''}"
    return state
