"""What the command line shows: tables for people, JSON for programs."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from rich.console import Console
from rich.table import Table

from schedule_grpc.execution import Execution, State
from schedule_grpc.schedule import Schedule
from schedule_grpc.task import Handler, Policy, Task

MILLISECOND = timedelta(milliseconds=1)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
STYLES = {State.SUCCEEDED: "green", State.FAILED: "red", State.RUNNING: "cyan"}


def human(duration: timedelta) -> str:
    """Return a duration for people: 500ms, 2.50s, 2.00m, 2.00h."""
    if duration < SECOND:
        return f"{round(duration / MILLISECOND)}ms"
    if duration < MINUTE:
        return f"{duration / SECOND:.2f}s"
    if duration < HOUR:
        return f"{duration / MINUTE:.2f}m"
    return f"{duration / HOUR:.2f}h"


def time_json(instant: datetime) -> str:
    """Return an instant as callers of the older service know it: 2026-01-31T10:00:00.000Z."""
    return instant.strftime("%Y-%m-%dT%H:%M:%S.") + f"{instant.microsecond // 1000:03}Z"


def print_json(value: Any) -> None:
    """Print JSON for programs."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def task_json(task: Task) -> dict[str, Any]:
    """Return a task's JSON; what is not there is left out."""
    stats = task.stats
    return _present(
        {
            "id": task.id,
            "name": task.name,
            "schedule": task.schedule.text,
            "timeZone": task.schedule.time_zone,
            "scheduleDescription": task.schedule.description,
            "handler": task.handler,
            "enabled": task.enabled,
            "note": task.note or None,
            "description": task.definition.effective_description() or None,
            "payload": dict(task.definition.payload),
            "metadata": dict(task.definition.metadata),
            "policy": _policy_json(task.policy),
            "lastRun": _time_or_none(task.last_run_time),
            "nextRun": _time_or_none(task.next_run_time),
            "createdAt": time_json(task.create_time),
            "updatedAt": time_json(task.update_time),
            "etag": task.etag,
            "stats": _present(
                {
                    "successCount": stats.success_count,
                    "failureCount": stats.failure_count,
                    "consecutiveFailures": stats.consecutive_failures,
                    "lastSuccess": _time_or_none(stats.last_success_time),
                    "lastFailure": _time_or_none(stats.last_failure_time),
                }
            ),
        }
    )


def execution_json(execution: Execution) -> dict[str, Any]:
    """Return an execution's JSON; what is not there is left out."""
    covers = execution.covers
    return _present(
        {
            "id": execution.id,
            "taskId": execution.task_id,
            "taskName": execution.task_name,
            "handler": execution.handler,
            "state": execution.state.value,
            "reason": execution.reason,
            "kind": execution.kind,
            "trigger": execution.trigger.value,
            "scheduledAt": _time_or_none(execution.scheduled_time),
            "createdAt": time_json(execution.create_time),
            "startedAt": _time_or_none(execution.start_time),
            "completedAt": _time_or_none(execution.end_time),
            "durationMs": None if execution.duration is None else round(execution.duration / MILLISECOND),
            "attempt": execution.attempt,
            "attempts": [
                {
                    "attempt": attempt.number,
                    "startedAt": time_json(attempt.start_time),
                    "durationMs": round(attempt.duration / MILLISECOND),
                    "kind": attempt.kind.value,
                    "error": attempt.error,
                }
                for attempt in execution.attempts
            ],
            "covers": covers
            and {
                "from": time_json(covers.from_time),
                "to": time_json(covers.to_time),
                "count": covers.count,
                "exact": covers.exact,
            },
            "result": execution.result,
            "error": execution.error,
        }
    )


def print_tasks(tasks: Sequence[Task]) -> None:
    """Print a table of tasks."""
    table = _table("TASK", "SCHEDULE", "NEXT RUN", "LAST RUN", "HANDLER")
    for task in tasks:
        next_run = _shown(task.next_run_time) if task.enabled else "disabled"
        handler = "" if task.handler == task.name else task.handler
        table.add_row(task.name, _schedule_shown(task.schedule), next_run, _shown(task.last_run_time), handler)
    _print(table)


