"""Rows to values and back. Times are microseconds, JSON is text, flags are 0 or 1."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from itertools import product
from operator import itemgetter
from threading import Lock
from types import NoneType
from typing import Any, TypeVar

from msgspec.structs import replace

from schedule_grpc.database import Row
from schedule_grpc.domain.canonical_json import object_text
from schedule_grpc.domain.execution import CoveredRange, Execution, FailedAttempt, Gate, Reason, State, Trigger, bounded
from schedule_grpc.domain.policy import MAX_JITTER, Policy
from schedule_grpc.domain.read_only import read_only
from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.domain.schedule import Schedule, read_stored
from schedule_grpc.domain.task import EMPTY, FIELDS, OBJECT_FIELDS, TEXT_FIELDS, Definition, Task, TaskStats
from schedule_grpc.runtime.clock import MICROSECOND, from_micros, to_micros
from schedule_grpc.store.columns import MAX_COUNT, MAX_NUMBER, Columns
from schedule_grpc.store.policies import policy_text, stored_policy

E = TypeVar("E", bound=StrEnum)

LONGEST_DELAY = MAX_JITTER // MICROSECOND
TASKS_KEPT = 4096
_TASKS_READ: dict[tuple[Any, ...], Task] = {}
_TASKS_LOCK = Lock()
DEFINITIONS_KEPT = 20_000
"""Parsed definitions kept by their columns: a task is read each time that it is due, and rarely changes."""
_DEFINITION = ("namespace", "name", *FIELDS, "policy")
_COUNTS = ("revision", "success_count", "failure_count", "consecutive_failures")
_KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys((*_DEFINITION, "uid", "note", "changed_by"), (str,)),
    **dict.fromkeys(("enabled", "start_delay", *_COUNTS, "create_time", "update_time", "settled_time"), (int,)),
    **dict.fromkeys(
        ("next_run_time", "last_run_time", "delete_time", "last_success_time", "last_failure_time"), (int, NoneType)
    ),
}
_PLAIN = frozenset(product(*_KINDS.values()))
"""The kinds of the values in a row of a task as it is written."""
_BY_NAME: Callable[[Any], tuple[Any, ...]] = itemgetter(*_KINDS)


def micros(instant: datetime | None) -> int | None:
    """Return the column's value of an instant."""
    return None if instant is None else to_micros(instant)


def definition_columns(definition: Definition) -> dict[str, str]:
    """Return a definition's columns, except for its namespace and name: equal texts are equal definitions."""
    fields = definition.fields()
    objects = {name: object_text(fields[name]) for name in OBJECT_FIELDS}
    return {**fields, **objects, "policy": policy_text(definition.policy)}


def has_place(row: Row) -> bool:
    """Return whether all columns of a task's place can be read."""
    reading = Columns()
    reading.count("revision", row["revision"])
    reading.required_instant("settled_time", row["settled_time"])
    reading.instant("next_run_time", row["next_run_time"])
    reading.count("start_delay", row["start_delay"], LONGEST_DELAY)
    return not reading.troubles


def task_parameters(task: Task) -> dict[str, Any]:
    """Return the parameters of insert_tasks and update_tasks."""
    definition = task.definition
    columns = definition_columns(definition) | {
        "uid": task.uid,
        "namespace": definition.namespace,
        "name": definition.name,
        "revision": task.revision,
        "enabled": int(task.enabled),
        "category": definition.category,
        "note": task.note,
        "changed_by": task.changed_by,
        "create_time": to_micros(task.create_time),
        "update_time": to_micros(task.update_time),
        "settled_time": to_micros(task.settled_time),
        "next_run_time": micros(task.next_run_time),
        "start_delay": task.start_delay // MICROSECOND,
        "delete_time": micros(task.delete_time),
        "overdue_grace": definition.policy.overdue_grace // MICROSECOND or None,
    }
    return columns | dict(definition.unread)  # an unreadable column is kept, for programs that can read it


