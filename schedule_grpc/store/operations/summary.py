"""Operations that read a namespace at a glance."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from msgspec import structs

from schedule_grpc.database import Operation
from schedule_grpc.domain.execution import Execution
from schedule_grpc.domain.execution.log_lines import Progress
from schedule_grpc.domain.listing import OVERDUE_AFTER
from schedule_grpc.domain.retry import FailureKind
from schedule_grpc.domain.states import State
from schedule_grpc.domain.summary import (
    ENDED,
    MOST_TASKS_COUNTED,
    Counts,
    HandlerDuration,
    HandlerDurations,
    OpenCondition,
    WaitingQueue,
)
from schedule_grpc.runtime.clock import EPOCH, MICROSECOND, from_micros, to_micros
from schedule_grpc.store.columns import Columns, holds_instant
from schedule_grpc.store.operations.listing import AFTER_EVERY_NAME
from schedule_grpc.store.queries import QUERIES
from schedule_grpc.store.rows import execution_of

MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """An execution that FAILED, in as few words as groups of failures need."""

    id: str
    task_name: str
    failure_kind: FailureKind | None
    error: str
    create_time: datetime
    end_time: datetime


def counts(namespace: str, prefix: str, now: datetime) -> Operation[Counts]:
    """Count the tasks of a namespace whose names begin so, and their executions, by state."""
    parameters = {
        "namespace": namespace,
        "name_from": prefix,
        "name_to": prefix + AFTER_EVERY_NAME if prefix else None,
    }
    (found,) = yield QUERIES.task_counts, {**parameters, "most": MOST_TASKS_COUNTED}
    (late,) = yield QUERIES.count_overdue, {**parameters, "late": to_micros(now - OVERDUE_AFTER)}
    return Counts(**found, overdue=late["overdue"])


def longest_running(namespace: str, limit: int) -> Operation[tuple[Execution, ...]]:
    """Read what runs longest in a namespace, with its progress."""
    rows = yield QUERIES.longest_running, {"namespace": namespace, "limit": limit}
    executions = [execution_of(row) for row in rows]
    reported = yield QUERIES.progress_of_all, [{"execution_id": execution.id} for execution in executions]
    progress = {
        row["execution_id"]: Progress(
            execution_id=row["execution_id"],
            attempt=row["attempt"],
            fraction=row["fraction"],
            text=row["text"],
            report_time=from_micros(row["report_time"]),
        )
        for row in reported
        if holds_instant(row["report_time"])
    }
    return tuple(structs.replace(execution, progress=progress.get(execution.id)) for execution in executions)


def waiting_queues(namespace: str, now: datetime) -> Operation[tuple[WaitingQueue, ...]]:
    """Read what could start now in a namespace, by handler."""
    rows = yield QUERIES.waiting_handlers, {"namespace": namespace, "now": to_micros(now)}
    return tuple(
        WaitingQueue(
            handler=row["handler"],
            count=row["count"],
            oldest_time=Columns().required_instant("available_time", row["available_time"]),
        )
        for row in rows
        if row["count"]
    )


def open_conditions(namespace: str, without: str, limit: int) -> Operation[tuple[OpenCondition, ...]]:
    """Read the conditions that hold, but for those of one key, the newest first."""
    rows = yield QUERIES.open_conditions, {"namespace": namespace, "without": without, "limit": limit}
    return tuple(
        OpenCondition(
            task_name=row["task_name"],
            key=row["key"],
            title=row["title"],
            body=row["body"],
            start_time=Columns().required_instant("start_time", row["start_time"]),
        )
        for row in rows
    )


def ends_by_minute(namespace: str, since: datetime, until: datetime) -> Operation[dict[datetime, dict[State, int]]]:
    """Count the executions that were recorded in [since, until) and have ended, by minute and state."""
    found: dict[datetime, dict[State, int]] = {}
    for state in sorted(ENDED):
        rows = yield (
            QUERIES.ends_by_minute,
            {"namespace": namespace, "state": state.value, "since": to_micros(since), "until": to_micros(until)},
        )
        for row in rows:
            found.setdefault(EPOCH + row["minute"] * MINUTE, {})[state] = row["count"]
    return found


def durations_of_handlers(namespace: str, since: datetime, most: int) -> Operation[HandlerDurations]:
    """Read how long executions took that were recorded from a time on, by handler: of the newest ones, up to a number.

    One statement counts and ranks: rows of thousands of executions would take the event loop longer to read.
    """
    rows = yield (
        QUERIES.durations_of_handlers,
        {"namespace": namespace, "since": to_micros(since), "most": most},
    )
    is_whole = not rows or rows[0]["looked_at"] < most
    return HandlerDurations(
        handlers={
            row["handler"]: HandlerDuration(p95=max(row["duration"], 0) * MICROSECOND, count=row["count"])
            for row in rows
        },
        complete_from=since if is_whole else Columns().required_instant("create_time", rows[0]["oldest_time"]),
        is_whole=is_whole,
    )


def failures_before(
    namespace: str, since: datetime, after: tuple[int, str], limit: int
) -> Operation[tuple[tuple[Failure, ...], tuple[int, str] | None]]:
    """Read executions that FAILED and were recorded from a time on, newest first.

    Returns:
        They, and the place after which more may follow; None: there are no more.
    """
    rows = yield (
        QUERIES.failures_before,
        {
            "namespace": namespace,
            "oldest": to_micros(since),
            "after_time": after[0],
            "after_id": after[1],
            "limit": limit,
        },
    )
    place = (rows[-1]["create_time"], rows[-1]["id"]) if len(rows) == limit else None
    reading = Columns()
    return (
        tuple(
            Failure(
                id=row["id"],
                task_name=reading.text("task_name", row["task_name"]),
                failure_kind=reading.word(FailureKind, "failure_kind", row["failure_kind"]),
                error=reading.text_or_none("error", row["error"]) or "",
                create_time=reading.required_instant("create_time", row["create_time"]),
                end_time=reading.required_instant("end_time", row["end_time"]),
            )
            for row in rows
        ),
        place,
    )
