"""Lists of tasks: which tasks a caller asks for, in which order, and what is told of each beside its definition."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from msgspec import Struct

from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.domain.states import Reason, State, Trigger

MOST_EXAMINED = 50_000
"""Tasks that one call examines for a text, or sorts, at most."""
MOST_STRIPS = 50
"""Tasks whose newest runs one call returns, at most."""
RUNS_IN_STRIP = 20
"""The newest runs of a task that its strip shows."""
MOST_WAITING = 1000
"""Waiting executions that are counted, at most; a larger number means "at least"."""
MAX_QUERY = 128
"""Characters of the text that is searched for."""
OVERDUE_AFTER = timedelta(minutes=1)
"""How far behind its next run a task may be and still be in time: a loop that is busy is no fault."""


class TaskState(StrEnum):
    """What a task is at the moment; it can be several of these at once, or none."""

    FAILING = "FAILING"
    """Its newest attempt to run failed: at least one failure in a row."""
    RUNNING = "RUNNING"
    """An execution of it runs."""
    WAITING = "WAITING"
    """An execution of it waits: for its gate, its time, a slot or a worker."""
    DISABLED = "DISABLED"
    OVERDUE = "OVERDUE"
    """It was due more than `OVERDUE_AFTER` ago and has not fired; or its condition ``overdue`` holds."""


class TaskOrder(StrEnum):
    """The order of a list of tasks; tasks that are alike in it are ordered by name."""

    NAME = "name"
    NEXT = "next"
    """By the time at which they fire next, the earliest first; those that will not fire come last."""
    LAST = "last"
    """By their last start, the latest first; those that never ran come last."""
    FAILURES = "failures"
    """By their failures in a row, the most first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskFilter:
    """The tasks that a list shows; None and the empty text mean all."""

    enabled: bool | None = None
    handler: str = ""
    name_prefix: str = ""
    category: str = ""
    query: str = ""
    """A part of the name, the handler or the description; of ASCII letters the case does not matter."""
    states: frozenset[TaskState] = field(default_factory=frozenset)
    """Tasks that are at least one of these."""
    order: TaskOrder = TaskOrder.NAME

    @property
    def is_plain(self) -> bool:
        """Whether it asks for nothing but an index of names has: no text, no state, no other order."""
        return not self.query and not self.states and self.order is TaskOrder.NAME


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class TaskPlace:
    """The place of a task in an order: a number, and the name where numbers are alike."""

    number: int = -(2**63)
    name: str = ""


FIRST_PLACE = TaskPlace()
"""The place before all tasks."""


class LastOutcome(Struct, frozen=True, kw_only=True):
    """How the newest of a task's executions that have ended did end."""

    execution_id: str
    state: State
    end_time: datetime
    reason: Reason | None = None
    failure_kind: FailureKind | None = None
    start_time: datetime | None = None

    @property
    def duration(self) -> timedelta:
        """From the first attempt's start to the end; zero for what never ran."""
        return max(self.end_time - (self.start_time or self.end_time), timedelta(0))


class TaskActivity(Struct, frozen=True, kw_only=True):
    """What a task's executions are doing, as of one reading."""

    last: LastOutcome | None = None
    """None: none has ended, or retention removed them."""
    running: int = 0
    waiting: int = 0
    """At most `MOST_WAITING`."""


class RunMark(Struct, frozen=True, kw_only=True):
    """An execution as a strip of the newest runs shows it."""

    id: str
    state: State
    trigger: Trigger
    create_time: datetime
    attempt: int = 0
    reason: Reason | None = None
    failure_kind: FailureKind | None = None
    scheduled_time: datetime | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None

    @property
    def duration(self) -> timedelta | None:
        """From the first attempt's start to the end; None before it; zero for what never ran."""
        if self.end_time is None:
            return None
        return max(self.end_time - (self.start_time or self.end_time), timedelta(0))
