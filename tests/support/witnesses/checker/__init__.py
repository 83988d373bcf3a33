"""The checker: reads a database afterwards and decides whether the promises of docs/promises.md hold.

It looks at the database with a bare driver and knows nothing of the store's code but its tables, so that a fault in the
store cannot hide from it. With a log of what was acknowledged to callers it also decides that nothing of that is gone.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from support.witnesses.checker.reading import Row, UnreadableError, read

from schedule_grpc.domain.execution import TRANSITIONS, State
from schedule_grpc.domain.schedule import parse

OPEN = ("PENDING", "RUNNING")
ENDED = tuple(state.value for state in State if not TRANSITIONS[state])
NEVER_RAN = ("SKIPPED", "MISSED")
REASONS = {
    "SKIPPED": {"OVERLAP", "TASK_DISABLED", "TASK_DELETED", "NO_WORKER"},
    "MISSED": {"START_DEADLINE", "CATCH_UP_WINDOW", "CATCH_UP_LIMIT", "CATCH_UP_NONE"},
    "FAILED": {None, "TASK_DELETED"},
}
CLOCKS_DIFFER_US = 50_000
"""Starts are told by the wall clock, durations by one that does not jump: they agree to this."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Acknowledged:
    """What clients were told: names of registered tasks, ids of recorded executions, ids told as SUCCEEDED."""

    tasks: Iterable[str] = field(default_factory=tuple)
    executions: Iterable[str] = field(default_factory=tuple)
    succeeded: Iterable[str] = field(default_factory=tuple)


def check(
    place: Path | str, acknowledged: Acknowledged | None = None, *, at_rest: bool = False, set_back: bool = False
) -> list[str]:
    """Return every broken promise found in a database, in words; an empty list says that all hold.

    Args:
        place: The file, or the URL of a PostgreSQL database.
        acknowledged: What callers were told, if they kept a log.
        at_rest: Whether nothing should be open any more.
        set_back: Whether the wall clock ever was: then what happened first need not have the earlier time.
    """
    try:
        return _check(place, acknowledged, at_rest=at_rest, set_back=set_back)
    except (UnreadableError, ValueError) as error:
        return [f"the file cannot be read: {error}"]


def _check(place: Path | str, acknowledged: Acknowledged | None, *, at_rest: bool, set_back: bool) -> list[str]:
    tasks, executions, integrity = read(place)
    found = [] if integrity == "ok" else [f"the file is damaged: {integrity}"]
    found += _rows_that_contradict_themselves(executions)
    found += _occurrences_with_two_rows(executions)
    found += _gates_held_twice(executions)
    found += [] if set_back else _attempts_side_by_side(executions)
    of_task: dict[str, list[Row]] = defaultdict(list)
    for row in executions:
        of_task[row["task_uid"]].append(row)
    for task in tasks:
        its = of_task[task["uid"]]
        found += [
            f"{row['id']}: is in another namespace than its task"
            for row in its
            if row["namespace"] != task["namespace"]
        ]
        found += _occurrences_not_accounted_for(task, its, set_back=set_back)
        found += _counts_too_low(task, its)
    if at_rest:
        found += [f"{row['id']}: still {row['state']}" for row in executions if row["state"] in OPEN]
    if acknowledged is not None:
        found += _acknowledged_and_gone(acknowledged, tasks, executions)
    return found


def _rows_that_contradict_themselves(executions: list[Row]) -> Iterator[str]:
    for row in executions:
        yield from (f"{row['id']}: {what}" for what in _contradictions(row))


