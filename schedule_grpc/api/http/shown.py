"""What callers are answered, for the documentation at /openapi.json; written by `as_json`, checked by tests."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

TIME: dict[str, Any] = {"format": "date-time", "examples": ["2026-01-31T10:00:00.000Z"]}


class Shown(BaseModel):
    """A JSON object; what does not apply is left out."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")


def _time(meaning: str) -> Any:
    return Field(default=None, description=meaning, json_schema_extra=TIME)


class Stats(Shown):
    """What became of a task's executions so far."""

    success_count: int
    failure_count: int
    consecutive_failures: int
    last_success: str = _time("When one last succeeded")
    last_failure: str = _time("When one last failed")


class Task(Shown):
    """A registered task."""

    id: str
    name: str
    schedule: str = Field(description="As it was written")
    time_zone: str
    schedule_description: str = Field(description="In English")
    handler: str
    enabled: bool
    trouble: str = Field(default="", description="What this server cannot read of it; the task does not fire")
    note: str = Field(default="", description="Why it is disabled")
    description: str = ""
    payload: dict[str, Any]
    metadata: dict[str, Any]
    policy: dict[str, Any] = Field(description="As in a request; every policy, durations in milliseconds")
    last_run: str = _time("The start of the newest execution that started")
    next_run: str = _time("The next occurrence; not there when disabled or manual")
    created_at: str = _time("When it was first registered")
    updated_at: str = _time("When its definition last changed")
    etag: str
    stats: Stats


class FailedAttempt(Shown):
    """A failed attempt."""

    attempt: int
    started_at: str = _time("Its start")
    duration_ms: int
    failure_kind: Literal["ERROR", "TIMEOUT", "REJECTED", "LEASE_LOST"]
    error: str


class Covers(Shown):
    """Older occurrences for which this one stands."""

    from_: str = Field(alias="from", json_schema_extra=TIME)
    to: str = Field(json_schema_extra=TIME)
    count: int
    exact: bool = Field(description="False: there are at least so many")


class Execution(Shown):
    """One run of a task, over all its attempts."""

    id: str
    task_id: str
    task_name: str
    handler: str
    status: Literal["pending", "running", "success", "failed", "cancelled", "skipped", "missed", "unknown"] = Field(
        description="In the older service's words; between two attempts it is running"
    )
    state: Literal["PENDING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED", "SKIPPED", "MISSED", "UNKNOWN"]
    reason: str = ""
    failure_kind: str = ""
    trigger: Literal["SCHEDULE", "CATCH_UP", "MANUAL", "CRON", "BACKFILL", "UNKNOWN"]
    scheduled_at: str = _time("The occurrence; not there for runs by hand")
    created_at: str = _time("When it was recorded")
    started_at: str = _time("The first attempt's start, else when it was recorded")
    completed_at: str = _time("Its end")
    duration_ms: int = Field(default=0, description="From start to end; not there before the end")
    cancel_requested_at: str = _time("When somebody asked for its end")
    attempt: int
    failed_attempts: list[FailedAttempt] = Field(description="Oldest first")
    covers: Covers | None = None
    payload: Any = None
    result: Any = None
    error: str = ""
    trouble: str = Field(default="", description="What this server cannot read of it")


class Handler(Shown):
    """What tasks can name."""

    name: str
    description: str
    offered: bool
    concurrency: int = Field(default=1, description="Attempts that run at once, if there is a limit of its own")


class Detail(Shown):
    """A field, and what is wrong with it."""

    field: str
    reason: str
    code: str = Field(default="", description="Where callers may want to tell reasons apart, such as TASK_NOT_FOUND")


class Refusal(Shown):
    """The call did not do what it should."""

    success: Literal[False]
    error: str
    details: list[Detail] | dict[str, str] = Field(default_factory=list)
    error_id: str = Field(default="", description="To be quoted, of an internal error")


class Success(Shown):
    """The call did what it should."""

    success: Literal[True]


class TaskAnswer(Success):
    """One task."""

    task: Task
    message: str = ""


class TasksAnswer(Success):
    """Tasks by name."""

    count: int
    tasks: list[Task]
    next_page_token: str = ""


class MessageAnswer(Success):
    """It is done."""

    message: str
    task: Task | None = None


class RunAnswer(Success):
    """A run, at its end or (202) under way."""

    message: str
    execution: Execution


class RunRefusal(Refusal):
    """It did not succeed; an execution, if there is one, says why."""

    execution: Execution | None = None


class ExecutionAnswer(Success):
    """One execution."""

    execution: Execution


class HistoryAnswer(Success):
    """Executions of one task, newest first."""

    count: int
    history: list[Execution]
    next_page_token: str = ""


class ExecutionsAnswer(Success):
    """Executions of all tasks, newest first."""

    count: int
    executions: list[Execution]
    next_page_token: str = ""


class TriggeredAnswer(Success):
    """What a cron expression started."""

    cron: str
    count: int
    executions: list[Execution]


class BackfillAnswer(Success):
    """What a backfill recorded."""

    count: int
    existing_count: int
    executions: list[Execution]


class HandlersAnswer(Success):
    """Names, and more about each."""

    count: int
    handlers: list[str]
    details: list[Handler]


class InitAnswer(Success):
    """The built-in tasks are there."""

    message: str
    registered: list[str]


class PreviewAnswer(Success):
    """When a schedule fires."""

    schedule: str
    time_zone: str
    description: str
    cron: str = Field(default="", description="The cron expression that means the same, if there is one")
    next_runs: list[str]
    notes: list[str] = Field(description="What daylight saving time does to it")


class Health(Shown):
    """How the server is."""

    status: Literal["ok", "degraded"]
    service: str
    timestamp: str = Field(json_schema_extra=TIME)
    reasons: list[str] = Field(default_factory=list)


class Information(Shown):
    """What this is."""

    service: str
    version: str
    description: str
    interfaces: dict[str, str]
    endpoints: dict[str, Any]
