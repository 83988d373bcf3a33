"""The examination of one task: would it run now, and how did its newest executions end?

Pure: `doctor` asks a server for what it needs, the service has it at hand, and both say the same.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

from schedule_grpc.domain.durations import human
from schedule_grpc.domain.execution import Execution, State
from schedule_grpc.domain.finding import Finding, bad, ok, warn
from schedule_grpc.domain.task import Task
from schedule_grpc.text.instants import time_shown

LOOKED_AT = 20
"""How many of a task's newest executions are checked."""


def examined_task(
    task: Task, newest: Sequence[Execution], *, offered: bool | None, now: datetime
) -> tuple[Finding, ...]:
    """Return what there is to say about a task.

    Args:
        task: The task.
        newest: Its newest executions, the newest first, at most `LOOKED_AT`.
        offered: Whether its handler is offered now; None: it was never offered.
        now: The time.
    """
    return (
        _enabled(task),
        _schedule(task, now),
        _handler(task, offered=offered),
        _failures(task, newest),
        _history(task, newest),
    )


def _enabled(task: Task) -> Finding:
    if task.delete_time is not None:
        return warn("task", f"{task.name} was deleted {time_shown(task.delete_time)}", "register it again")
    if task.enabled:
        return ok("task", f"{task.name} is enabled")
    why = f": {task.note}" if task.note else ""
    return warn("task", f"{task.name} is disabled{why}", f"`schedule-grpc tasks enable {task.name}`")


def _schedule(task: Task, now: datetime) -> Finding:
    schedule = task.schedule
    shown_schedule = f"{schedule.text} ({schedule.description}, {schedule.time_zone})"
    if task.trouble:
        return bad("schedule", f"the server cannot read {task.trouble}", "update that part, or register the task anew")
    if not task.enabled or task.delete_time is not None:
        return ok("schedule", shown_schedule)
    if task.next_run_time is None:
        advice = "it is @manual, or its last occurrence is over, or its window has ended: run or update it"
        return warn("schedule", f"{shown_schedule} will not fire any more by itself", advice)
    # Whoever is not the server does not know the delay of this run: up to the jitter it is in time.
    delay_unknown = timedelta() if task.start_delay else task.policy.jitter
    if task.is_overdue(now - delay_unknown):
        advice = "the server's loop is behind, or its clock was set back: see its log and its clock"
        return bad("schedule", f"{shown_schedule} is overdue since {time_shown(task.next_run_time)}", advice)
    return ok("schedule", f"{shown_schedule}, next {', '.join(map(time_shown, task.next_run_times(3)))}")


def _handler(task: Task, *, offered: bool | None) -> Finding:
    if offered:
        return ok("handler", f"{task.handler} is offered")
    waits = f"its executions wait {human(task.policy.start_deadline)} and are MISSED then"
    status = "is not offered now" if offered is False else "was never offered"
    advice = "start the worker that offers it, or serve with its module (--handlers)"
    return bad("handler", f"{task.handler} {status}; {waits}", advice)


def _failures(task: Task, newest: Sequence[Execution]) -> Finding:
    in_a_row = task.stats.consecutive_failures
    last = next((execution for execution in newest if execution.state is State.FAILED), None)
    if not in_a_row:
        return ok("failures", f"none since {time_shown(task.stats.last_success_time)}" if last else "none lately")
    finding = f"{in_a_row} in a row"
    if last is None:
        return bad("failures", finding, f"`schedule-grpc tasks history {task.name} --state failed`")
    finding += f", the last at {time_shown(last.end_time)}: {last.failure_kind}: {last.error}"
    return bad("failures", finding, f"`schedule-grpc executions get {last.id}`")


def _history(task: Task, newest: Sequence[Execution]) -> Finding:
    if not newest:
        return ok("history", "it never ran")
    counts = Counter(f"{each.state}/{each.reason}" if each.reason else each.state.value for each in newest)
    finding = f"newest {len(newest)}: {', '.join(f'{count} {outcome}' for outcome, count in counts.most_common())}"
    if all(each.state in (State.SUCCEEDED, State.RUNNING, State.PENDING) for each in newest):
        return ok("history", finding)
    return warn("history", finding, f"`schedule-grpc tasks history {task.name}`")
