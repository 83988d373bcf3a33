"""Operations on the queue: find work, record reports, settle attempts that were lost."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from schedule_grpc.database import Operation, Row, Table, count, together
from schedule_grpc.domain.execution import (
    STATES,
    Execution,
    Gate,
    HandBack,
    Outcome,
    Reason,
    Report,
    State,
    after,
    handed_back,
    lost,
    missed,
    never_begun,
    succeeded,
)
from schedule_grpc.domain.execution.log_lines import LogLines
from schedule_grpc.domain.task import Task
from schedule_grpc.events import AlertsChanged, Event, Transition
from schedule_grpc.runtime.clock import from_micros, to_micros
from schedule_grpc.store.claims import Look
from schedule_grpc.store.columns import LAST, Columns
from schedule_grpc.store.operations.alerts import note_conditions, note_failures, note_missed
from schedule_grpc.store.operations.gates import end_pending, let_next_through
from schedule_grpc.store.operations.logs import append
from schedule_grpc.store.operations.tasks import looked_at, next_tasks, tasks_of
from schedule_grpc.store.queries import QUERIES
from schedule_grpc.store.rows import execution_of
from schedule_grpc.store.tables import counted_ends, no_longer_failing, settled_attempts, started_runs
from schedule_grpc.store.with_events import WithEvents

Key: TypeAlias = tuple[str, str]
"""What a report is of: an execution, under a lease token."""
Become: TypeAlias = Callable[[Execution, Task, datetime], Execution]
"""The state of an execution after an attempt that is never reported."""

ORPHAN_AGE = timedelta(seconds=10)
"""A claim of one's own that is older, and that one does not run, was lost on its way back."""
EXPIRED_AT_ONCE = 1000
"""Executions ended in one transaction at most."""
COUNTED = (State.SUCCEEDED, State.FAILED)
"""Ends that a task's statistics count."""


class Settlement(Struct, frozen=True, kw_only=True):
    """How an attempt leaves its execution, and when."""

    before: Execution
    after: Execution
    now: datetime


def look(handlers: frozenset[str], now: datetime, limit: int, horizon: timedelta = timedelta(0)) -> Operation[Look]:
    """Read due tasks (at most ``limit``), claimable queues, passed deadlines, and when the next of these comes."""
    tasks, unreadable = yield from next_tasks(now + horizon, limit)
    due = tuple([task for task in tasks if _is_due(task, now)])
    now_micros = to_micros(now)
    ahead = yield QUERIES.what_is_ahead, {"now": now_micros}
    ours = [row for row in ahead if row["what"] == "QUEUE" and row["handler"] in handlers]
    available = {(row["namespace"], row["handler"]): looked_at(row["available_time"]) for row in ours}
    claims = [looked_at(row["next_time"]) for row in ours]
    expiring = [looked_at(row["next_time"]) for row in ahead if row["what"] == "DEADLINE"]
    next_run = min([looked_at(row["next_time"]) for row in ahead if row["what"] == "RUN"], default=LAST)
    waits = [*claims, *expiring]
    return Look(
        due=due,
        coming=tasks[len(due) :],
        known_until=_known_until(tasks, unreadable, now + horizon, limit, next_run),
        unreadable=tuple([task for task in unreadable if _is_due(task, now)]),
        claimable=frozenset(queue for queue, time in available.items() if time <= now_micros),
        expired=any(time <= now_micros for time in expiring),
        # What is due wakes by itself: then the next run is not waited for.
        next_time=_first_after(now_micros, waits if due else [*waits, next_run]),
        next_wait_time=_first_after(now_micros, waits),
        next_claim_time=_first_after(now_micros, claims),
    )


def _is_due(task: Task, now: datetime) -> bool:
    return task.due_time is not None and task.due_time <= now


def _known_until(
    tasks: Sequence[Task], unreadable: Sequence[Task], horizon: datetime, limit: int, next_run: int
) -> datetime:
    """Return the instant before which a look has seen all due tasks.

    That is the time of its last task if there may be more tasks, else the end of its horizon; if it saw none within
    that, the time of the first one. A task that cannot be read is left to another look.
    """
    last = tasks[-1].due_time if len(tasks) == limit else None
    bounds = [last or (horizon if tasks else max(horizon, from_micros(next_run)))]
    return min([*bounds, *(task.due_time for task in unreadable if task.due_time is not None)])


