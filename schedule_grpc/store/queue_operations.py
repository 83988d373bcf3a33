"""Operations on the queue: what is there to do, who does it, what became of it."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from schedule_grpc.clock import to_micros
from schedule_grpc.database import Operation, Parameters, Row
from schedule_grpc.events import Event, Transition
from schedule_grpc.execution import (
    Execution,
    Gate,
    HandBack,
    Outcome,
    Reason,
    State,
    after,
    handed_back,
    lost,
    missed,
    new_lease_token,
    succeeded,
)
from schedule_grpc.store.alert_operations import note_conditions, note_missed, note_outcome
from schedule_grpc.store.gate_operations import end_pending, let_next_through
from schedule_grpc.store.protocol import Claim, ClaimRequest, Extended, Look
from schedule_grpc.store.queries import QUERIES
from schedule_grpc.store.rows import execution_of, instant, micros, settled_parameters, task_of
from schedule_grpc.store.sharing import shares
from schedule_grpc.store.told import Told
from schedule_grpc.task import Task

ORPHAN_AGE = timedelta(seconds=10)
"""A claim of one's own that is older, and that one does not run, was lost on its way back."""
EXPIRED_AT_ONCE = 1000
"""Executions ended in one transaction at most."""
_COUNTED = {State.SUCCEEDED: QUERIES.note_success, State.FAILED: QUERIES.note_failure}
"""Ends that a task's statistics count."""


def look(handlers: frozenset[str], now: datetime, limit: int) -> Operation[Look]:
    """See what is due, claimable or expired, and when the next of these will be."""
    due = yield QUERIES.due_tasks, {"now": to_micros(now), "limit": limit}
    waiting = yield QUERIES.waiting_handlers, {}
    deadlines = yield QUERIES.next_deadline, {}
    next_runs = [] if due else (yield QUERIES.next_run_time, {})
    available = [row["available_time"] for row in waiting if row["handler"] in handlers]
    instants = [*available, *(row["instant"] for row in (*deadlines, *next_runs))]
    now_micros = to_micros(now)
    return Look(
        due=tuple(task_of(row) for row in due),
        claimable=any(time <= now_micros for time in available),
        expired=any(row["instant"] <= now_micros for row in deadlines),
        next_time=instant(min((time for time in instants if time > now_micros), default=None)),
    )


def claim(request: ClaimRequest) -> Operation[Told[tuple[Claim, ...]]]:
    """Begin attempts: of each waiting handler its share, the longest available first."""
    waiting = yield QUERIES.waiting_handlers, {}
    candidates: dict[str, list[str]] = {}
    for row in waiting:
        if row["handler"] in request.handlers and row["available_time"] <= to_micros(request.now):
            found = yield (
                QUERIES.available_executions,
                {"handler": row["handler"], "now": to_micros(request.now), "limit": request.limit},
            )
            candidates[row["handler"]] = [each["id"] for each in found]
    counts = {handler: len(ids) for handler, ids in candidates.items()}
    chosen = [
        execution_id
        for handler, share in shares(request.limit, request.running, counts, request.limits).items()
        for execution_id in candidates[handler][:share]
    ]
    claims: list[Claim] = []
    for execution_id in chosen:
        claim_of_one = yield from _claim_one(execution_id, request)
        claims.append(claim_of_one)
    events = [Transition(before=State.PENDING, execution=claim.execution, time=request.now) for claim in claims]
    return tuple(claims), events


def record(reports: Sequence[Outcome | HandBack]) -> Operation[Told[tuple[Execution | None, ...]]]:
    """Write what became of attempts, each only under its lease."""
    executions: list[Execution | None] = []
    events: list[Event] = []
    for report in reports:
        rows = yield QUERIES.find_execution, {"id": report.execution_id}
        if not rows or rows[0]["lease_token"] != report.lease_token:
            executions.append(None)
            continue
        found = execution_of(rows[0])
        if found.state is State.RUNNING:
            now = report.time if isinstance(report, HandBack) else report.end_time
            found, told = yield from _settle(found, (yield from _judged(found, report)), now)
            events += told
            if isinstance(report, Outcome) and report.conditions:
                events += yield from note_conditions(found.task_uid, found.task_name, report.conditions, now)
        executions.append(found)
    return tuple(executions), events