def print_task(task: Task) -> None:
    """Print one task."""
    policy, stats = task.policy, task.stats
    facts = {
        "name": task.name,
        "description": task.definition.effective_description(),
        "schedule": f"{_schedule_shown(task.schedule)}  ({task.schedule.description})",
        "handler": task.handler,
        "enabled": "yes" if task.enabled else f"no{': ' + task.note if task.note else ''}",
        "next runs": ", ".join(_shown(instant) for instant in task.next_run_times(3)),
        "last run": _shown(task.last_run_time),
        "payload": json.dumps(task.definition.payload, ensure_ascii=False) if task.definition.payload else "",
        "policy": f"timeout {human(policy.timeout)}, {policy.retry.max_retries} retries, {policy.overlap.value}",
        "stats": f"{stats.success_count} succeeded, {stats.failure_count} failed"
        + (f", {stats.consecutive_failures} in a row" if stats.consecutive_failures else ""),
    }
    _print_facts(facts)


def print_executions(executions: Iterable[Execution]) -> None:
    """Print a table of executions."""
    table = _table("CREATED", "TASK", "STATE", "ATTEMPT", "DURATION", "SCHEDULED", "WHY", "ID")
    for execution in executions:
        table.add_row(
            _shown(execution.create_time),
            execution.task_name,
            _state_shown(execution.state),
            str(execution.attempt),
            "" if execution.duration is None else human(execution.duration),
            _shown(execution.scheduled_time) or execution.trigger.value.lower(),
            execution.reason or execution.error or "",
            execution.id,
        )
    _print(table)


def print_execution(execution: Execution) -> None:
    """Print one execution with its attempts."""
    covers = execution.covers
    facts = {
        "id": execution.id,
        "task": execution.task_name,
        "state": execution.state.value + (f" ({execution.reason})" if execution.reason else ""),
        "trigger": execution.trigger.value.lower(),
        "scheduled": _shown(execution.scheduled_time),
        "covers": f"{'' if covers.exact else 'at least '}{covers.count} earlier, {_shown(covers.from_time)} to "
        f"{_shown(covers.to_time)}"
        if covers
        else "",
        "started": _shown(execution.start_time),
        "duration": "" if execution.duration is None else human(execution.duration),
        "result": "" if execution.result is None else json.dumps(execution.result, ensure_ascii=False),
        "error": execution.error or "",
    }
    for attempt in execution.attempts:
        told = f"{attempt.kind.value} after {human(attempt.duration)}: {attempt.error}"
        facts[f"attempt {attempt.number}"] = f"{_shown(attempt.start_time)}  {told}"
    _print_facts(facts)


def print_handlers(handlers: Iterable[Handler]) -> None:
    """Print a table of handlers."""
    table = _table("HANDLER", "OFFERED", "DESCRIPTION")
    for handler in handlers:
        table.add_row(handler.name, "yes" if handler.offered else "not now", handler.description)
    _print(table)


def print_preview(schedule: Schedule, times: Sequence[datetime]) -> None:
    """Print when a schedule fires, in UTC."""
    print(schedule.description)
    for instant in times:
        print(f"  {_shown(instant)}")
    if not times:
        print("  never")


def _policy_json(policy: Policy) -> dict[str, Any]:
    return {
        "timeoutMs": policy.timeout / MILLISECOND,
        "startDeadlineMs": policy.start_deadline / MILLISECOND,
        "overlap": policy.overlap.value,
        "retry": {
            "maxRetries": policy.retry.max_retries,
            "initialBackoffMs": policy.retry.initial_backoff / MILLISECOND,
            "multiplier": policy.retry.multiplier,
            "maxBackoffMs": policy.retry.max_backoff / MILLISECOND,
        },
    }


def _present(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value is not None}


def _time_or_none(instant: datetime | None) -> str | None:
    return None if instant is None else time_json(instant)


def _shown(instant: datetime | None) -> str:
    return "" if instant is None else instant.strftime("%Y-%m-%d %H:%M:%SZ")


def _schedule_shown(schedule: Schedule) -> str:
    return schedule.text if schedule.time_zone == "UTC" else f"{schedule.text} {schedule.time_zone}"


def _state_shown(state: State) -> str:
    style = STYLES.get(state)
    return f"[{style}]{state.value}[/{style}]" if style else state.value


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _print(table: Table) -> None:
    # Piped into another program, lines stay whole: a table folded at 80 columns cannot be read by anybody.
    console = Console()
    if not console.is_terminal:
        console = Console(width=240)
    console.print(table)


def _print_facts(facts: dict[str, str]) -> None:
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        if value:
            print(f"{name:<{width}}  {value}")