def task_of(row: Row) -> Task:
    """Return the task in a row of scheduled_tasks; what cannot be read of it is named in its definition's ``troubles``.

    But for facts about its past, on which nothing depends: those are unknown then, and its next runs write them anew.
    """
    place, past = Columns(), Columns()
    task = Task(
        definition=_definition(*[row[column] for column in _DEFINITION]),
        uid=row["uid"],
        revision=place.count("revision", row["revision"]),
        enabled=bool(row["enabled"]),
        create_time=past.required_instant("create_time", row["create_time"]),
        update_time=past.required_instant("update_time", row["update_time"]),
        settled_time=place.required_instant("settled_time", row["settled_time"]),
        next_run_time=place.instant("next_run_time", row["next_run_time"]),
        start_delay=place.count("start_delay", row["start_delay"], LONGEST_DELAY) * MICROSECOND,
        last_run_time=past.instant("last_run_time", row["last_run_time"]),
        delete_time=None if row["delete_time"] is None else past.required_instant("delete_time", row["delete_time"]),
        note=past.text("note", row["note"]),
        changed_by=past.text("changed_by", row["changed_by"]),
        stats=TaskStats(
            success_count=past.count("success_count", row["success_count"]),
            failure_count=past.count("failure_count", row["failure_count"]),
            consecutive_failures=past.count("consecutive_failures", row["consecutive_failures"]),
            last_success_time=past.instant("last_success_time", row["last_success_time"]),
            last_failure_time=past.instant("last_failure_time", row["last_failure_time"]),
        ),
    )
    return replace(task, definition=_troubled(task.definition, place)) if place.troubles else task


def tasks_in(rows: Sequence[Row]) -> list[Task]:
    """Return the tasks in rows of scheduled_tasks that one statement has read: what `task_of` returns of each, sooner.

    Where all values of a row are of the kinds that are written, none is checked by itself.
    """
    return [_plain_task(*_BY_NAME(row)) or task_of(row) for row in rows]


def _plain_task(*row: Any) -> Task | None:
    """Return the task in a row of plain values; None where a value is of another kind, or beyond what it may be."""
    if tuple(map(type, row)) not in _PLAIN:
        return None
    definition, others = row[: len(_DEFINITION)], row[len(_DEFINITION) :]
    (uid, note, changed_by, enabled, start_delay), counts, times = others[:5], others[5:9], others[9:]
    if not (0 <= min(counts) <= max(counts) <= MAX_COUNT and 0 <= start_delay <= LONGEST_DELAY):
        return None
    try:
        instants: list[Any] = [None if stored is None else from_micros(stored) for stored in times]
    except OverflowError:
        return None
    created, updated, settled, next_run, last_run, deleted, last_success, last_failure = instants
    return Task(
        definition=_definition(*definition),
        uid=uid,
        revision=counts[0],
        enabled=bool(enabled),
        create_time=created,
        update_time=updated,
        settled_time=settled,
        next_run_time=next_run,
        start_delay=start_delay * MICROSECOND,
        last_run_time=last_run,
        delete_time=deleted,
        note=note,
        changed_by=changed_by,
        stats=TaskStats(
            success_count=counts[1],
            failure_count=counts[2],
            consecutive_failures=counts[3],
            last_success_time=last_success,
            last_failure_time=last_failure,
        ),
    )


def values_of(row: Row) -> tuple[Any, ...]:
    """Return the values of a row, in the order of its columns."""
    given: Any = row  # a driver's row is iterated by its values, a mapping by its columns
    return tuple(given.values() if type(given) is dict or isinstance(given, Mapping) else given)


def task_read_again(row: Row) -> Task:
    """Return the same as `task_of`, and the same value as long as the row is the same: callers ask again and again."""
    values = values_of(row)  # no two of different kinds are equal: a column of numbers makes a whole number of 1.0
    found = _TASKS_READ.get(values)
    if found is None:
        found = task_of(row)
        with _TASKS_LOCK:  # several threads read
            if len(_TASKS_READ) >= TASKS_KEPT:
                del _TASKS_READ[next(iter(_TASKS_READ))]
            _TASKS_READ[values] = found
    return found


def execution_of(row: Row) -> Execution:
    """Return the execution in a row of task_executions; what cannot be read of it is named in its ``troubles``."""
    reading = _Reading()
    return Execution(
        id=row["id"],
        task_uid=row["task_uid"],
        task_name=reading.text("task_name", row["task_name"]),
        namespace=reading.text("namespace", row["namespace"]),
        handler=reading.text("handler", row["handler"]),
        trigger=reading.word(Trigger, "trigger", row["trigger"]) or Trigger.UNKNOWN,
        state=reading.word(State, "state", row["state"]) or State.UNKNOWN,
        create_time=reading.required_instant("create_time", row["create_time"]),
        available_time=reading.required_instant("available_time", row["available_time"]),
        revision=reading.count("revision", row["revision"]),
        scheduled_time=reading.instant("scheduled_time", row["scheduled_time"]),
        covers=None if row["covers_from"] is None else reading.covers(row),
        deadline_time=reading.instant("deadline_time", row["deadline_time"]),
        start_time=reading.instant("start_time", row["start_time"]),
        attempt_start_time=reading.instant("attempt_start_time", row["attempt_start_time"]),
        end_time=reading.instant("end_time", row["end_time"]),
        reason=reading.word(Reason, "reason", row["reason"]),
        failure_kind=reading.word(FailureKind, "failure_kind", row["failure_kind"]),
        gate=reading.word(Gate, "gate", row["gate"]),
        attempt=reading.count("attempt", row["attempt"], MAX_NUMBER - 1),
        failed_attempts=reading.failed_attempts(row["failed_attempts"]),
        hand_backs=reading.count("hand_backs", row["hand_backs"]),
        lease_token=row["lease_token"],
        worker=reading.text_or_none("worker", row["worker"]),
        cancel_requested_time=reading.instant("cancel_requested_time", row["cancel_requested_time"]),
        cancel_note=reading.text_or_none("cancel_note", row["cancel_note"]),
        request_id=reading.text_or_none("request_id", row["request_id"]),
        triggered_by=reading.text_or_none("triggered_by", row["triggered_by"]),
        traceparent=reading.text_or_none("traceparent", row["traceparent"]),
        payload=None if row["payload"] is None else read_only(reading.json_object("payload", row["payload"])),
        result=read_only(reading.json("result", row["result"])),
        error=reading.text_or_none("error", row["error"]),
        troubles=tuple(reading.troubles),
    )


