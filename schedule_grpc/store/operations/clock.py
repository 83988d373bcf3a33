"""Operations for a clock that was set back."""

from datetime import datetime

from schedule_grpc.database import Operation
from schedule_grpc.domain.execution import waiting_no_longer
from schedule_grpc.runtime.clock import to_micros
from schedule_grpc.store.queries import QUERIES
from schedule_grpc.store.rows import execution_of, tasks_in
from schedule_grpc.store.with_events import WithEvents


def shorten_waits(now: datetime) -> Operation[WithEvents[int]]:
    """Shorten waits that are too long because the clock that set their end has been set back since.

    Without a lock on tasks: a row that was claimed or ended meanwhile is not written. Rows are written in the order of
    their ids, as by all operations.
    """
    queues = yield QUERIES.waiting_queues, {}
    rows = yield (
        QUERIES.postponed_executions,
        [{"namespace": row["namespace"], "handler": row["handler"], "now": to_micros(now)} for row in queues],
    )
    read = (execution_of(row) for row in rows)
    waiting = sorted((each for each in read if not each.troubles), key=lambda each: each.id)
    found = yield QUERIES.find_tasks, [{"uid": uid} for uid in sorted({each.task_uid for each in waiting})]
    tasks = {task.uid: task for task in tasks_in(found)}
    sooner = [
        shortened
        for execution in waiting
        if not execution.troubles
        and (shortened := waiting_no_longer(execution, tasks[execution.task_uid], now)) != execution
    ]
    written = yield (
        QUERIES.shorten_wait,
        [{"id": each.id, "available_time": to_micros(each.available_time)} for each in sooner],
    )
    return len(written), ()
