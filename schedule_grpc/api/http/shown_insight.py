"""Summaries, what comes, and explanations, as /openapi.json describes them. `formats.json_insight` writes them."""

from pydantic import Field

from schedule_grpc.api.http.shown import Execution, Success
from schedule_grpc.api.http.shown_tasks import Shown, Task, time_field


class Counts(Shown):
    """How many tasks and executions are in each state."""

    tasks: int = Field(description="Tasks; 100,000 means at least as many")
    disabled: int = Field(description="Tasks that are disabled")
    failing: int = Field(description="Tasks that have failed since they last succeeded")
    overdue: int = Field(description="Tasks that were due more than a minute ago and have not fired, or not started")
    running: int = Field(description="Executions that run")
    waiting: int = Field(description="Executions that wait; 1,000 means at least as many")


class WaitingQueue(Shown):
    """The executions of one handler that could start, and wait for a slot or a worker."""

    handler: str = Field(description="The name of the handler")
    count: int = Field(description="How many; 1,000 means at least as many")
    oldest: str = time_field("Since when the first of them could start")
    offered: bool = Field(description="Whether a server or a worker offers the handler")


class NextRun(Shown):
    """What fires at one time."""

    task_name: str = Field(description="The name of a task")
    handler: str = Field(description="Its handler")
    scheduled_at: str = time_field("The scheduled time")
    count: int = Field(description="How many tasks fire at that time, this one included")


class Attention(Shown):
    """One thing that needs a person."""

    kind: str = Field(description="FAILING, CONDITION, WAITING or HEALTH")
    subject: str = Field(default="", description="The name of the task or, of WAITING, of the handler")
    text: str = Field(description="What there is to say")
    since: str = time_field("The last failure, the start of the condition or of the wait")
    count: int = Field(default=0, description="Failures in a row, or executions that wait")
    key: str = Field(default="", description="The key of the condition")
    execution_id: str = Field(default="", description="The newest execution, if that is the one that failed")


class PulseBucket(Shown):
    """The executions that were recorded within 15 minutes and have ended."""

    start: str = time_field("The beginning of the 15 minutes")
    counts: dict[str, int] = Field(description="How many ended, by state")


class Pulse(Shown):
    """The executions of the last 24 hours that have ended, by the time at which they were recorded."""

    complete_from: str = time_field("Earlier times are not counted yet; each answer has more, the newest first")
    buckets: list[PulseBucket] = Field(description="15 minutes each, the oldest first")


class FailureGroup(Shown):
    """Failures of one task that look alike."""

    task_name: str = Field(description="The name of the task")
    failure_kind: str = Field(default="", description="How the last attempts failed")
    error: str = Field(description="The first line of the error, with # for each run of digits")
    count: int = Field(description="How many")
    first: str = time_field("The first of them")
    last: str = time_field("The newest of them")
    last_id: str = Field(description="The id of the newest of them")
    hours: list[int] = Field(description="How many in each of the last 24 hours, the oldest first")


class SummaryAnswer(Success):
    """A namespace at a glance."""

    read_at: str = time_field("When it was read")
    counts: Counts = Field(description="How many tasks and executions are in each state")
    lag_ms: float | None = Field(default=None, description="How late the server's event loop last came round")
    troubles: list[str] = Field(
        description="Why the server that answers is not healthy; for callers that may observe every namespace"
    )
    waiting: list[WaitingQueue] = Field(description="What could start, by handler; for callers of all the namespace")
    running: list[Execution] = Field(description="What has been running longest, with its progress; at most 50")
    newest_ends: list[Execution] = Field(description="The newest ends, newest first; at most 20")
    next_runs: list[NextRun] = Field(description="What fires next; at most 20 times")
    attention: list[Attention] = Field(description="What needs a person; at most 50 of each kind")
    last_failure: str = time_field("When the newest execution in the history that FAILED ended")
    pulse: Pulse | None = Field(default=None, description="The last 24 hours; for callers of all the namespace")
    failures: list[FailureGroup] = Field(
        description="The failures of the last 24 hours, by what they have in common; at most 200, the newest first"
    )
    more_failures: int = Field(description="How many failures look like none of these")


class Occurrence(Shown):
    """What is due at one time."""

    scheduled_at: str = time_field("The scheduled time")
    count: int = Field(description="How many tasks are due then")
    task_names: list[str] = Field(description="The first of them by name, at most 20")


class ClockNote(Shown):
    """What a change of the clocks does to tasks."""

    changes_at: str = time_field("The instant of the change")
    time_zone: str = Field(description="The time zone")
    text: str = Field(description="What it does")
    count: int = Field(description="How many tasks it concerns")
    task_names: list[str] = Field(description="The first of them by name, at most 20")


class UpcomingAnswer(Success):
    """The occurrences of enabled tasks within some hours, at their scheduled times."""

    start: str = time_field("The beginning, a whole minute")
    end: str = time_field("The end, exclusive")
    step_ms: int = Field(description="The length of a step")
    counts: list[int] = Field(description="How many occurrences are in each step")
    total: int = Field(description="How many there are in all")
    task_count: int = Field(description="How many tasks have at least one")
    busiest_minute: str = time_field("The minute with the most occurrences; absent if there are none")
    busiest_count: int = Field(description="How many are in that minute")
    next: list[Occurrence] = Field(description="The next 200, and those at the same time as the last of them")
    clock_notes: list[ClockNote] = Field(description="What changes of the clocks do to tasks")


class Explained(Shown):
    """What became of one occurrence."""

    scheduled_at: str = time_field("When it was due")
    cause: str = Field(
        description="ON_TIME, LATE, RUNNING, WAITING, COVERED, SKIPPED, MISSED, FAILED, CANCELLED, DISABLED, "
        "NOT_DEFINED, NOT_DUE, REMOVED or LOST"
    )
    text: str = Field(description="The same in words, with the reason")
    late_ms: int | None = Field(default=None, description="From the scheduled time to the first start")
    execution: Execution | None = Field(default=None, description="Its execution, or the one that stands for it")


class Change(Shown):
    """A change of the task, by the audit log."""

    changed_at: str = time_field("When it was made")
    method: str = Field(description="The rpc that made it")
    changed_by: str = Field(description="The principal that called")
    changed: list[str] = Field(description="The fields that changed")


class Finding(Shown):
    """What there is to say of one part of the task."""

    check: str = Field(description="task, schedule, handler, failures or history")
    verdict: str = Field(description="ok, warn or fail")
    told: str = Field(description="What was found")
    advice: str = Field(description="What to do about it")


class WhyAnswer(Success):
    """What became of a task's occurrences."""

    task: Task = Field(description="The task as it is now, or was when it was deleted")
    start: str = time_field("The start of the range")
    end: str = time_field("The end of the range, inclusive")
    occurrences: list[Explained] = Field(description="The oldest first; of more than 500, the newest of them")
    cut: bool = Field(default=False, description="True where the range has more occurrences; else absent")
    note: str = Field(default="", description="If the task is not due at the asked time: that, and when it is")
    changes: list[Change] = Field(description="The changes of the task since the start of the range, the newest first")
    findings: list[Finding] = Field(description="What there is to say of the task as it is now")
