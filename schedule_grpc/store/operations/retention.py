"""Operations that take from the history what retention does not keep."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from schedule_grpc.database import Operation, Row, Rows, together
from schedule_grpc.domain.task import Task
from schedule_grpc.runtime.clock import MICROSECOND, to_micros
from schedule_grpc.store.columns import holds_instant
from schedule_grpc.store.operations.retention_round import LOOK_AGAIN, Round
from schedule_grpc.store.queries import QUERIES
from schedule_grpc.store.rows import task_of
from schedule_grpc.store.with_events import WithEvents

MARK = "retention"


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """A task's history, as retention finds it.

    ``surplus`` are the ids of ended executions that it does not keep; ``next_look`` is when to look again, in
    microseconds, None if no row will become surplus by time alone, and ``planned`` the value in the task's row.
    """

    task: Task
    surplus: tuple[str, ...] = ()
    next_look: int | None = None
    planned: int | None = None
    empty: bool = False

    @property
    def loses_something(self) -> bool:
        """Whether something is to be removed: executions, or the task itself, deleted and without history."""
        return bool(self.surplus) or (self.empty and self.task.delete_time is not None)

    def is_planned(self, now: datetime) -> bool:
        """Return whether the task's row plans the next look early enough, or none where none is needed."""
        if self.planned is None or self.next_look is None:
            return self.planned is None and self.next_look is None
        return to_micros(now) < self.planned <= self.next_look


def begin_round(now: datetime) -> Operation[Round]:
    """Begin a round where the one before ended."""
    marks = yield QUERIES.upkeep_mark, {"name": MARK}
    namespaces = yield QUERIES.namespace_names, {}
    return Round.following(marks[0] if marks else None, [row["name"] for row in namespaces], now)


def end_round(finished: Round) -> Operation[WithEvents[None]]:
    """Note that everything up to the beginning of a round was looked at."""
    yield QUERIES.note_upkeep, {"name": MARK, "instant": to_micros(finished.begun), "word": finished.others_after}
    return None, ()


def next_histories(current: Round) -> Operation[tuple[tuple[str, ...], Round]]:
    """Find the tasks whose histories a round looks at next; return their uids, and the round behind them."""
    source = current.sources[0]
    rows = yield source.sql, source.parameters(current.begun)
    return tuple(dict.fromkeys(row["uid"] for row in rows)), current.behind(rows)


def histories(task_uids: Sequence[str], now: datetime, limit: int) -> Operation[tuple[History, ...]]:
    """Look at the histories of tasks, one by one, until ``limit`` executions are found that are not kept."""
    rows = yield QUERIES.find_tasks, [{"uid": uid} for uid in task_uids]
    tasks = {row["uid"]: row for row in rows}  # a server answers in any order
    found: list[History] = []
    for row in (tasks[uid] for uid in task_uids if uid in tasks):
        if limit <= 0:
            break
        history = yield from _history(row, now, limit)
        limit -= len(history.surplus)
        found.append(history)
    return tuple(found)


def remove(found: Sequence[History], now: datetime) -> Operation[WithEvents[int]]:
    """Remove surplus executions with their lines, and deleted tasks without history; return the number of both."""
    yield QUERIES.lock_tasks, {"uids": [history.task.uid for history in found]}
    surplus = sorted(execution_id for history in found for execution_id in history.surplus)
    removed = yield QUERIES.remove_execution, [{"id": execution_id} for execution_id in surplus]
    gone = [{"id": row["id"]} for row in removed]
    yield from together((QUERIES.remove_logs_of, gone), (QUERIES.remove_progress_of, gone))
    yield QUERIES.note_pruned, _pruned_times(removed)
    deleted = [{"uid": history.task.uid} for history in found if history.task.delete_time is not None]
    tombstones = yield QUERIES.remove_task, deleted
    yield QUERIES.look_again, _looks(found, now)
    return len(removed) + len(tombstones), ()


def look_again(found: Sequence[History], now: datetime) -> Operation[WithEvents[None]]:
    """Note when histories are to be looked at again."""
    yield QUERIES.lock_tasks, {"uids": [history.task.uid for history in found]}
    yield QUERIES.look_again, _looks(found, now)
    return None, ()


def _history(row: Row, now: datetime, limit: int) -> Operation[History]:
    task, planned = task_of(row), row["prune_time"]
    if task.trouble and task.delete_time is None:
        return History(task=task, planned=planned)  # what its retention keeps may be what cannot be read
    kept = task.policy.retention
    (seen,) = yield QUERIES.history_of, {"task_uid": task.uid, "kept": kept.max_count}
    surplus = yield from _surplus(task, now, limit, too_many=seen["too_many"] is not None)
    soon = to_micros(now + LOOK_AGAIN)
    next_look: int | None = soon
    if not surplus and not seen["any_open"]:
        next_look = _too_old_at(seen["oldest"], kept.max_age, soon)
    return History(task=task, surplus=surplus, next_look=next_look, planned=planned, empty=seen["oldest"] is None)


def _surplus(task: Task, now: datetime, limit: int, *, too_many: bool) -> Operation[tuple[str, ...]]:
    kept = task.policy.retention
    before = {"task_uid": task.uid, "before": to_micros(now - kept.max_age), "limit": limit}
    rows = yield QUERIES.ended_before, before
    found = [row["id"] for row in rows]
    for newest, up_to in (
        (QUERIES.surplus_that_ran, QUERIES.ended_that_ran_up_to),
        (QUERIES.surplus_that_never_ran, QUERIES.never_ran_up_to),
    ):
        places: Rows = ()
        if too_many:
            places = yield newest, {"task_uid": task.uid, "kept": kept.max_count}
        for place in places:
            parameters = {"task_uid": task.uid, "limit": limit, "create_time": place["create_time"], "id": place["id"]}
            rows = yield up_to, parameters
            found += [row["id"] for row in rows]
    return tuple(dict.fromkeys(found))


def _too_old_at(oldest: Any, max_age: timedelta, soon: int) -> int | None:
    """Return when an execution created at ``oldest`` can be too old, but not before ``soon``; None if there is none."""
    if oldest is None:
        return None
    if not holds_instant(oldest):
        return soon
    return max(soon, int(oldest) + max_age // MICROSECOND)


def _pruned_times(removed: Rows) -> list[dict[str, Any]]:
    newest: dict[str, int] = {}
    for row in removed:
        if holds_instant(row["scheduled_time"]):
            newest[row["task_uid"]] = max(newest.get(row["task_uid"], row["scheduled_time"]), row["scheduled_time"])
    return [{"uid": uid, "pruned_time": time} for uid, time in newest.items()]


def _looks(found: Sequence[History], now: datetime) -> list[dict[str, Any]]:
    return [
        {"uid": history.task.uid, "prune_time": history.next_look}
        for history in sorted(found, key=lambda each: each.task.uid)
        if not history.is_planned(now)
    ]
