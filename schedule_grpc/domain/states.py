"""The words for where an execution is and why, and the table of its allowed changes."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class State(StrEnum):
    """Where an execution is in its life."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    SKIPPED = "SKIPPED"
    MISSED = "MISSED"
    UNKNOWN = "UNKNOWN"
    """One of a newer program: shown, and otherwise left alone. No row is written with it."""

    @property
    def is_terminal(self) -> bool:
        """Whether it never changes again, at least here."""
        return not TRANSITIONS[self]


TRANSITIONS: Mapping[State | None, frozenset[State]] = MappingProxyType(
    {
        None: frozenset({State.PENDING, State.SKIPPED, State.MISSED}),
        State.PENDING: frozenset({State.RUNNING, State.CANCELLED, State.FAILED, State.SKIPPED, State.MISSED}),
        State.RUNNING: frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED, State.PENDING}),
        State.SUCCEEDED: frozenset(),
        State.FAILED: frozenset(),
        State.CANCELLED: frozenset(),
        State.SKIPPED: frozenset(),
        State.MISSED: frozenset(),
        State.UNKNOWN: frozenset(),
    }
)
"""From each state (None: not yet recorded) to the states it may change to. The store's suite drives every operation
from every state and compares what happened with this table."""


STATES: tuple[State, ...] = tuple(state for state in State if state is not State.UNKNOWN)
"""The states that callers can ask for: all that this program knows."""


class Reason(StrEnum):
    """Why an execution never ran; TASK_DELETED also why a FAILED one was not tried again."""

    OVERLAP = "OVERLAP"
    TASK_DISABLED = "TASK_DISABLED"
    TASK_DELETED = "TASK_DELETED"
    NO_WORKER = "NO_WORKER"
    START_DEADLINE = "START_DEADLINE"
    CATCH_UP_WINDOW = "CATCH_UP_WINDOW"
    CATCH_UP_LIMIT = "CATCH_UP_LIMIT"
    CATCH_UP_NONE = "CATCH_UP_NONE"


WHY_IT_NEVER_RAN: Mapping[Reason, str] = MappingProxyType(
    {
        Reason.OVERLAP: "an earlier run of the task had not ended",
        Reason.TASK_DISABLED: "the task was disabled before it started",
        Reason.TASK_DELETED: "the task was deleted before it started",
        Reason.NO_WORKER: "no server and no worker offered the handler in time",
        Reason.START_DEADLINE: "it was not started before its start deadline",
        Reason.CATCH_UP_WINDOW: "it was older than the policy's catch_up_window when a server came",
        Reason.CATCH_UP_LIMIT: "more than 100 occurrences were due at once",
        Reason.CATCH_UP_NONE: "it was late, and the policy is to catch up with none",
    }
)
"""Reasons in English, as what follows *because*."""


class Trigger(StrEnum):
    """What put an execution into the queue."""

    SCHEDULE = "SCHEDULE"
    """An occurrence that was the only one due, or that is at most `ON_TIME` late."""
    CATCH_UP = "CATCH_UP"
    """Every other occurrence that the loop records."""
    MANUAL = "MANUAL"
    """RunTaskNow."""
    CRON = "CRON"
    """TriggerCron."""
    BACKFILL = "BACKFILL"
    """BackfillTask."""
    UNKNOWN = "UNKNOWN"
    """One of a newer program: shown, and not run here. No row is written with it."""


class Gate(StrEnum):
    """How an open execution stands to the others of its task; at most one is ACTIVE, and where one waits, one is."""

    ACTIVE = "ACTIVE"
    WAITING = "WAITING"
    FREE = "FREE"
