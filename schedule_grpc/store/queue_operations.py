"""Operations on the queue: what is there to do, who does it, what became of it."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from schedule_grpc.clock import from_micros, to_micros
from schedule_grpc.database import Operation, Parameters, Row, Rows
from schedule_grpc.events import Event, Transition
from schedule_grpc.execution import (
    STATES,
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
    never_begun,
    new_lease_token,
    succeeded,
)
from schedule_grpc.store.alert_operations import note_conditions, note_missed, note_outcomes
from schedule_grpc.store.columns import LAST
from schedule_grpc.store.gate_operations import end_pending, let_next_through
from schedule_grpc.store.protocol import Claim, ClaimRequest, Look
from schedule_grpc.store.queries import QUERIES
from schedule_grpc.store.rows import can_begin, execution_of, micros, settled_parameters, task_of
from schedule_grpc.store.sharing import shares
from schedule_grpc.store.task_operations import due_tasks
from schedule_grpc.store.told import Told
from schedule_grpc.task import Task

Become: TypeAlias = Callable[[Execution, Task, datetime], Execution]
"""How an attempt that nobody will report leaves its execution."""

ORPHAN_AGE = timedelta(seconds=10)
"""A claim of one's own that is older, and that one does not run, was lost on its way back."""
EXPIRED_AT_ONCE = 1000
"""Executions ended in one transaction at most."""
_COUNTS = {State.SUCCEEDED: QUERIES.note_success, State.FAILED: QUERIES.note_failure}
"""Ends that a task's statistics count."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settlement:
    """How an attempt leaves its execution, and when."""

    before: Execution
    after: Execution
    now: datetime


def look(handlers: frozenset[str], now: datetime, limit: int) -> Operation[Look]:
    """See what is due, claimable or expired, and when the next of these will be."""
    due, unreadable = yield from due_tasks(now, limit)
    waiting = yield QUERIES.waiting_handlers, {}
    deadlines = yield QUERIES.next_deadline, {}
    next_runs = [] if due else (yield QUERIES.next_run_time, {"now": to_micros(now)})
    available = [_looked(row["available_time"]) for row in waiting if row["handler"] in handlers]
    expiring = [_looked(row["instant"]) for row in deadlines]
    instants = [*available, *expiring, *(_looked(row["instant"]) for row in next_runs)]
    now_micros = to_micros(now)
    return Look(
        due=due,
        unreadable=unreadable,
        claimable=any(time <= now_micros for time in available),
        expired=any(time <= now_micros for time in expiring),
        next_time=from_micros(following) if (following := _first_after(now_micros, instants)) is not None else None,
    )


def claim(request: ClaimRequest, shared: bool) -> Operation[Told[tuple[Claim, ...]]]:
    """Begin attempts: of each waiting handler its share, the longest available first.

    In a shared database only under the owner's lease, which nobody ends before these attempts are written.
    """
    if shared and not (yield QUERIES.hold_lease, {"id": request.owner}):
        return (), ()
    chosen, tasks = yield from _chosen(request)
    claimed = yield (
        QUERIES.claim_execution,
        [
            {
                "id": row["id"],
                "now": to_micros(request.now),
                "owner": request.owner,
                "lease_token": new_lease_token(),
                "revision": tasks[row["task_uid"]].revision,
            }
            for row in chosen
        ],
    )
    executions = [execution_of(row) for row in claimed]
    begun = [each for each in executions if each.attempt_start_time == each.start_time]
    yield QUERIES.note_run, [_started(execution) for execution in begun]
    claims = tuple(_claim(execution, tasks[execution.task_uid]) for execution in executions)
    return claims, [Transition(before=State.PENDING, execution=each, time=request.now) for each in executions]


def record(reports: Sequence[Outcome | HandBack]) -> Operation[Told[tuple[Execution | None, ...]]]:
    """Write what became of attempts, each only under its lease."""
    ids = sorted({report.execution_id for report in reports})
    yield QUERIES.lock_tasks_of, {"execution_ids": ids}
    rows = yield QUERIES.find_execution, [{"id": execution_id} for execution_id in ids]
    found = {row["id"]: execution_of(row) for row in rows}
    ours = [
        (found[report.execution_id], report)
        for report in reports
        if report.execution_id in found and found[report.execution_id].lease_token == report.lease_token
    ]
    running = [(execution, report) for execution, report in ours if execution.state is State.RUNNING]
    # The common case asks no policy, and so reads no task.
    asking = {execution.task_uid for execution, report in running if isinstance(report, HandBack) or report.kind}
    tasks = yield from _tasks(asking)
    settlements = [
        Settlement(before=execution, after=_judged(execution, report, tasks), now=_time(report))
        for execution, report in running
    ]
    events = yield from _settle(settlements)
    for execution, report in running:
        if isinstance(report, Outcome) and report.conditions:
            named = execution.task_uid, execution.task_name
            events += yield from note_conditions(*named, report.conditions, report.end_time)
    now_is = {execution.id: execution for execution, _ in ours} | {each.after.id: each.after for each in settlements}
    tokens = {execution_id: execution.lease_token for execution_id, execution in found.items()}
    return tuple(
        now_is[report.execution_id] if tokens.get(report.execution_id) == report.lease_token else None
        for report in reports
    ), events


def cancel_requests(owner: str) -> Operation[frozenset[str]]:
    """Read the lease tokens of a server's attempts whose end was asked for."""
    rows = yield QUERIES.own_cancel_requests, {"owner": owner}
    return frozenset(row["lease_token"] for row in rows)


