"""Executions: the durable record of one occurrence or one manual run, and the only place where its state may change.

::

    (new) ──► PENDING ──claim──► RUNNING ──► SUCCEEDED
      │        │  ▲                │ ├─────► FAILED
      │        │  └── retry, ──────┘ │
      │        │      hand-back, lease lost with retries left
      │        ├──────────────────────┴─► CANCELLED
      │        ├──► FAILED        waited for a retry when its task was deleted: TASK_DELETED
      ├────────┼──► SKIPPED       never ran: OVERLAP, TASK_DISABLED, TASK_DELETED, NO_WORKER
      └────────┴──► MISSED        never ran: START_DEADLINE, CATCH_UP_WINDOW, CATCH_UP_LIMIT, CATCH_UP_NONE

`states` has the words and the table, `values` what an execution is, `transitions` how one becomes another, `gate` how a
new one is let in beside others of its task.
"""

from schedule_grpc.domain.execution.attempts import MAX_ERRORS_BYTES, bounded
from schedule_grpc.domain.execution.gate import Occupancy, admitted, let_through, makes_way, queues
from schedule_grpc.domain.execution.transitions import (
    MAX_HAND_BACKS,
    after,
    begun,
    cancel_requested,
    deleted,
    handed_back,
    lost,
    missed,
    never_begun,
    new_execution_id,
    new_lease_token,
    not_stopped,
    planned,
    skipped,
    succeeded,
    unrecordable,
    waiting_no_longer,
)
from schedule_grpc.domain.execution.values import (
    MAX_TEXT_BYTES,
    ON_TIME,
    Backfill,
    CoveredRange,
    Execution,
    ExecutionFilter,
    ExecutionPage,
    FailedAttempt,
    HandBack,
    Outcome,
    Report,
)
from schedule_grpc.domain.states import STATES, TRANSITIONS, Gate, Reason, State, Trigger

__all__ = [
    "MAX_ERRORS_BYTES",
    "MAX_HAND_BACKS",
    "MAX_TEXT_BYTES",
    "ON_TIME",
    "STATES",
    "TRANSITIONS",
    "Backfill",
    "CoveredRange",
    "Execution",
    "ExecutionFilter",
    "ExecutionPage",
    "FailedAttempt",
    "Gate",
    "HandBack",
    "Occupancy",
    "Outcome",
    "Reason",
    "Report",
    "State",
    "Trigger",
    "admitted",
    "after",
    "begun",
    "bounded",
    "cancel_requested",
    "deleted",
    "handed_back",
    "let_through",
    "lost",
    "makes_way",
    "missed",
    "never_begun",
    "new_execution_id",
    "new_lease_token",
    "not_stopped",
    "planned",
    "queues",
    "skipped",
    "succeeded",
    "unrecordable",
    "waiting_no_longer",
]
