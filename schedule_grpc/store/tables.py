"""Parameters of statements over many executions or tasks, column by column: a value that all share is made once."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from operator import itemgetter
from typing import Any, TypeVar

from schedule_grpc.database import Table
from schedule_grpc.domain.canonical_json import encode, object_text
from schedule_grpc.domain.condition import FAILING
from schedule_grpc.domain.execution import Execution, FailedAttempt, State
from schedule_grpc.domain.planning import Firing
from schedule_grpc.runtime.clock import MICROSECOND, to_micros

T = TypeVar("T")


def new_executions(executions: Sequence[Execution], lease_owner: str | None = None, *, alone: bool = False) -> Table:
    """Return the rows of insert_executions; ``lease_owner`` runs those that have begun.

    If they are ``alone``, the statement leaves out open executions whose tasks have other open ones.
    """
    covers = [each.covers for each in executions]
    return Table(
        {
            "id": [each.id for each in executions],
            "task_uid": [each.task_uid for each in executions],
            "namespace": [each.namespace for each in executions],
            "task_name": [each.task_name for each in executions],
            "handler": [each.handler for each in executions],
            "trigger": words([each.trigger for each in executions]),
            "scheduled_time": instants([each.scheduled_time for each in executions]),
            "covers_from": instants([None if each is None else each.from_time for each in covers]),
            "covers_to": instants([None if each is None else each.to_time for each in covers]),
            "covers_count": [None if each is None else each.count for each in covers],
            "covers_exact": [None if each is None else int(each.exact) for each in covers],
            "create_time": instants([each.create_time for each in executions]),
            "available_time": instants([each.available_time for each in executions]),
            "deadline_time": instants([each.deadline_time for each in executions]),
            "start_time": instants([each.start_time for each in executions]),
            "attempt_start_time": instants([each.attempt_start_time for each in executions]),
            "end_time": instants([each.end_time for each in executions]),
            "state": words([each.state for each in executions]),
            "reason": words([each.reason for each in executions]),
            "gate": words([each.gate for each in executions]),
            "attempt": [each.attempt for each in executions],
            "lease_owner": [lease_owner if each.state is State.RUNNING else None for each in executions],
            "lease_token": [each.lease_token for each in executions],
            "request_id": [each.request_id for each in executions],
            "triggered_by": [each.triggered_by for each in executions],
            "traceparent": [each.traceparent for each in executions],
            "revision": [each.revision for each in executions],
            "payload": [None if each.payload is None else object_text(each.payload) for each in executions],
            "alone": [int(alone and each.gate is not None) for each in executions],
        }
    )


def first_runs(executions: Sequence[Execution]) -> Table:
    """Return the rows of note_first_runs for executions that have just begun."""
    return Table(
        {
            "uid": [each.task_uid for each in executions],
            "start_time": instants([each.start_time for each in executions]),
            "scheduled_time": instants([each.scheduled_time for each in executions]),
        }
    )


def begun_executions(executions: Sequence[Execution], lease_owners: Sequence[str]) -> Table:
    """Return the rows of claim_executions; each execution is run by the owner at its place."""
    return Table(
        {
            "id": [each.id for each in executions],
            "attempt": [each.attempt for each in executions],
            "attempt_start_time": instants([each.attempt_start_time for each in executions]),
            "start_time": instants([each.start_time for each in executions]),
            "lease_owner": lease_owners,
            "lease_token": [each.lease_token for each in executions],
            "worker": [each.worker for each in executions],
            "revision": [each.revision for each in executions],
        }
    )


def settled_attempts(executions: Sequence[Execution], lease_tokens: Sequence[str | None]) -> Table:
    """Return the rows of settle_attempts: the executions as attempts under these leases left them."""
    return Table(
        {
            **_what_attempts_leave(executions),
            "lease_token": lease_tokens,
            "hand_backs": [each.hand_backs for each in executions],
            "gate": words([each.gate for each in executions]),
            "available_time": instants([each.available_time for each in executions]),
        }
    )


def ended_pending(execution: Execution) -> Mapping[str, Any]:
    """Return the parameters of end_pending."""
    columns = {
        **_what_attempts_leave([execution]),
        "cancel_requested_time": instants([execution.cancel_requested_time]),
        "cancel_note": [execution.cancel_note],
    }
    return Table(columns)[0]


def advanced_tasks(firings: Sequence[Firing]) -> Table:
    """Return the rows of advance_tasks."""
    tasks = [firing.task for firing in firings]
    return Table(
        {
            "uid": [task.uid for task in tasks],
            "revision": [task.revision for task in tasks],
            "read_next_run_time": instants([task.next_run_time for task in tasks]),
            "settled_time": instants([firing.settled_time for firing in firings]),
            "next_run_time": instants([firing.next_run_time for firing in firings]),
            "start_delay": [firing.start_delay // MICROSECOND for firing in firings],
        }
    )


def started_runs(executions: Iterable[Execution]) -> Table:
    """Return the rows of note_runs: the newest start of each task."""
    starts = [(each.task_uid, each.start_time or each.attempt_start_time or each.end_time) for each in executions]
    newest = _newest([(uid, start) for uid, start in starts if start is not None])
    uids = sorted(newest)
    return Table({"uid": uids, "start_time": instants([newest[uid] for uid in uids])})


def counted_ends(ended: Sequence[Execution]) -> Table:
    """Return the rows of note_successes and note_failures: one for each task."""
    started = started_runs(ended)
    uids = started.columns["uid"]
    number = Counter([execution.task_uid for execution in ended])
    newest = _newest([(each.task_uid, each.end_time or each.create_time) for each in ended])
    return Table(
        {
            **started.columns,
            "added": [number[uid] for uid in uids],
            "end_time": instants([newest[uid] for uid in uids]),
        }
    )


def no_longer_failing(succeeded: Mapping[str, Execution]) -> Table:
    """Return the rows of end_alerts for tasks, by their uids, that had an execution succeed."""
    return Table(
        {
            "task_uid": list(succeeded),
            "key": [FAILING] * len(succeeded),
            "now": instants([execution.end_time for execution in succeeded.values()]),
        }
    )


def instants(column: Sequence[datetime | None]) -> Sequence[int | None]:
    """Return the column's values of instants."""
    return _each(to_micros, column)


