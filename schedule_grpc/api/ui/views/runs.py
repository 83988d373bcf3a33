"""Executions as rows of lists."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from schedule_grpc.api.ui.views.words import Look, duration_text, first_line, look_of, run_length
from schedule_grpc.domain.execution import Execution


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRow:
    """An execution in a list."""

    id: str
    task: str
    handler: str
    look: Look
    trigger: str
    by: str
    time: datetime
    """When it was due; for what has no such time, when it was recorded."""
    start: datetime | None
    end: datetime | None
    took: str
    late: str
    attempt: int
    note: str
    """The error's first line, or what the row covers."""
    is_open: bool


def run_row(execution: Execution) -> RunRow:
    """Return an execution as a row."""
    late = execution.lateness
    return RunRow(
        id=execution.id,
        task=execution.task_name,
        handler=execution.handler,
        look=look_of(execution),
        trigger=execution.trigger.value.lower().replace("_", " "),
        by=execution.triggered_by or "",
        time=execution.scheduled_time or execution.create_time,
        start=execution.start_time,
        end=execution.end_time,
        took=duration_text(run_length(execution)),
        late="" if late is None else duration_text(late),
        attempt=execution.attempt,
        note=_note(execution),
        is_open=not execution.state.is_terminal,
    )


def run_rows(executions: Sequence[Execution]) -> tuple[RunRow, ...]:
    """Return executions as rows."""
    return tuple(map(run_row, executions))


def _note(execution: Execution) -> str:
    if execution.error:
        return first_line(execution.error)
    covers = execution.covers
    if covers is None:
        return ""
    number = f"{covers.count:,}" if covers.exact else f"at least {covers.count:,}"
    return f"covers {number} earlier"
