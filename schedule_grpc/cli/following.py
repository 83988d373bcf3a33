"""An execution that the command line follows to its end: its state, its progress, and each of its log lines once.

Events are hints: they may come late or never, and lines that reach another server come as no event at all. So the
execution is read again at each gap, where an attempt ends, and every few seconds.
"""

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Protocol

from schedule_grpc.client import AsyncClient
from schedule_grpc.domain.execution import Execution, State
from schedule_grpc.domain.execution.log_lines import MAX_LINES, KeptLog, LogLine
from schedule_grpc.errors import Unavailable
from schedule_grpc.events import Logged, Lost, Progress, Transition, WatchEvent
from schedule_grpc.runtime.clock import SystemClock

READ_EVERY = 3.0
"""Seconds between two readings of an execution while no event of it comes."""
MOST_LINES = 1000
"""Lines that a server answers with at most."""


class Shown(Protocol):
    """Shows what becomes of an execution."""

    def changed(self, execution: Execution) -> None:
        """Show an execution as it is now."""

    def progressed(self, event: Progress) -> None:
        """Show the progress that its handler reported."""

    def logged(self, attempt: int, line: LogLine) -> None:
        """Show a line that its handler logged."""


class NewLines:
    """The lines that a reader has not had yet: events and answers bring the same ones, and not always in order."""

    def __init__(self) -> None:
        self._newest: dict[int, int] = {}
        self._missing: dict[int, set[int]] = {}

    def among(self, lines: Iterable[tuple[int, LogLine]]) -> Iterator[tuple[int, LogLine]]:
        """Yield the lines that are new, and take them as known from now on."""
        for attempt, line in lines:
            newest, missing = self._newest.get(attempt, 0), self._missing.setdefault(attempt, set())
            if line.sequence > newest:
                missing.update(range(max(newest + 1, line.sequence - MAX_LINES), line.sequence))
                missing.difference_update([each for each in missing if each < line.sequence - MAX_LINES])
                self._newest[attempt] = line.sequence
            elif line.sequence in missing:
                missing.remove(line.sequence)
            else:
                continue
            yield attempt, line

    def lacks_some_before(self, attempt: int, sequence: int) -> bool:
        """Return whether lines of an attempt before this one have not come yet, or were dropped."""
        return sequence > self._newest.get(attempt, 0) + 1


class Follower:
    """Follows one execution; ``attempt``: show lines of this attempt only."""

    def __init__(self, client: AsyncClient, execution_id: str, shown: Shown, *, attempt: int | None = None) -> None:
        self._client = client
        self._id = execution_id
        self._shown = shown
        self._attempt = attempt
        self._new = NewLines()
        self._clock = SystemClock()
        self._began = 0

    async def kept(self, *, newest: int) -> Execution:
        """Show the newest lines that are kept; return the execution."""
        execution = await self._client.get_execution(self._id, log_lines=MOST_LINES)
        lines = list(self._of_attempt(self._new.among(lines_of(execution))))
        for attempt, line in lines[len(lines) - newest :] if newest < len(lines) else lines:
            self._shown.logged(attempt, line)
        return execution

    async def to_its_end(self, events: AsyncIterator[WatchEvent], execution: Execution) -> Execution:
        """Show an execution, and what becomes of it; return it once it has ended and all its lines are shown.

        Raises:
            Unavailable: if the server is gone for longer than the client's patience.
        """
        self._show(execution)
        while not execution.state.is_terminal:
            read_time = self._clock.monotonic() + READ_EVERY
            while (event := await self._next(events, until=read_time)) is not None:
                if isinstance(event, Lost):
                    break
                if isinstance(event, Transition):
                    if (ended := await self._changed(event)) is not None:
                        return ended
                elif isinstance(event, Logged):
                    await self._logged(event)
                else:
                    self._shown.progressed(event)
            execution = await self._read_again() or execution
            self._show(execution)
        return execution

    async def _next(self, events: AsyncIterator[WatchEvent], *, until: float) -> WatchEvent | None:
        """Return the next event of this execution, or of the server; None: there was none until then."""
        gone = "the server stopped"
        try:
            async with self._clock.timeout(max(until - self._clock.monotonic(), 0)):
                async for event in events:
                    if isinstance(event, Lost) or id_of(event) == self._id:
                        return event
        except TimeoutError:
            return None
        except Unavailable as error:
            gone = error.message
        raise Unavailable(f"{gone}; execution {self._id} goes on without this call")

    async def _changed(self, event: Transition) -> Execution | None:
        """Show a change of the state; return the execution at its end.

        The lines of the attempt that has ended are shown before it. Those of a later one are not, though they may be
        there already: other events stand before them.
        """
        changed = event.execution
        execution = None if changed.state is State.RUNNING else await self._read_again(until_attempt=changed.attempt)
        self._show(changed)
        return execution if changed.state.is_terminal and execution and execution.state.is_terminal else None

    def _show(self, execution: Execution) -> None:
        """Show a state, unless it is older than the one that was shown before."""
        if begun(execution) >= self._began:
            self._began = begun(execution)
            self._shown.changed(execution)

    async def _logged(self, event: Logged) -> None:
        if self._new.lacks_some_before(event.attempt, event.lines[0].sequence):
            await self._read_again(until_attempt=event.attempt)
        self._show_new((event.attempt, line) for line in event.lines)

    async def _read_again(self, *, until_attempt: int | None = None) -> Execution | None:
        """Show the lines that no event brought; return the execution, None if the server is not there.

        The watch decides how long a server may be away.
        """
        try:
            execution = await self._client.get_execution(self._id, log_lines=MOST_LINES)
        except Unavailable:
            return None
        lines = lines_of(execution)
        self._show_new(each for each in lines if until_attempt is None or each[0] <= until_attempt)
        return execution

    def _show_new(self, lines: Iterable[tuple[int, LogLine]]) -> None:
        for attempt, line in self._of_attempt(self._new.among(lines)):
            self._shown.logged(attempt, line)

    def _of_attempt(self, lines: Iterable[tuple[int, LogLine]]) -> Iterator[tuple[int, LogLine]]:
        return ((attempt, line) for attempt, line in lines if self._attempt in (None, attempt))


def lines_of(execution: Execution) -> tuple[tuple[int, LogLine], ...]:
    """Return the log lines that were read with an execution."""
    return (execution.log or KeptLog()).lines


def id_of(event: Transition | Progress | Logged) -> str:
    """Return the id of the execution of an event."""
    return event.execution.id if isinstance(event, Transition) else event.execution_id


def begun(execution: Execution) -> int:
    """Return how many attempts of an execution have begun."""
    return execution.attempt + execution.hand_backs
