"""Output for people: tables, facts, times in UTC."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import datetime

from rich.console import Console
from rich.text import Text

from schedule_grpc.cli.contexts import Context
from schedule_grpc.cli.times import clocks, relative, zone_of
from schedule_grpc.domain.access.audit import AuditEvent
from schedule_grpc.domain.access.keys import Identity, KeyInfo
from schedule_grpc.domain.access.namespace import DEFAULT_NAMESPACE, Limits, Namespace
from schedule_grpc.domain.durations import human
from schedule_grpc.domain.execution import Execution, State
from schedule_grpc.domain.execution.log_lines import Progress
from schedule_grpc.domain.policy import Policy
from schedule_grpc.domain.policy_reading import policy_text
from schedule_grpc.domain.schedule import Preview, Schedule
from schedule_grpc.domain.task import Task
from schedule_grpc.runtime.clock import SystemClock
from schedule_grpc.text.instants import time_shown
from schedule_grpc.text.terminal import first_line, plain

STYLES = {
    State.SUCCEEDED: "green",
    State.FAILED: "red",
    State.RUNNING: "cyan",
    State.MISSED: "yellow",
    State.SKIPPED: "yellow",
    State.CANCELLED: "magenta",
}
NO_WORKER = "!"
"""Stands before a handler that no server and no worker offers."""
GAP = "  "
LEAST_LAST = 20
"""Characters of a table's last column that are shown however narrow the terminal is."""

_ALWAYS_SHOWN = ("timeout", "retry.max_retries", "overlap", "catch_up")


def print_tasks(tasks: Iterable[Task]) -> None:
    """Print a table of tasks, and a note below it if no server and no worker offers the handlers of some."""
    shown = list(tasks)
    namespaced = _namespace_column(shown)
    now = SystemClock().now()
    print_table(
        (*namespaced, "TASK", "LAST", "NEXT", "SCHEDULE, HANDLER"),
        [
            (
                *(task.namespace for _ in namespaced),
                task.name,
                _last_shown(task, now),
                _next_run_shown(task, now),
                GAP.join(filter(None, (_schedule_shown(task.schedule), _handler_shown(task)))),
            )
            for task in shown
        ],
    )
    if any(task.no_worker for task in shown):
        print(f"{NO_WORKER} No server and no worker offers this handler: executions wait for it.")


def _last_shown(task: Task, now: datetime) -> Text:
    """Return how a task's newest execution ended, and when; that one runs, if one does."""
    activity = task.activity
    if activity is not None and activity.running:
        return Text(State.RUNNING.value, style=STYLES[State.RUNNING])
    if activity is None or activity.last is None:
        return Text("" if task.last_run_time is None else relative(task.last_run_time, now))
    last = activity.last
    return Text(f"{last.state.value} {relative(last.end_time, now)}", style=STYLES.get(last.state, ""))


def _next_run_shown(task: Task, now: datetime) -> str:
    if not task.enabled:
        return "disabled"
    if task.trouble:
        return "cannot be read"
    following = task.next_run_time
    return "" if following is None else f"{relative(following, now)}, {clocks(following, task.schedule, now)}"


def print_task(task: Task) -> None:
    """Print one task, and whether its handler is offered."""
    stats, definition = task.stats, task.definition
    in_a_row = f", {stats.consecutive_failures} in a row" if stats.consecutive_failures else ""
    print_facts(
        {
            "name": task.name,
            "namespace": _namespace_shown(task),
            "description": definition.effective_description(),
            "schedule": f"{_schedule_shown(task.schedule)}  ({task.schedule.description})",
            "handler": f"{task.handler}{_waiting(task)}",
            "enabled": "yes" if task.enabled else f"no{': ' + task.note if task.note else ''}",
            "trouble": task.trouble and f"{task.trouble}; it does not fire",
            "next runs": ", ".join(time_shown(instant) for instant in task.next_run_times(3)),
            "last run": time_shown(task.last_run_time),
            "payload": _json_shown(definition.payload),
            "metadata": _json_shown(definition.metadata),
            "policy": ", ".join(_policy_shown(task.policy)),
            "changed by": task.changed_by,
            "stats": f"{stats.success_count} succeeded, {stats.failure_count} failed{in_a_row}",
        }
    )