def rescue(now: datetime) -> Operation[Told[int]]:
    """Take every attempt in progress: the server that ran it is gone."""
    gone = yield QUERIES.running_executions, {}
    return (yield from _take([(gone, lost)], now))


def take_over(ended: Mapping[str, int], now: datetime) -> Operation[Told[int]]:
    """End leases that were not renewed since they were read, and take every attempt that no lease covers."""
    yield QUERIES.end_lease, [{"id": replica_id, "beat": beat} for replica_id, beat in sorted(ended.items())]
    gone = yield QUERIES.executions_without_lease, {}
    return (yield from _take([(gone, lost)], now))


def recover_own(owner: str, held: frozenset[str], begun: frozenset[str], now: datetime) -> Operation[Told[int]]:
    """Settle a server's attempts that it does not run: those that ran are lost, claims that never began come back."""
    own = yield QUERIES.own_executions, {"owner": owner, "claimed_before": to_micros(now - ORPHAN_AGE)}
    ran = [row for row in own if row["lease_token"] in begun - held]
    never_began = [row for row in own if row["lease_token"] not in begun | held]
    return (yield from _take([(ran, lost), (never_began, never_begun)], now))


def expire(now: datetime) -> Operation[Told[int]]:
    """End what nobody started before its start deadline."""
    overdue = yield QUERIES.overdue_executions, {"now": to_micros(now), "limit": EXPIRED_AT_ONCE}
    ids = [row["id"] for row in overdue]
    yield QUERIES.lock_tasks_of, {"execution_ids": ids}
    rows = yield QUERIES.hold_execution, [{"id": execution_id} for execution_id in ids]
    late = [execution_of(row) for row in rows if _is_past(row["deadline_time"], now)]
    tasks = yield from _tasks({execution.task_uid for execution in late})
    events: list[Event] = []
    for execution in late:
        events += yield from end_pending(execution, missed(execution, Reason.START_DEADLINE, now), now)
        events += yield from note_missed(tasks[execution.task_uid], now)
    return len(late), events


def count_open() -> Operation[Mapping[State, int]]:
    """Count what is not ended."""
    rows = yield QUERIES.count_open, {}
    return {State(row["state"]): row["count"] for row in rows if row["state"] in STATES}


def _chosen(request: ClaimRequest) -> Operation[tuple[list[Row], dict[str, Task]]]:
    """Read what to claim, and its tasks. What cannot be read waits, and takes no other's place."""
    waiting = yield QUERIES.waiting_handlers, {}
    now = to_micros(request.now)
    ready = [row["handler"] for row in waiting if _looked(row["available_time"]) <= now]
    handlers = [handler for handler in ready if handler in request.handlers]
    left: set[str] = set()
    while True:
        candidates: dict[str, Rows] = {}
        for handler in handlers:
            asked = {"handler": handler, "now": now, "limit": request.limit + len(left)}
            rows = yield QUERIES.available_executions, asked
            candidates[handler] = [row for row in rows if row["id"] not in left]
        counts = {handler: len(rows) for handler, rows in candidates.items()}
        chosen = [
            row
            for handler, share in shares(request.limit, request.running, counts, request.limits).items()
            for row in candidates[handler][:share]
        ]
        tasks = yield from _tasks({row["task_uid"] for row in chosen})
        unread = {r["id"] for r in chosen if not (can_begin(r) and tasks[r["task_uid"]].definition.can_run)}
        if not unread:
            return chosen, tasks
        left |= unread