def record(
    reports: Sequence[Report], logs: Sequence[LogLines] = ()
) -> Operation[WithEvents[tuple[Execution | None, ...]]]:
    """Write what became of attempts, each only under its lease, and before it the lines that they logged."""
    keys = [(report.execution_id, report.lease_token) for report in reports]
    running = yield from _running(dict(zip(keys, reports, strict=True)))
    if logs:
        yield from append(logs, max(map(_time, reports)))
    # The common case asks no policy, and so reads no task.
    tasks = yield from tasks_of({each.task_uid for each, report in running if _asks_policy(report)})
    settlements = [
        Settlement(before=execution, after=_next_state(execution, report, tasks), now=_time(report))
        for execution, report in running
    ]
    events = yield from _settle(settlements)
    now_is = {(each.after.id, each.before.lease_token): each.after for each in settlements}
    for execution, report in running:
        if isinstance(report, Outcome) and report.conditions and (execution.id, report.lease_token) in now_is:
            named = execution.task_uid, execution.task_key
            events += yield from note_conditions(*named, report.conditions, report.end_time)
    # A record that is repeated finds its own row.
    unsettled = sorted({key[0] for key in keys if key not in now_is})
    rows = yield QUERIES.find_executions, [{"id": execution_id} for execution_id in unsettled]
    now_is |= {(row["id"], row["lease_token"]): execution_of(row) for row in rows}
    return tuple(map(now_is.get, keys)), events


def cancel_requests(owner: str) -> Operation[frozenset[str]]:
    """Read the lease tokens of a server's attempts whose end was asked for."""
    rows = yield QUERIES.own_cancel_requests, {"owner": owner}
    return frozenset(row["lease_token"] for row in rows)


def rescue(now: datetime) -> Operation[WithEvents[int]]:
    """Take every attempt in progress: the server that ran it is gone."""
    gone = yield QUERIES.running_executions, {}
    return (yield from take([(gone, lost)], now))


def take_over(lapsed: Mapping[str, int], now: datetime) -> Operation[WithEvents[int]]:
    """End leases that were not renewed since they were read, and take every attempt that no lease covers."""
    yield QUERIES.end_lease, [{"id": replica_id, "beat": beat} for replica_id, beat in sorted(lapsed.items())]
    gone = yield QUERIES.executions_without_lease, {}
    return (yield from take([(gone, lost)], now))


def recover_own(owner: str, held: frozenset[str], begun: frozenset[str], now: datetime) -> Operation[WithEvents[int]]:
    """Settle a server's attempts that it does not run: begun ones are lost, others are handed back."""
    own = yield QUERIES.own_executions, {"owner": owner, "claimed_before": to_micros(now - ORPHAN_AGE)}
    ran = [row for row in own if row["lease_token"] in begun - held]
    never_began = [row for row in own if row["lease_token"] not in begun | held]
    return (yield from take([(ran, lost), (never_began, never_begun)], now))


def expire(now: datetime) -> Operation[WithEvents[int]]:
    """End executions that did not start before their start deadline."""
    overdue = yield QUERIES.overdue_executions, {"now": to_micros(now), "limit": EXPIRED_AT_ONCE}
    ids = [row["id"] for row in overdue]
    yield QUERIES.lock_tasks_of, {"execution_ids": ids}
    rows = yield QUERIES.hold_executions, [{"id": execution_id} for execution_id in ids]
    late = [execution_of(row) for row in rows if _is_past(row["deadline_time"], now)]
    tasks = yield from tasks_of({execution.task_uid for execution in late})
    events: list[Event] = []
    for execution in late:
        events += yield from end_pending(execution, missed(execution, Reason.START_DEADLINE, now), now)
        events += yield from note_missed(tasks[execution.task_uid], now)
    return len(late), events


def count_open() -> Operation[Mapping[State, int]]:
    """Count the open executions."""
    rows = yield QUERIES.count_open, {}
    return {State(row["state"]): row["count"] for row in rows if row["state"] in STATES}


def _first_after(now: int, instants: Iterable[int]) -> datetime | None:
    first = min((time for time in instants if now < time < LAST), default=None)
    return None if first is None else from_micros(first)


def _is_past(stored: Any, now: datetime) -> bool:
    """Return whether a deadline is over; a number below all instants is over, too."""
    return isinstance(stored, int | float) and stored <= to_micros(now)


def _next_state(execution: Execution, report: Report, tasks: Mapping[str, Task]) -> Execution:
    if isinstance(report, HandBack):
        become = handed_back if report.began else never_begun
        return become(execution, tasks[execution.task_uid], report.time)
    if report.kind is None:
        return succeeded(execution, report)
    return after(execution, report, tasks[execution.task_uid])


def _time(report: Report) -> datetime:
    return report.time if isinstance(report, HandBack) else report.end_time