def print_executions(executions: Iterable[Execution]) -> None:
    """Print a table of executions. On a terminal that is too narrow for the ids, each stands below its row."""
    shown = list(executions)
    namespaced = _namespace_column(shown)
    now = SystemClock().now()
    rows: list[tuple[str | Text, ...]] = [
        (
            *(execution.namespace for _ in namespaced),
            time_shown(execution.create_time),
            relative(execution.create_time, now),
            execution.task_name,
            Text(execution.state.value, style=STYLES.get(execution.state, "")),
            str(execution.attempt or ""),
            "" if execution.duration is None else human(execution.duration),
            execution.id,
            execution.reason or execution.error or "",
        )
        for execution in shown
    ]
    header = (*namespaced, "CREATED", "AGO", "TASK", "STATE", "TRY", "TOOK", "ID", "WHY")
    if Console().is_terminal:  # people read how long ago it was, and paste the id
        created = len(namespaced)
        narrow = [(*row[:created], *row[created + 1 : -2], row[-1]) for row in rows]
        print_table((*header[:created], *header[created + 1 : -2], header[-1]), narrow, below=[e.id for e in shown])
    else:
        print_table(header, rows)


def print_execution(execution: Execution) -> None:
    """Print one execution with its attempts."""
    covers = execution.covers
    at_least = "" if covers is None or covers.exact else "at least "
    facts: dict[str, str | None] = {
        "id": execution.id,
        "task": execution.task_name,
        "namespace": _namespace_shown(execution),
        "state": execution.state.value + (f" ({execution.reason})" if execution.reason else ""),
        "trigger": execution.trigger.value.lower(),
        "triggered by": execution.triggered_by,
        "scheduled": time_shown(execution.scheduled_time),
        "covers": None
        if covers is None
        else f"{at_least}{covers.count} earlier, {time_shown(covers.from_time)} to {time_shown(covers.to_time)}",
        "started": time_shown(execution.start_time),
        "duration": "" if execution.duration is None else human(execution.duration),
        "worker": execution.worker,
        "cancelled": time_shown(execution.cancel_requested_time)
        and f"asked for at {time_shown(execution.cancel_requested_time)}",
        "payload": "" if execution.payload is None else _json_shown(execution.payload),
        "result": "" if execution.result is None else _json_shown(execution.result),
        "error": execution.error,
        "trouble": execution.trouble,
        "progress": "" if execution.progress is None else _progress_shown(execution.progress),
        "log": f"schedule-grpc executions logs {execution.id}" if execution.state is State.FAILED else "",
    }
    for attempt in execution.failed_attempts:
        failure = f"{attempt.failure_kind.value} after {human(attempt.duration)}: {attempt.error}"
        by = f"by {attempt.worker}, " if attempt.worker else ""
        facts[f"attempt {attempt.number}"] = f"{time_shown(attempt.start_time)}  {by}{failure}"
    print_facts(facts)


def _progress_shown(progress: Progress) -> str:
    """Return a progress for people: ``42 %  reading invoices  (attempt 2, 2026-01-31 10:00:00Z)``."""
    share = f"{progress.fraction:.0%}".replace("%", " %")
    text = f"{GAP}{first_line(progress.text)}" if progress.text else ""
    return f"{share}{text}{GAP}(attempt {progress.attempt}, {time_shown(progress.report_time)})"


def print_keys(keys: Iterable[KeyInfo]) -> None:
    """Print a table of keys."""
    print_table(
        ("KEY", "ID", "CREATED", "LAST USED", "EXPIRES", "GRANTS"),
        [
            (
                key.name,
                key.id,
                time_shown(key.create_time),
                time_shown(key.last_used_time) or "never",
                _expiry_shown(key),
                ", ".join(key.grants),
            )
            for key in keys
        ],
    )


def print_key(key: KeyInfo) -> None:
    """Print one key."""
    print_facts(_key_facts(key))


def print_identity(identity: Identity) -> None:
    """Print the caller, and the key that it uses."""
    facts = {"caller": identity.name, "grants": ", ".join(identity.grants), "namespace": identity.namespace}
    of_key = {} if identity.key is None else _key_facts(identity.key)
    print_facts(facts | {name: value for name, value in of_key.items() if name not in facts})


def _key_facts(key: KeyInfo) -> dict[str, str | None]:
    return {
        "key": key.name,
        "id": key.id,
        "namespace": key.namespace,
        "grants": ", ".join(key.grants),
        "created": f"{time_shown(key.create_time)} by {key.created_by}",
        "rotated": "" if key.rotate_time == key.create_time else time_shown(key.rotate_time),
        "old text": time_shown(key.old_text_expire_time) and f"accepted until {time_shown(key.old_text_expire_time)}",
        "expires": _expiry_shown(key),
        "last used": time_shown(key.last_used_time) or "never",
    }


def _expiry_shown(key: KeyInfo) -> str:
    if key.revoke_time is not None:
        return f"revoked {time_shown(key.revoke_time)}"
    return time_shown(key.expire_time) or "never"


def print_namespaces(namespaces: Iterable[Namespace]) -> None:
    """Print a table of namespaces, with the limits that differ from their defaults."""
    usual = dict(_limits_shown(Limits()))
    print_table(
        ("NAMESPACE", "CREATED", "HANDLERS", "LIMITS"),
        [
            (
                each.name,
                time_shown(each.create_time),
                ", ".join(each.handlers),
                ", ".join(f"{name} {limit}" for name, limit in _limits_shown(each.limits) if usual[name] != limit),
            )
            for each in namespaces
        ],
    )


