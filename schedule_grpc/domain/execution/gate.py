"""How a new execution is admitted beside the others of its task. Pure; decidable in one transaction.

============  ==========================================================  =======================================
overlap       the gate is free                                            another one holds the gate
============  ==========================================================  =======================================
SKIP          ACTIVE; SKIPPED where a FREE one is open                     SKIPPED
BUFFER_ONE    ACTIVE                                                       WAITING; SKIPPED where one waits
CANCEL_OTHER  ACTIVE                                                       the others make way, then as BUFFER_ONE
ALLOW_ALL     ACTIVE                                                       FREE
(queues)      ACTIVE                                                       WAITING
============  ==========================================================  =======================================

Backfills, and executions that are caught up under ALL, queue under every policy: they run one by one and never skip. At
most one execution of a task holds the gate (ACTIVE); where one waits, another holds it, and its end lets the next
through.
"""

from dataclasses import dataclass
from datetime import datetime

from msgspec.structs import replace

from schedule_grpc.domain.execution.transitions import skipped
from schedule_grpc.domain.execution.values import Execution
from schedule_grpc.domain.policy import CatchUp, Overlap, Policy
from schedule_grpc.domain.states import Gate, Reason, State, Trigger


@dataclass(frozen=True, kw_only=True, slots=True)
class Occupancy:
    """What of a task's executions is open."""

    active: bool
    any_open: bool
    buffered: bool = False
    """Whether one waits that does not queue."""


def queues(trigger: Trigger, policy: Policy) -> bool:
    """Return whether executions of a trigger queue without a bound."""
    return trigger is Trigger.BACKFILL or (trigger is Trigger.CATCH_UP and policy.catch_up is CatchUp.ALL)


def makes_way(execution: Execution, policy: Policy, found: Occupancy) -> bool:
    """Return whether others of the task make way for a new execution: cancelled, or skipped if waiting."""
    return found.active and policy.overlap is Overlap.CANCEL_OTHER and not queues(execution.trigger, policy)


def admitted(execution: Execution, policy: Policy, found: Occupancy) -> Execution:
    """Return a planned execution as its task's gate lets it in: ACTIVE, WAITING, FREE, or SKIPPED for overlap."""
    if queues(execution.trigger, policy):
        gate = Gate.WAITING if found.active else Gate.ACTIVE
    elif policy.overlap is Overlap.SKIP and found.any_open:
        return skipped(execution, Reason.OVERLAP, execution.create_time)
    elif not found.active:
        gate = Gate.ACTIVE
    elif policy.overlap is Overlap.ALLOW_ALL:
        gate = Gate.FREE
    elif found.buffered:
        return skipped(execution, Reason.OVERLAP, execution.create_time)
    else:
        gate = Gate.WAITING
    if gate is Gate.WAITING:
        return replace(execution, gate=gate)
    return let_through(execution, policy, execution.create_time, gate=gate)


def let_through(execution: Execution, policy: Policy, now: datetime, *, gate: Gate = Gate.ACTIVE) -> Execution:
    """Return an execution past its gate: from now on, or from when it is available, its start deadline counts."""
    if execution.state is not State.PENDING:
        raise AssertionError(f"{execution.id} is {execution.state}: only what is pending waits at a gate")
    return replace(execution, gate=gate, deadline_time=max(execution.available_time, now) + policy.start_deadline)
