"""Output for people: tables, facts, times in UTC."""

import json
from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.text import Text

from schedule_grpc.domain.durations import human
from schedule_grpc.domain.execution import Execution, State
from schedule_grpc.domain.policy import Policy
from schedule_grpc.domain.policy_reading import policy_text
from schedule_grpc.domain.schedule import Preview, Schedule
from schedule_grpc.domain.task import Handler, Task
from schedule_grpc.text.terminal import first_line, plain

STYLES = {
    State.SUCCEEDED: "green",
    State.FAILED: "red",
    State.RUNNING: "cyan",
    State.MISSED: "yellow",
    State.SKIPPED: "yellow",
    State.CANCELLED: "magenta",
}
GAP = "  "
LEAST_LAST = 20
"""Characters of a table's last column that are shown however narrow the terminal is."""

_ALWAYS_SHOWN = ("timeout", "retry.max_retries", "overlap", "catch_up")


def time_shown(instant: datetime | None) -> str:
    """Return an instant for people, in UTC; nothing for none."""
    return "" if instant is None else instant.strftime("%Y-%m-%d %H:%M:%SZ")


def print_tasks(tasks: Iterable[Task], *, offered: Container[str] | None = None) -> None:
    """Print a table of tasks; a task whose handler is not in ``offered`` is marked (None: the handlers are unknown)."""
    _print_table(
        ("TASK", "SCHEDULE", "NEXT RUN", "LAST RUN", "HANDLER"),
        [
            (
                task.name,
                _schedule_shown(task.schedule),
                _next_run_shown(task),
                time_shown(task.last_run_time),
                _handler_shown(task, offered),
            )
            for task in tasks
        ],
    )


def _next_run_shown(task: Task) -> str:
    if not task.enabled:
        return "disabled"
    return "cannot be read" if task.trouble else time_shown(task.next_run_time)


def print_task(task: Task, *, offered: Container[str] | None = None) -> None:
    """Print one task, and whether its handler is in ``offered`` (None: the handlers are unknown)."""
    stats, definition = task.stats, task.definition
    in_a_row = f", {stats.consecutive_failures} in a row" if stats.consecutive_failures else ""
    _print_facts(
        {
            "name": task.name,
            "description": definition.effective_description(),
            "schedule": f"{_schedule_shown(task.schedule)}  ({task.schedule.description})",
            "handler": f"{task.handler}{_waiting(task, offered)}",
            "enabled": "yes" if task.enabled else f"no{': ' + task.note if task.note else ''}",
            "trouble": task.trouble and f"{task.trouble}; it does not fire",
            "next runs": ", ".join(time_shown(instant) for instant in task.next_run_times(3)),
            "last run": time_shown(task.last_run_time),
            "payload": _json_shown(definition.payload),
            "metadata": _json_shown(definition.metadata),
            "policy": ", ".join(_policy_shown(task.policy)),
            "stats": f"{stats.success_count} succeeded, {stats.failure_count} failed{in_a_row}",
        }
    )


def print_executions(executions: Iterable[Execution]) -> None:
    """Print a table of executions; the task's name is in the id."""
    _print_table(
        ("CREATED", "STATE", "TRY", "TOOK", "SCHEDULED", "ID", "WHY"),
        [
            (
                time_shown(execution.create_time),
                Text(execution.state.value, style=STYLES.get(execution.state, "")),
                str(execution.attempt or ""),
                "" if execution.duration is None else human(execution.duration),
                time_shown(execution.scheduled_time) or execution.trigger.value.lower(),
                execution.id,
                execution.reason or execution.error or "",
            )
            for execution in executions
        ],
    )