def can_begin(row: Row) -> bool:
    """Return whether all columns that an attempt of an execution needs can be read."""
    reading = _Reading()
    reading.word(Trigger, "trigger", row["trigger"])
    reading.json("payload", row["payload"])
    reading.required_instant("available_time", row["available_time"])
    reading.instant("scheduled_time", row["scheduled_time"])
    reading.count("attempt", row["attempt"], MAX_NUMBER - 1)
    return not reading.troubles


@lru_cache(maxsize=DEFINITIONS_KEPT)
def _definition(*columns: str) -> Definition:
    """Return the definition in its columns, in the order of `_DEFINITION`."""
    stored = dict(zip(_DEFINITION, columns, strict=True))
    reading = _Reading()
    texts = (reading.text(column, stored[column]) for column in ("namespace", "name", "schedule", "time_zone"))
    namespace, name, schedule, zone = texts
    fields: dict[str, Any] = {
        "schedule": reading.schedule(schedule, zone),
        **{column: reading.text(column, stored[column]) for column in TEXT_FIELDS},
        **{column: reading.shared_object(column, stored[column]) for column in OBJECT_FIELDS},
        "policy": reading.policy(stored["policy"]),
    }
    return Definition(
        namespace=namespace,
        name=name,
        **fields,
        troubles=tuple(reading.troubles),
        unread=tuple(reading.unread.items()),
    )


def _troubled(definition: Definition, place: Columns) -> Definition:
    return replace(
        definition,
        troubles=(*definition.troubles, *place.troubles),
        unread=(*definition.unread, *place.unread.items()),
    )


class _Reading(Columns):
    """Reads what has a form of its own, too: JSON, words, a schedule, a policy."""

    def schedule(self, text: str, time_zone: str) -> Schedule:
        found, trouble = read_stored(text, time_zone)
        self.troubles += [] if trouble is None else [trouble]
        return found

    def shared_object(self, column: str, text: str) -> Mapping[str, Any]:
        """Return a JSON object, read-only; most are empty."""
        return EMPTY if text == "{}" else read_only(self.json_object(column, text))

    def covers(self, row: Row) -> CoveredRange | None:
        known = len(self.troubles)
        covers = CoveredRange(
            from_time=self.required_instant("covers_from", row["covers_from"]),
            to_time=self.required_instant("covers_to", row["covers_to"]),
            count=self.count("covers_count", row["covers_count"]),
            exact=bool(row["covers_exact"]),
        )
        return covers if len(self.troubles) == known else None

    def failed_attempts(self, text: str | None) -> tuple[FailedAttempt, ...]:
        try:
            return bounded([_attempt_of(stored) for stored in self.json("failed_attempts", text) or ()])
        except (ValueError, TypeError, KeyError, OverflowError):
            self.cannot_read("failed_attempts", text or "", "this program does not know their form")
            return ()

    def policy(self, text: str) -> Policy:
        """Return a stored policy; a field that an older row lacks has its default."""
        found, reading = stored_policy(text)
        self.troubles += reading.troubles
        self.unread |= reading.unread
        return found


def _attempt_of(stored: dict[str, Any]) -> FailedAttempt:
    number, error = stored["number"], stored["error"]
    worker = stored.get("worker", "")
    if type(number) is not int or not 0 <= number <= MAX_NUMBER or not isinstance(error, str):
        raise ValueError(number)
    return FailedAttempt(
        number=number,
        start_time=from_micros(stored["start_us"]),
        duration=stored["duration_us"] * MICROSECOND,
        failure_kind=FailureKind(stored["failure_kind"]),
        error=error,
        worker=worker if isinstance(worker, str) else "",
    )
