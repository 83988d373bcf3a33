"""Tasks in answers, as /openapi.json describes them."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

TIME: dict[str, Any] = {"format": "date-time", "examples": ["2026-01-31T10:00:00.000Z"]}


class Shown(BaseModel):
    """A JSON object; a field without a value is left out."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")


def time_field(meaning: str) -> Any:
    """Return the field of a time that may be left out."""
    return Field(default=None, description=meaning, json_schema_extra=TIME)


class Stats(Shown):
    """Counts over the task's life."""

    success_count: int = Field(description="Executions that succeeded")
    failure_count: int = Field(description="Executions that failed")
    consecutive_failures: int = Field(description="Executions that failed since the last one that succeeded")
    last_success: str = time_field("When the newest execution that succeeded ended")
    last_failure: str = time_field("When the newest execution that failed ended")


class LastOutcome(Shown):
    """How the newest of a task's executions that have ended did end."""

    execution_id: str = Field(description="The execution's id")
    state: str = Field(description="SUCCEEDED, FAILED, CANCELLED, SKIPPED or MISSED")
    reason: str = Field(default="", description="Why the execution never ran; absent if it ran")
    failure_kind: str = Field(default="", description="How its last attempt failed; absent if it did not")
    started_at: str = time_field("When its first attempt started")
    completed_at: str = time_field("When it ended")
    duration_ms: int = Field(description="From the first attempt's start to the end; 0 for what never ran")


class Activity(Shown):
    """What a task's executions are doing; asked for by view=full."""

    running: int = Field(description="Executions that run")
    waiting: int = Field(description="Executions that wait; 1,000 means at least as many")
    last: LastOutcome | None = Field(default=None, description="The newest end; absent if none is in the history")


class Task(Shown):
    """A registered task."""

    id: str = Field(description="task_ and the name")
    name: str = Field(description="The task's name, unique among the tasks of its namespace")
    namespace: str = Field(description="The namespace of the task")
    schedule: str = Field(description="The schedule, as the caller wrote it")
    time_zone: str = Field(description="IANA name of the zone in which a cron expression is read")
    schedule_description: str = Field(description="The schedule in English")
    handler: str = Field(description="Name of the handler that does the work")
    no_worker: bool = Field(
        default=False, description="True where no server and no worker offers the handler: executions wait; else absent"
    )
    enabled: bool = Field(description="Whether the task fires")
    trouble: str = Field(
        default="", description="The part of the task that this server cannot read, and why; such a task does not fire"
    )
    note: str = Field(default="", description="Why the task is disabled")
    description: str = Field(default="", description="What the task is for")
    payload: dict[str, Any] = Field(description="Passed to the handler with each execution")
    metadata: dict[str, Any] = Field(description="The caller's own data")
    policy: dict[str, Any] = Field(description="Every policy, as in a request; durations in milliseconds")
    last_run: str = time_field("When the newest execution started")
    next_run: str = time_field("The next occurrence; a disabled or manual task has none")
    created_at: str = time_field("When the task was created")
    updated_at: str = time_field("When the definition last changed")
    changed_by: str = Field(
        default="", description="The principal that last changed the definition, such as key:reports-ci, if it is known"
    )
    etag: str = Field(description="Changes with each change of the definition, not with a run")
    stats: Stats = Field(description="What became of the task's executions")
    activity: Activity | None = Field(default=None, description="What its executions are doing; with view=full only")
