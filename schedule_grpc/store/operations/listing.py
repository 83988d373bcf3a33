"""Operations that list tasks as callers look for them, and that tell what the tasks' executions are doing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from schedule_grpc.database import ByPlace, Operation, Row
from schedule_grpc.domain.listing import (
    MOST_EXAMINED,
    OVERDUE_AFTER,
    RUNS_IN_STRIP,
    LastOutcome,
    RunMark,
    TaskActivity,
    TaskFilter,
    TaskOrder,
    TaskPlace,
    TaskState,
)
from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.domain.states import Reason, State, Trigger
from schedule_grpc.domain.task import Task
from schedule_grpc.runtime.clock import to_micros
from schedule_grpc.store.columns import Columns
from schedule_grpc.store.listed_tasks import COLUMNS, LISTED, places_in
from schedule_grpc.store.queries import QUERIES

AFTER_EVERY_NAME = "\U0010ffff"
_NAMED_LIKE = ByPlace(QUERIES.tasks_named_like)
_BY_NEXT_RUN = ByPlace(QUERIES.tasks_by_next_run)
_WITHOUT_NEXT_RUN = ByPlace(QUERIES.tasks_without_next_run)
_SORTED = ByPlace(QUERIES.tasks_sorted)
_IN_STATES = ByPlace(QUERIES.tasks_in_states)
_SMALL = 2000
"""Tasks of a namespace that are sorted sooner than picked from the index of all namespaces' next runs."""

_NEVER = 2**63 - 1
"""The number of tasks without a next run."""

Listed: TypeAlias = tuple[Task, TaskPlace]


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """Tasks of one reading, each with its place in the order that was asked for."""

    listed: tuple[Listed, ...] = ()
    ended_at: TaskPlace | None = None
    """Where the search ended because it had examined `MOST_EXAMINED` tasks; None: it went as far as it was to."""
    too_many: bool = False
    """Whether nothing was searched, because more than `MOST_EXAMINED` tasks would have to be sorted."""


def search_tasks(namespace: str, chosen: TaskFilter, after: TaskPlace, limit: int, now: datetime) -> Operation[Found]:
    """Read living tasks of a namespace that a filter chooses, in its order, from a place on."""
    parameters = _parameters(namespace, chosen, after, limit)
    if chosen.states:
        rows = yield _IN_STATES, parameters | _states(chosen, now)
        return Found(listed=(yield from _whole(rows)))
    if chosen.order is TaskOrder.NAME:
        return (yield from _named_like(parameters))
    if chosen.order is TaskOrder.NEXT and not chosen.query and (yield from _has_more(parameters, _SMALL)):
        rows = list((yield _BY_NEXT_RUN, parameters)) if after.number < _NEVER else []
        if len(rows) < limit:
            rows += yield _WITHOUT_NEXT_RUN, parameters | {"limit": limit - len(rows)}
        return Found(listed=(yield from _whole(rows)))
    if (yield from _has_more(parameters, MOST_EXAMINED)):
        return Found(too_many=True)
    rows = yield _SORTED, parameters
    return Found(listed=(yield from _whole(rows)))


def activities(uids: Sequence[str]) -> Operation[dict[str, TaskActivity]]:
    """Read what the executions of some tasks are doing, by the uids of the tasks."""
    asked = [{"task_uid": uid} for uid in uids]
    lasts = {row["task_uid"]: _outcome(row) for row in (yield QUERIES.last_outcomes, asked)}
    counts = {row["task_uid"]: (row["running"], row["waiting"]) for row in (yield QUERIES.open_counts, asked)}
    found = {}
    for uid in uids:
        running, waiting = counts.get(uid, (0, 0))
        found[uid] = TaskActivity(last=lasts.get(uid), running=running, waiting=waiting)
    return found


def newest_runs(namespace: str, uids: Sequence[str]) -> Operation[dict[str, tuple[str, tuple[RunMark, ...]]]]:
    """Read the newest executions of some tasks of a namespace: by uid, the task's name, and they, the oldest first."""
    rows = yield QUERIES.newest_runs, [{"task_uid": uid, "namespace": namespace} for uid in uids]
    runs: dict[str, list[Row]] = {}
    for row in rows:
        runs.setdefault(row["task_uid"], []).append(row)
    found = {}
    for uid, of_task in runs.items():
        of_task.sort(key=lambda row: (row["create_time"], row["id"]))
        found[uid] = of_task[-1]["task_name"], tuple(map(_mark, of_task[-RUNS_IN_STRIP:]))
    return found