def print_namespace(namespace: Namespace) -> None:
    """Print one namespace."""
    print_facts(
        {
            "name": namespace.name,
            "handlers": ", ".join(namespace.handlers),
            "limits": ", ".join(f"{name} {limit}" for name, limit in _limits_shown(namespace.limits)),
            "created": time_shown(namespace.create_time),
        }
    )


def print_audit(events: Iterable[AuditEvent]) -> None:
    """Print a table of rows of the audit log."""
    print_table(
        ("TIME", "WHO", "FROM", "METHOD", "OUTCOME", "NAMESPACE", "WHAT", "DETAILS"),
        [
            (
                time_shown(each.time),
                each.principal,
                each.peer,
                each.method,
                each.reason or each.outcome,
                each.namespace,
                each.resource,
                ", ".join(filter(None, (*each.changed, each.execution, f"{each.count:,} times" * (each.count > 1)))),
            )
            for each in events
        ],
    )


def _limits_shown(limits: Limits) -> Iterator[tuple[str, str]]:
    for each in fields(limits):
        value = getattr(limits, each.name)
        yield each.name, "none" if value is None else f"{value:,}"


def print_contexts(contexts: Mapping[str, Context]) -> None:
    """Print a table of contexts."""
    print_table(
        ("CONTEXT", "SERVER", "NAMESPACE", "TOKEN"),
        [
            (name, each.server or "", each.namespace or "", "" if each.token_file is None else str(each.token_file))
            for name, each in contexts.items()
        ],
    )


def print_preview(preview: Preview) -> None:
    """Print the instants at which a schedule fires, in UTC and in its zone, and the notes on changes of the clocks."""
    schedule = preview.schedule
    print(plain(schedule.description))
    zone = zone_of(schedule)
    for instant in preview.times:
        local = "" if zone is None else instant.astimezone(zone).strftime("   %a %Y-%m-%d %H:%M:%S %Z")
        print(f"  {time_shown(instant)}{local}")
    if not preview.times:
        print("  never")
    for note in preview.notes:
        print(plain(f"Note: {note}."))


def _namespace_column(rows: Sequence[Task | Execution]) -> tuple[str, ...]:
    """Return the title of the column of namespaces; nothing if all rows are of the default one."""
    return ("NAMESPACE",) if any(map(_namespace_shown, rows)) else ()


def _namespace_shown(row: Task | Execution) -> str:
    return "" if row.namespace == DEFAULT_NAMESPACE else row.namespace


def _handler_shown(task: Task) -> str:
    """Return a task's handler, marked if it is not offered; nothing if it is offered and has the task's name."""
    if task.no_worker:
        return f"{NO_WORKER} {task.handler}"
    return "" if task.handler == task.name else task.handler


def _waiting(task: Task) -> str:
    """Return the fate of a task's executions while its handler is not offered; nothing if it is."""
    if not task.no_worker:
        return ""
    waits = f"executions wait {human(task.policy.start_deadline)}, and are MISSED then"
    return f"  (no server and no worker offers it: {waits})"


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


def print_table(
    header: Sequence[str], rows: Sequence[Sequence[str | Text]], *, below: Sequence[str] | None = None
) -> None:
    """Print rows under a header; columns are never folded, so that ids can be copied; only the last one is cut.

    ``below`` has a text for each row, which is printed under it.
    """
    console = Console(soft_wrap=True)
    # As Text, not as markup: a handler's error may hold anything.
    cells = [[cell if isinstance(cell, Text) else Text(first_line(cell)) for cell in row] for row in rows]
    cells.insert(0, [Text(title, style="bold") for title in header])
    *widths, last = (max(cell.cell_len for cell in column) for column in zip(*cells, strict=True))
    if console.is_terminal:
        last = max(console.width - sum(widths) - len(GAP) * len(widths), LEAST_LAST)
    for number, row in enumerate(cells):
        for cell, width in zip(row, (*widths, last), strict=True):
            cell.truncate(width, overflow="ellipsis", pad=True)
        line = Text(GAP).join(row)
        line.rstrip()
        console.print(line)
        if below is not None and number:
            console.print(Text(f"{GAP}{first_line(below[number - 1])}", style="dim"))


def print_facts(facts: Mapping[str, str | None]) -> None:
    """Print facts, each behind its name; one without a value is left out."""
    present = {name: value for name, value in facts.items() if value}
    width = max(map(len, present))
    for name, value in present.items():
        lines: Sequence[str] = plain(value).splitlines()
        print(f"{name:<{width}}  {lines[0]}")
        for line in lines[1:]:
            print(f"{'':<{width}}  {line}")