def extend_leases(tokens: Mapping[str, str], until: datetime) -> Operation[Told[Extended]]:
    """Prolong leases that are still the same."""
    rows = yield (
        QUERIES.extend_lease,
        [
            {"id": execution_id, "lease_token": token, "until": to_micros(until)}
            for execution_id, token in tokens.items()
        ],
    )
    kept = frozenset(row["id"] for row in rows)
    cancelled = frozenset(row["id"] for row in rows if row["cancel_requested_time"] is not None)
    return Extended(kept=kept, cancelled=cancelled), ()


def rescue(owner: str | None, held: frozenset[str], now: datetime, lapsed: datetime) -> Operation[Told[int]]:
    """Take attempts from owners that are gone, and hand back those of one's own that got lost on their way."""
    events: list[Event] = []
    if owner is None:
        gone = yield QUERIES.running_executions, {}
        orphaned: Sequence[Row] = ()
    else:
        gone = yield QUERIES.lapsed_executions, {"lapsed": to_micros(lapsed), "owner": owner}
        claimed_before = to_micros(now - ORPHAN_AGE)
        own = yield QUERIES.own_executions, {"owner": owner, "claimed_before": claimed_before}
        orphaned = [row for row in own if row["id"] not in held]
    for row in gone:
        execution = execution_of(row)
        task = yield from _task(execution)
        _, told = yield from _settle(execution, lost(execution, task, now), now)
        events += told
    for row in orphaned:
        execution = execution_of(row)
        report = HandBack(execution_id=execution.id, lease_token=execution.lease_token or "", time=now)
        _, told = yield from _settle(execution, (yield from _judged(execution, report)), now)
        events += told
    return len(gone) + len(orphaned), events


def expire(now: datetime) -> Operation[Told[int]]:
    """End what nobody started before its start deadline."""
    rows = yield QUERIES.overdue_executions, {"now": to_micros(now), "limit": EXPIRED_AT_ONCE}
    events: list[Event] = []
    for row in rows:
        execution = execution_of(row)
        events += yield from end_pending(execution, missed(execution, Reason.START_DEADLINE, now), now)
        events += yield from note_missed((yield from _task(execution)), now)
    return len(rows), events


def count_open() -> Operation[Mapping[State, int]]:
    """Count what is not ended."""
    rows = yield QUERIES.count_open, {}
    return {State(row["state"]): row["count"] for row in rows}


def _claim_one(execution_id: str, request: ClaimRequest) -> Operation[Claim]:
    token = new_lease_token()
    (row,) = yield (
        QUERIES.claim_execution,
        {
            "id": execution_id,
            "now": to_micros(request.now),
            "owner": request.owner,
            "lease_token": token,
            "lease_until": to_micros(request.lease_until),
        },
    )
    execution = execution_of(row)
    if execution.attempt_start_time == execution.start_time:
        yield QUERIES.note_run, {"uid": execution.task_uid, "start_time": micros(execution.start_time)}
    task = yield from _task(execution)
    payload = task.definition.payload if execution.payload is None else execution.payload
    return Claim(execution=execution, task=task, lease_token=token, payload=payload)


def _judged(execution: Execution, report: Outcome | HandBack) -> Operation[Execution]:
    if isinstance(report, Outcome) and report.kind is None:
        return succeeded(execution, report)  # the common case asks no policy, and so reads no task
    task = yield from _task(execution)
    if isinstance(report, Outcome):
        return after(execution, report, task)
    return handed_back(execution, task, report.time)


def _settle(before: Execution, settled: Execution, now: datetime) -> Operation[tuple[Execution, list[Event]]]:
    """Write how an attempt left its execution; if that was the end, count it and let the next one through the gate."""
    written = yield QUERIES.settle_attempt, _settlement(before, settled)
    if not written:
        return before, []
    events: list[Event] = [Transition(before=before.state, execution=settled, time=now)]
    if settled.state in _COUNTED:
        yield _COUNTED[settled.state], {"uid": settled.task_uid, "end_time": micros(settled.end_time)}
        events += yield from note_outcome(settled, now)
    if settled.state.ended and before.gate is Gate.ACTIVE:
        events += yield from let_next_through(before.task_uid, now)
    return settled, events


def _settlement(before: Execution, settled: Execution) -> Parameters:
    return settled_parameters(settled) | {
        "lease_token": before.lease_token,
        "hand_backs": settled.hand_backs,
        "gate": settled.gate.value if settled.gate else None,
        "available_time": micros(settled.available_time),
    }


def _task(execution: Execution) -> Operation[Task]:
    (row,) = yield QUERIES.find_task_by_uid, {"uid": execution.task_uid}
    return task_of(row)
