"""A namespace at a glance: what fails, runs, waits and comes next; and what ended within the last 24 hours."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from schedule_grpc.domain.execution import Execution
from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.domain.states import State

DAY = timedelta(hours=24)
MINUTE = timedelta(minutes=1)
MOST_TASKS_COUNTED = 100_000
MOST_RUNNING = 50
MOST_ENDS = 20
MOST_NEXT = 20
MOST_ATTENTION = 50
"""Items of each list in a summary, at most."""
LONG_WAIT = timedelta(seconds=30)
"""After so long an execution that could start, and does not, needs attention."""
MOST_FAILURES = 10_000
MOST_GROUPS = 200
"""The newest failures that are grouped, at most."""
MOST_DURATIONS = 5_000
"""The newest executions whose durations are looked at."""
ENDED = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED, State.SKIPPED, State.MISSED})


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """How many tasks and executions are in each state."""

    tasks: int = 0
    """At most `MOST_TASKS_COUNTED`."""
    disabled: int = 0
    failing: int = 0
    overdue: int = 0
    running: int = 0
    """Executions."""
    waiting: int = 0
    """Executions; at most 1,000: then there are at least as many."""

    def __add__(self, other: "Counts") -> "Counts":
        """Return the counts of two parts of a namespace together."""
        return Counts(
            tasks=self.tasks + other.tasks,
            disabled=self.disabled + other.disabled,
            failing=self.failing + other.failing,
            overdue=self.overdue + other.overdue,
            running=self.running + other.running,
            waiting=self.waiting + other.waiting,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class WaitingQueue:
    """The executions of one handler that could start now, and wait for a slot or a worker."""

    handler: str
    count: int
    """At most 1,000."""
    oldest_time: datetime
    """Since when the first of them could start."""
    offered: bool = True
    """Whether a server or a worker offers the handler now."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NextRun:
    """What fires next: one task, and how many fire at the same time."""

    name: str
    handler: str
    time: datetime
    count: int = 1


class AttentionKind(StrEnum):
    """Why something needs a person."""

    FAILING = "FAILING"
    """A task has failed, and not succeeded since."""
    CONDITION = "CONDITION"
    """A condition of a task holds: what alerts tell of."""
    WAITING = "WAITING"
    """Executions of a handler could start, and have not for longer than `LONG_WAIT`."""
    HEALTH = "HEALTH"
    """This server is not healthy."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Attention:
    """One thing that needs a person."""

    kind: AttentionKind
    subject: str = ""
    """The name of the task or the handler; empty for HEALTH."""
    text: str
    since: datetime | None = None
    count: int = 0
    """Failures in a row, or executions that wait."""
    key: str = ""
    """The condition's key."""
    execution_id: str = ""
    """The newest execution that failed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenCondition:
    """A condition that holds."""

    task_name: str
    key: str
    title: str
    body: str
    start_time: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """What a person who opens the service wants to know first."""

    time: datetime
    counts: Counts
    lag: timedelta | None = None
    """How late this server's event loop last came round."""
    troubles: tuple[str, ...] = ()
    """Why this server is not healthy."""
    waiting: tuple[WaitingQueue, ...] = ()
    """By handler. Empty for a caller that may see a part of the namespace only: a queue is of all of it."""
    running: tuple[Execution, ...] = ()
    """The longest running ones, the oldest start first, with their progress; at most `MOST_RUNNING`."""
    newest_ends: tuple[Execution, ...] = ()
    """The newest end first; at most `MOST_ENDS`."""
    next_runs: tuple[NextRun, ...] = ()
    """By time; at most `MOST_NEXT`."""
    attention: tuple[Attention, ...] = ()
    """At most `MOST_ATTENTION` of each kind."""
    last_failure_time: datetime | None = None
    """When the newest execution in the history that FAILED ended."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PulseBucket:
    """The executions that were recorded within one span of time and have ended, by their states."""

    start_time: datetime
    counts: Mapping[State, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pulse:
    """The executions of the last 24 hours that have ended, by the minute in which they were recorded."""

    start_time: datetime
    """A whole minute; 24 hours before the end of the present one."""
    end_time: datetime
    minutes: Mapping[datetime, Mapping[State, int]] = field(default_factory=dict)
    """Minutes without any are left out."""
    complete_from: datetime
    """Earlier minutes are not counted yet: they are read in the background, the newest first."""

    def by(self, step: timedelta) -> tuple[PulseBucket, ...]:
        """Return the counts of each span of this length, the oldest first; spans begin at multiples of it in UTC."""
        first = self.start_time - (self.start_time - _EPOCH) % step
        sums: list[dict[State, int]] = [{} for _ in range(-((first - self.end_time) // step))]
        for minute, counts in self.minutes.items():
            into = sums[(minute - first) // step]
            for state, count in counts.items():
                into[state] = into.get(state, 0) + count
        return tuple(PulseBucket(start_time=first + number * step, counts=each) for number, each in enumerate(sums))


@dataclass(frozen=True, kw_only=True, slots=True)
class HandlerDuration:
    """How long the executions of one handler took, from their first attempts' starts to their ends."""

    p95: timedelta
    """95 of 100 took no longer."""
    count: int
    """Executions that ran and have ended; the figure is of these."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HandlerDurations:
    """How long executions of the last 24 hours took, by handler: of the newest ones, up to `MOST_DURATIONS`."""

    handlers: Mapping[str, HandlerDuration] = field(default_factory=dict)
    """Handlers of which none ran are left out."""
    complete_from: datetime
    """Executions that were recorded earlier are not among them."""
    is_whole: bool
    """Whether these are all of the last 24 hours."""


_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


@dataclass(frozen=True, kw_only=True, slots=True)
class FailureGroup:
    """Failures of one task that look alike."""

    task_name: str
    failure_kind: FailureKind | None
    error: str
    """The first line of the error, with ``#`` for each run of digits."""
    count: int
    first_time: datetime
    last_time: datetime
    last_id: str
    """The newest of them."""
    hours: tuple[int, ...] = ()
    """How many in each of the 24 hours up to now, the oldest first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FailureGroups:
    """The failures of the last 24 hours, the group that failed last first."""

    groups: tuple[FailureGroup, ...] = ()
    complete_from: datetime
    """Failures before this time are not counted yet, or were more than `MOST_FAILURES`."""
    more_count: int = 0
    """Failures that look like none of these: there are more than `MOST_GROUPS` groups."""