def _contradictions(row: Row) -> Iterator[str]:  # noqa: C901, PLR0912 (a list of independent facts, one line each)
    state = row["state"]
    attempts = json.loads(row["failed_attempts"]) if row["failed_attempts"] else []
    if (state in ENDED) != (row["end_time"] is not None):
        yield f"state {state} with end_time {row['end_time']}"
    if state in ENDED and row["gate"] is not None:
        yield f"ended but at the gate as {row['gate']}"
    if state in OPEN and row["gate"] is None:
        yield "open but not at the gate"
    if row["deadline_time"] is not None and (state != "PENDING" or row["start_time"] is not None):
        yield f"{state} with a start deadline"
    if state in NEVER_RAN and row["start_time"] is not None:
        yield f"{state} although it started"
    if row["reason"] not in REASONS.get(state, {None}):
        yield f"{state} with the reason {row['reason']}"
    if row["gate"] == "WAITING" and (state != "PENDING" or row["deadline_time"] is not None):
        yield f"{state} waits at the gate with the start deadline {row['deadline_time']}"
    if state == "CANCELLED" and (row["cancel_requested_time"] is None or not row["error"]):
        yield f"cancelled, and nobody asked for it or said why: {row['error']}"
    if state == "PENDING" and row["cancel_requested_time"] is not None:
        yield "waits although its end was asked for"
    if (state == "FAILED") != (row["failure_kind"] is not None):
        yield f"{state} with the failure_kind {row['failure_kind']}"
    if (state == "RUNNING") != (row["lease_owner"] is not None):
        yield f"{state} with the owner {row['lease_owner']}"
    if state in ("SUCCEEDED", "FAILED", "RUNNING") and row["attempt"] < 1:
        yield f"{state} at attempt {row['attempt']}"
    if [attempt["number"] for attempt in attempts] != list(range(1, len(attempts) + 1)):
        yield f"failed attempts are numbered {[attempt['number'] for attempt in attempts]}"
    failed = {"SUCCEEDED": row["attempt"] - 1, "RUNNING": row["attempt"] - 1, "FAILED": row["attempt"]}
    if state in failed and len(attempts) != failed[state]:
        yield f"{state} at attempt {row['attempt']} with {len(attempts)} failed attempts"
    if row["end_time"] is not None and row["start_time"] is not None and row["end_time"] < row["start_time"]:
        yield "ended before it started"


def _occurrences_with_two_rows(executions: list[Row]) -> Iterator[str]:
    seen: dict[tuple[str, int], str] = {}
    for row in executions:
        if row["scheduled_time"] is None or row["state"] in NEVER_RAN:
            continue
        occurrence = (row["task_uid"], row["scheduled_time"])
        if occurrence in seen:
            yield f"{row['task_name']} at {_time(row['scheduled_time'])}: both {seen[occurrence]} and {row['id']}"
        seen[occurrence] = row["id"]


def _gates_held_twice(executions: list[Row]) -> Iterator[str]:
    """At most one execution of a task holds its gate, and where one waits for it, one does."""
    holders: dict[str, str] = {}
    for row in executions:
        if row["gate"] == "ACTIVE" and row["state"] in OPEN:
            if row["task_uid"] in holders:
                yield f"{row['task_name']}: the gate is held by {holders[row['task_uid']]} and {row['id']}"
            holders[row["task_uid"]] = row["id"]
    for row in executions:
        if row["gate"] == "WAITING" and row["task_uid"] not in holders:
            yield f"{row['id']}: waits for a gate that nobody holds"


def _attempts_side_by_side(executions: list[Row]) -> Iterator[str]:
    """Within an execution the next attempt begins after the one before has ended."""
    for row in executions:
        attempts = json.loads(row["failed_attempts"]) if row["failed_attempts"] else []
        starts = [attempt["start_us"] for attempt in attempts[1:]]
        if row["state"] in ("RUNNING", "SUCCEEDED"):
            starts.append(row["attempt_start_time"])
        for attempt, following in zip(attempts, starts, strict=False):
            if following < attempt["start_us"] + attempt["duration_us"] - CLOCKS_DIFFER_US:
                yield f"{row['id']}: attempt {attempt['number']} was not over when the next one began"