def words(column: Sequence[StrEnum | None]) -> Sequence[str | None]:
    """Return the column's values of enums."""
    return _each(str, column)


def _newest(times: Iterable[tuple[str, datetime]]) -> dict[str, datetime]:
    """Return of each key its latest time."""
    return dict(sorted(times, key=itemgetter(1)))


def _what_attempts_leave(executions: Sequence[Execution]) -> dict[str, Sequence[Any]]:
    return {
        "id": [each.id for each in executions],
        "state": words([each.state for each in executions]),
        "reason": words([each.reason for each in executions]),
        "failure_kind": words([each.failure_kind for each in executions]),
        "attempt": [each.attempt for each in executions],
        "failed_attempts": [_attempts_text(each.failed_attempts) for each in executions],
        "end_time": instants([each.end_time for each in executions]),
        "result": [None if each.result is None else encode(each.result) for each in executions],
        "error": [each.error for each in executions],
    }


def _attempts_text(attempts: Sequence[FailedAttempt]) -> str | None:
    return encode([_attempt_json(attempt) for attempt in attempts]) if attempts else None


def _attempt_json(attempt: FailedAttempt) -> dict[str, Any]:
    written = {
        "number": attempt.number,
        "start_us": to_micros(attempt.start_time),
        "duration_us": attempt.duration // MICROSECOND,
        "failure_kind": attempt.failure_kind.value,
        "error": attempt.error,
    }
    return written | {"worker": attempt.worker} if attempt.worker else written


def _each(made: Callable[[T], Any], column: Sequence[T | None]) -> Sequence[Any]:
    """Make each value of a column, once if all are alike."""
    first = column[0] if column else None
    if column.count(first) == len(column):
        return [None if first is None else made(first)] * len(column)
    return [None if value is None else made(value) for value in column]
