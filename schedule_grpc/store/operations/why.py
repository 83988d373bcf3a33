"""Operations that read what is stored of a task's occurrences."""

from datetime import datetime

from schedule_grpc.database import Operation
from schedule_grpc.domain.access.audit import event_of
from schedule_grpc.domain.access.namespace import TaskKey
from schedule_grpc.domain.explanation import Records
from schedule_grpc.domain.task import Task
from schedule_grpc.runtime.clock import to_micros
from schedule_grpc.store.columns import Columns
from schedule_grpc.store.operations.tasks import tasks_of
from schedule_grpc.store.queries import QUERIES
from schedule_grpc.store.rows import execution_of

MOST_ROWS = 1000
MOST_CHANGES = 200


def find_last_task(key: TaskKey) -> Operation[Task | None]:
    """Read the living task of a name; else the one of that name that was deleted last and has a history."""
    namespace, name = key
    (owner,) = yield QUERIES.last_uid_of_name, {"namespace": namespace, "name": name}
    if owner["uid"] is None:
        return None
    return (yield from tasks_of([owner["uid"]])).get(owner["uid"])


def records(task: Task, since: datetime, until: datetime) -> Operation[Records]:
    """Read the executions for a task's occurrences in a range, and the changes of the task since its beginning."""
    between = {"task_uid": task.uid, "since": to_micros(since), "until": to_micros(until), "limit": MOST_ROWS}
    ran = yield QUERIES.ran_between, between
    others = yield QUERIES.accounted_between, between
    rows = {row["id"]: row for row in (*others, *ran)}
    (pruned,) = yield QUERIES.pruned_up_to, {"task_uid": task.uid}
    changes = yield (
        QUERIES.changes_of_task,
        {"namespace": task.namespace, "resource": task.name, "since": to_micros(since), "limit": MOST_CHANGES},
    )
    return Records(
        executions=tuple(map(execution_of, rows.values())),
        pruned_time=Columns().instant("pruned_time", pruned["pruned_time"]),
        changes=tuple(map(event_of, changes)),
    )