def take(groups: Sequence[tuple[Sequence[Row], Become]], now: datetime) -> Operation[WithEvents[int]]:
    """Settle attempts that are never reported, each group in its way, if they are still as they were read.

    What their owners report of them later is refused.
    """
    read = {row["id"]: row for rows, _ in groups for row in rows}
    ids = sorted(read)
    yield QUERIES.lock_tasks_of, {"execution_ids": ids}
    again = yield QUERIES.find_executions, [{"id": execution_id} for execution_id in ids]
    taken = {
        row["id"]: execution_of(row)
        for row in again
        if row["state"] == State.RUNNING and _is_as_read(row, read[row["id"]])
    }
    tasks = yield from tasks_of({execution.task_uid for execution in taken.values()})
    settlements = [
        Settlement(before=execution, after=become(execution, tasks[execution.task_uid], now), now=now)
        for rows, become in groups
        for execution in (taken[row["id"]] for row in rows if row["id"] in taken)
    ]
    events = yield from _settle(settlements)
    yield QUERIES.void_tokens, [{"id": execution_id} for execution_id in sorted(taken)]
    return len(settlements), events


def _is_as_read(row: Row, read: Row) -> bool:
    """Return whether an attempt is the one that was read. A worker that registers anew takes attempts with it."""
    return bool(row["lease_token"] == read["lease_token"] and row["lease_owner"] == read["lease_owner"])


def _running(reports: Mapping[Key, Report]) -> Operation[list[tuple[Execution, Report]]]:
    """Lock the reported executions that still run under their leases, and return them.

    An execution is as its owner claimed it, except for a cancel request: no other server writes a running one.
    """
    rows = yield QUERIES.hold_attempts, [{"id": each} for each in sorted({execution_id for execution_id, _ in reports})]
    held = {(row["id"], row["lease_token"]): row for row in rows}
    running = {key: report for key, report in reports.items() if key in held}
    unknown = sorted(key[0] for key, report in running.items() if report.claimed is None)
    read = yield QUERIES.find_executions, [{"id": execution_id} for execution_id in unknown]
    found = {row["id"]: execution_of(row) for row in read}
    return [(_as_wished(report.claimed or found[key[0]], held[key]), report) for key, report in running.items()]


def _asks_policy(report: Report) -> bool:
    """Return whether the next state depends on the task's policy, besides the report."""
    return isinstance(report, HandBack) or report.kind is not None


def _as_wished(execution: Execution, row: Row) -> Execution:
    """Return an execution with the wish for its end, if there is one."""
    if row["cancel_requested_time"] is None:
        return execution
    reading = Columns()
    cancel_requested = reading.instant("cancel_requested_time", row["cancel_requested_time"])
    return replace(
        execution,
        cancel_requested_time=cancel_requested,
        cancel_note=reading.text_or_none("cancel_note", row["cancel_note"]),
    )


def _settle(settlements: Sequence[Settlement]) -> Operation[list[Event]]:
    """Write the states that attempts left their executions in; count ends, and let the next ones through their gates.

    The caller has locked the executions' tasks, and has read since then that these attempts are still in progress.
    """
    in_order = sorted(settlements, key=lambda each: each.after.id)
    ended = [each for each in settlements if each.after.state.is_terminal]
    succeeded = [each.after for each in ended if each.after.state is State.SUCCEEDED]
    failed = [each.after for each in ended if each.after.state is State.FAILED]
    left = [each.before.task_uid for each in ended if each.before.gate is Gate.ACTIVE]
    written, _, over, awaited = yield from together(
        (
            QUERIES.settle_attempts,
            settled_attempts([each.after for each in in_order], [each.before.lease_token for each in in_order]),
        ),
        (QUERIES.note_successes, counted_ends(succeeded)),
        (QUERIES.end_alerts, no_longer_failing({each.task_uid: each for each in succeeded})),
        (QUERIES.gates_awaited, Table({"task_uid": list(dict.fromkeys(left))})),
    )
    if count(written) != len(settlements):
        raise AssertionError("what is settled was read, and held, in this transaction")
    yield QUERIES.note_failures, counted_ends(failed)
    yield QUERIES.note_runs, started_runs(each.after for each in ended if each.after.state not in COUNTED)
    events: list[Event] = [
        *(Transition(previous_state=each.before.state, execution=each.after, time=each.now) for each in settlements),
        *([AlertsChanged()] if over else []),
    ]
    events += yield from note_failures(failed)
    if awaited:
        events += yield from let_next_through(awaited, max(each.now for each in ended))
    return events