def _named_like(parameters: Mapping[str, Any]) -> Operation[Found]:
    """Read tasks with a text in the order of their names, as far as one call examines them."""
    bounds = yield QUERIES.name_at, {**_range(parameters), "places": MOST_EXAMINED - 1}
    last = bounds[0]["name"] if bounds else AFTER_EVERY_NAME
    rows = yield _NAMED_LIKE, {**parameters, "last": last}
    listed = yield from _whole(rows)
    ended = bool(bounds) and len(listed) < parameters["limit"]
    return Found(listed=listed, ended_at=TaskPlace(number=0, name=last) if ended else None)


def _has_more(parameters: Mapping[str, Any], count: int) -> Operation[bool]:
    """Read whether a namespace has more living tasks than ``count``, of those whose names begin as is asked."""
    rows = yield QUERIES.name_at, {**_range(parameters), "after": "", "places": count}
    return bool(rows)


def _range(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: parameters[name] for name in ("namespace", "after", "name_from", "name_to")}


def _whole(rows: Sequence[Row]) -> Operation[tuple[Listed, ...]]:
    """Read the tasks of some places, those that did not change since the last time from memory."""
    places = places_in(rows)
    known = {place[0]: LISTED.known(place[: len(COLUMNS)]) for place in places}
    whole = yield QUERIES.find_tasks, [{"uid": uid} for uid, task in known.items() if task is None]
    known |= {row["uid"]: LISTED.learn(row) for row in whole}
    listed = []
    for uid, *_, number, name in places:
        task = known[uid]
        if task is not None:
            listed.append((task, TaskPlace(number=number, name=name)))
    return tuple(listed)


def _parameters(namespace: str, chosen: TaskFilter, after: TaskPlace, limit: int) -> dict[str, Any]:
    return {
        "namespace": namespace,
        "place": after.number,
        "after": after.name,
        "name_from": chosen.name_prefix,
        "name_to": chosen.name_prefix + AFTER_EVERY_NAME if chosen.name_prefix else None,
        "enabled": None if chosen.enabled is None else int(chosen.enabled),
        "handler": chosen.handler,
        "category": chosen.category,
        "pattern": _pattern(chosen.query),
        "order": chosen.order.value,
        "limit": limit,
    }


def _states(chosen: TaskFilter, now: datetime) -> dict[str, Any]:
    asked = {state.value.lower(): int(state in chosen.states) for state in TaskState}
    return asked | {"late": to_micros(now - OVERDUE_AFTER)}


def _pattern(query: str) -> str:
    """Return the LIKE pattern of a text: none of its characters stands for others, and its ASCII letters are small."""
    small = "".join(each.lower() if each.isascii() else each for each in query)
    escaped = small.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%" if query else ""


def _outcome(row: Row) -> LastOutcome:
    reading = Columns()
    return LastOutcome(
        execution_id=row["id"],
        state=reading.word(State, "state", row["state"]) or State.UNKNOWN,
        reason=reading.word(Reason, "reason", row["reason"]),
        failure_kind=reading.word(FailureKind, "failure_kind", row["failure_kind"]),
        start_time=reading.instant("start_time", row["start_time"]),
        end_time=reading.required_instant("end_time", row["end_time"]),
    )


def _mark(row: Row) -> RunMark:
    reading = Columns()
    return RunMark(
        id=row["id"],
        state=reading.word(State, "state", row["state"]) or State.UNKNOWN,
        reason=reading.word(Reason, "reason", row["reason"]),
        failure_kind=reading.word(FailureKind, "failure_kind", row["failure_kind"]),
        trigger=reading.word(Trigger, "trigger", row["trigger"]) or Trigger.UNKNOWN,
        attempt=reading.count("attempt", row["attempt"]),
        create_time=reading.required_instant("create_time", row["create_time"]),
        scheduled_time=reading.instant("scheduled_time", row["scheduled_time"]),
        start_time=reading.instant("start_time", row["start_time"]),
        end_time=reading.instant("end_time", row["end_time"]),
    )
