"""Operations that take from the history what retention does not keep."""

from collections.abc import Sequence
from datetime import datetime

from schedule_grpc.clock import to_micros
from schedule_grpc.database import Operation
from schedule_grpc.store.columns import holds_instant
from schedule_grpc.store.queries import QUERIES
from schedule_grpc.store.rows import task_of
from schedule_grpc.store.told import Told
from schedule_grpc.task import Task


def tasks_after(uid: str, limit: int) -> Operation[tuple[Task, ...]]:
    """Read tasks, living or deleted, in the order of their uids."""
    rows = yield QUERIES.tasks_after, {"after": uid, "limit": limit}
    return tuple(task_of(row) for row in rows)


def surplus(tasks: Sequence[Task], now: datetime, limit: int) -> Operation[tuple[str, ...]]:
    """Read the ids of at most ``limit`` ended executions that the tasks' retention does not keep."""
    found: list[str] = []
    for task in tasks:
        if len(found) < limit:
            found += yield from _surplus_of(task, now, limit - len(found))
    return tuple(dict.fromkeys(found))


def remove(execution_ids: Sequence[str], tasks: Sequence[Task]) -> Operation[Told[int]]:
    """Remove ended executions, and the deleted ones of the tasks if they have none left; return how many rows went."""
    yield QUERIES.lock_tasks, {"uids": [task.uid for task in tasks]}
    removed = yield QUERIES.remove_execution, [{"id": execution_id} for execution_id in sorted(execution_ids)]
    newest: dict[str, int] = {}
    for row in removed:
        if holds_instant(row["scheduled_time"]):
            newest[row["task_uid"]] = max(newest.get(row["task_uid"], row["scheduled_time"]), row["scheduled_time"])
    yield QUERIES.note_pruned, [{"uid": uid, "pruned_time": time} for uid, time in newest.items()]
    deleted = [{"uid": task.uid} for task in tasks if task.delete_time is not None]
    tombstones = yield QUERIES.remove_task, deleted
    return len(removed) + len(tombstones), ()


def _surplus_of(task: Task, now: datetime, limit: int) -> Operation[list[str]]:
    if task.trouble and task.delete_time is None:
        return []  # what its retention keeps may be what cannot be read
    kept = task.policy.retention
    before = {"task_uid": task.uid, "before": to_micros(now - kept.max_age), "limit": limit}
    rows = yield QUERIES.ended_before, before
    found = [row["id"] for row in rows]
    for newest, up_to in (
        (QUERIES.surplus_that_ran, QUERIES.ended_that_ran_up_to),
        (QUERIES.surplus_that_never_ran, QUERIES.never_ran_up_to),
    ):
        places = yield newest, {"task_uid": task.uid, "kept": kept.max_count}
        for place in places:
            parameters = {"task_uid": task.uid, "limit": limit, "create_time": place["create_time"], "id": place["id"]}
            rows = yield up_to, parameters
            found += [row["id"] for row in rows]
    return found