def print_execution(execution: Execution) -> None:
    """Print one execution with its attempts."""
    covers = execution.covers
    at_least = "" if covers is None or covers.exact else "at least "
    facts: dict[str, str | None] = {
        "id": execution.id,
        "task": execution.task_name,
        "state": execution.state.value + (f" ({execution.reason})" if execution.reason else ""),
        "trigger": execution.trigger.value.lower(),
        "scheduled": time_shown(execution.scheduled_time),
        "covers": None
        if covers is None
        else f"{at_least}{covers.count} earlier, {time_shown(covers.from_time)} to {time_shown(covers.to_time)}",
        "started": time_shown(execution.start_time),
        "duration": "" if execution.duration is None else human(execution.duration),
        "cancelled": time_shown(execution.cancel_requested_time)
        and f"asked for at {time_shown(execution.cancel_requested_time)}",
        "payload": "" if execution.payload is None else _json_shown(execution.payload),
        "result": "" if execution.result is None else _json_shown(execution.result),
        "error": execution.error,
        "trouble": execution.trouble,
    }
    for attempt in execution.failed_attempts:
        failure = f"{attempt.failure_kind.value} after {human(attempt.duration)}: {attempt.error}"
        facts[f"attempt {attempt.number}"] = f"{time_shown(attempt.start_time)}  {failure}"
    _print_facts(facts)


def print_handlers(handlers: Iterable[Handler]) -> None:
    """Print a table of handlers."""
    _print_table(
        ("HANDLER", "OFFERED", "AT ONCE", "DESCRIPTION"),
        [
            (
                handler.name,
                "yes" if handler.offered else "not now",
                "" if handler.concurrency is None else str(handler.concurrency),
                handler.description,
            )
            for handler in handlers
        ],
    )


def print_preview(preview: Preview) -> None:
    """Print the instants at which a schedule fires, in UTC and in its zone, and the notes on changes of the clocks."""
    schedule = preview.schedule
    print(plain(schedule.description))
    zone = None if schedule.time_zone == "UTC" else ZoneInfo(schedule.time_zone)
    for instant in preview.times:
        local = "" if zone is None else instant.astimezone(zone).strftime("   %a %Y-%m-%d %H:%M:%S %Z")
        print(f"  {time_shown(instant)}{local}")
    if not preview.times:
        print("  never")
    for note in preview.notes:
        print(plain(f"Note: {note}."))


def _handler_shown(task: Task, offered: Container[str] | None) -> str:
    """Return a task's handler; nothing if it has the task's name and is offered."""
    if _is_missing(task, offered):
        return f"{task.handler} (not offered)"
    return "" if task.handler == task.name else task.handler


def _waiting(task: Task, offered: Container[str] | None) -> str:
    """Return the fate of a task's executions while its handler is not offered; nothing if it is."""
    if not _is_missing(task, offered):
        return ""
    return f"  (not offered: executions wait {human(task.policy.start_deadline)}, and are MISSED then)"


def _is_missing(task: Task, offered: Container[str] | None) -> bool:
    return offered is not None and task.handler not in offered


def _policy_shown(policy: Policy) -> Iterable[str]:
    """Yield the policies that people ask for first, and all that differ from the default."""
    usual = Policy().fields()
    for path, value in policy.fields().items():
        if path in _ALWAYS_SHOWN or value != usual[path]:
            yield f"{path} {policy_text(value)}"


def _json_shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True) if value or not isinstance(value, Mapping) else ""


def _schedule_shown(schedule: Schedule) -> str:
    return schedule.text if schedule.time_zone == "UTC" else f"{schedule.text} {schedule.time_zone}"


def _print_table(header: Sequence[str], rows: Sequence[Sequence[str | Text]]) -> None:
    """Print rows under a header; columns are never folded, so that ids can be copied; only the last one is cut."""
    console = Console(soft_wrap=True)
    # As Text, not as markup: a handler's error may hold anything.
    cells = [[cell if isinstance(cell, Text) else Text(first_line(cell)) for cell in row] for row in rows]
    cells.insert(0, [Text(title, style="bold") for title in header])
    *widths, last = (max(cell.cell_len for cell in column) for column in zip(*cells, strict=True))
    if console.is_terminal:
        last = max(console.width - sum(widths) - len(GAP) * len(widths), LEAST_LAST)
    for row in cells:
        for cell, width in zip(row, (*widths, last), strict=True):
            cell.truncate(width, overflow="ellipsis", pad=True)
        line = Text(GAP).join(row)
        line.rstrip()
        console.print(line)


def _print_facts(facts: Mapping[str, str | None]) -> None:
    present = {name: value for name, value in facts.items() if value}
    width = max(map(len, present))
    for name, value in present.items():
        lines: Sequence[str] = plain(value).splitlines()
        print(f"{name:<{width}}  {lines[0]}")
        for line in lines[1:]:
            print(f"{'':<{width}}  {line}")