def _counts_too_low(task: Row, executions: list[Row]) -> Iterator[str]:
    """A task counts every end, also of those that have left its history since."""
    ends = Counter((row["state"], row["reason"]) for row in executions)
    for count, end in (("success_count", ("SUCCEEDED", None)), ("failure_count", ("FAILED", None))):
        if task[count] < ends[end]:
            yield f"{task['name']}: {count} is {task[count]}, and {ends[end]} are there"


def _occurrences_not_accounted_for(task: Row, executions: list[Row], *, set_back: bool) -> Iterator[str]:
    """Is the next run the first after the settled time, and is all before it accounted for?"""
    if task["delete_time"] is not None:
        for row in executions:
            if row["state"] == "PENDING":
                yield f"{row['id']}: waits although {task['name']} is deleted"
        return
    settled = _instant(task["settled_time"])
    stored_next = None if task["next_run_time"] is None else _instant(task["next_run_time"])
    expected_next = next(_occurrences(task, settled), None) if task["enabled"] else None
    if stored_next != expected_next:
        yield f"{task['name']}: next run {stored_next}, but the first after {settled} is {expected_next}"
    if task["revision"] > 1 and set_back:
        return  # under an older definition the task may have been settled up to later than this one began
    yield from _accounts_that_do_not_add_up(task, executions)


def _accounts_that_do_not_add_up(task: Row, executions: list[Row]) -> Iterator[str]:
    """Walk the schedule up to the settled time: each occurrence is a row's own or in its range.

    The walk begins where this definition does, for the file does not tell what the ones before it said.
    """
    # A backfill runs what was accounted for already, by a row or by a range: it is a further account of it.
    own = {
        row["scheduled_time"]
        for row in executions
        if row["scheduled_time"] is not None and row["trigger"] != "BACKFILL"
    }
    covering = [row for row in executions if row["covers_from"] is not None]
    covered: Counter[str] = Counter()
    begin = max(task["update_time"], task["pruned_time"] or 0)
    for occurrence in _occurrences(task, _instant(begin)):
        micros = (occurrence - EPOCH) // timedelta(microseconds=1)
        if micros > task["settled_time"]:
            break
        by = [row["id"] for row in covering if row["covers_from"] <= micros <= row["covers_to"]]
        covered.update(by)
        if (times := (micros in own) + len(by)) != 1:
            yield f"{task['name']}: the occurrence {occurrence} is accounted for {times} times"
    for row in covering:
        if row["covers_exact"] and row["covers_from"] > begin and row["covers_count"] != covered[row["id"]]:
            yield f"{row['id']}: covers {covered[row['id']]} occurrences and says {row['covers_count']}"


def _occurrences(task: Row, after: datetime) -> Iterator[datetime]:
    """Give what a task's schedule has in its window after an instant."""
    schedule = parse(task["schedule"], task["time_zone"])
    policy = json.loads(task["policy"])
    first, last = policy.get("start_time_us"), policy.get("end_time_us")
    occurrence = schedule.next_after(after if first is None else max(after, _instant(first - 1)))
    while occurrence is not None and (last is None or occurrence < _instant(last)):
        yield occurrence
        occurrence = schedule.next_after(occurrence)


def _acknowledged_and_gone(acknowledged: Acknowledged, tasks: list[Row], executions: list[Row]) -> Iterator[str]:
    names = {row["name"] for row in tasks}
    states = {row["id"]: row["state"] for row in executions}
    yield from (f"task {name} was acknowledged and is gone" for name in acknowledged.tasks if name not in names)
    yield from (f"{each} was acknowledged and is gone" for each in acknowledged.executions if each not in states)
    for execution_id in acknowledged.succeeded:
        if states.get(execution_id) != "SUCCEEDED":
            yield f"{execution_id} was told as SUCCEEDED and is {states.get(execution_id)}"


def _instant(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=micros)


def _time(micros: int) -> str:
    return _instant(micros).isoformat()