def _looked(stored: Any) -> int:
    """Return when a look has something to do; never for a value that is no instant."""
    return stored if type(stored) is int and stored <= LAST else LAST


def _first_after(now: int, instants: Iterable[int]) -> int | None:
    return min((time for time in instants if now < time < LAST), default=None)


def _is_past(stored: Any, now: datetime) -> bool:
    """Tell whether a deadline is over; one before all instants is, though none can be made of it."""
    return isinstance(stored, int | float) and stored <= to_micros(now)


def _claim(execution: Execution, task: Task) -> Claim:
    payload = task.definition.payload if execution.payload is None else execution.payload
    return Claim(execution=execution, task=task, lease_token=execution.lease_token or "", payload=payload)


def _judged(execution: Execution, report: Outcome | HandBack, tasks: Mapping[str, Task]) -> Execution:
    if isinstance(report, HandBack):
        become = handed_back if report.began else never_begun
        return become(execution, tasks[execution.task_uid], report.time)
    if report.kind is None:
        return succeeded(execution, report)
    return after(execution, report, tasks[execution.task_uid])


def _time(report: Outcome | HandBack) -> datetime:
    return report.time if isinstance(report, HandBack) else report.end_time


def _take(groups: Sequence[tuple[Sequence[Row], Become]], now: datetime) -> Operation[Told[int]]:
    """Settle attempts that nobody will report, each group in its way, if they are still as they were read."""
    tokens = {row["id"]: row["lease_token"] for rows, _ in groups for row in rows}
    ids = sorted(tokens)
    yield QUERIES.lock_tasks_of, {"execution_ids": ids}
    again = yield QUERIES.find_execution, [{"id": execution_id} for execution_id in ids]
    taken = {
        row["id"]: execution_of(row)
        for row in again
        if row["state"] == State.RUNNING and row["lease_owner"] is not None and row["lease_token"] == tokens[row["id"]]
    }
    tasks = yield from _tasks({execution.task_uid for execution in taken.values()})
    settlements = [
        Settlement(before=execution, after=become(execution, tasks[execution.task_uid], now), now=now)
        for rows, become in groups
        for execution in (taken[row["id"]] for row in rows if row["id"] in taken)
    ]
    events = yield from _settle(settlements)
    return len(settlements), events


def _settle(settlements: Sequence[Settlement]) -> Operation[list[Event]]:
    """Write how attempts left their executions; count those that ended, and let the next ones through their gates."""
    in_order = sorted(settlements, key=lambda each: each.after.id)
    written = yield QUERIES.settle_attempt, [_settlement(each.before, each.after) for each in in_order]
    ids = {row["id"] for row in written}
    settled = [each for each in settlements if each.after.id in ids]
    events: list[Event] = [
        Transition(before=each.before.state, execution=each.after, time=each.now) for each in settled
    ]
    ended = [each for each in settled if each.after.state.ended]
    for state, count in _COUNTS.items():
        yield count, [_counted(each.after) for each in ended if each.after.state is state]
    yield QUERIES.note_run, [_started(each.after) for each in ended if each.after.state not in _COUNTS]
    events += yield from note_outcomes([each.after for each in ended])
    left = [each for each in ended if each.before.gate is Gate.ACTIVE]
    if left:
        uids = [each.before.task_uid for each in left]
        events += yield from let_next_through(uids, max(each.now for each in left))
    return events


def _settlement(before: Execution, settled: Execution) -> Parameters:
    return settled_parameters(settled) | {
        "lease_token": before.lease_token,
        "hand_backs": settled.hand_backs,
        "gate": settled.gate.value if settled.gate else None,
        "available_time": micros(settled.available_time),
    }


def _started(execution: Execution) -> Parameters:
    began = execution.start_time or execution.attempt_start_time or execution.end_time
    return {"uid": execution.task_uid, "start_time": micros(began)}


def _counted(execution: Execution) -> Parameters:
    return {"end_time": micros(execution.end_time), **_started(execution)}


def _tasks(uids: Collection[str]) -> Operation[dict[str, Task]]:
    rows = yield QUERIES.find_task_by_uid, [{"uid": uid} for uid in sorted(uids)]
    return {row["uid"]: task_of(row) for row in rows}
