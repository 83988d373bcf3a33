"""The answers, as /openapi.json describes them. `formats.json_answers` writes them; tests hold it to these models."""

from typing import Any, Literal

from pydantic import Field

from schedule_grpc.api.http.shown_tasks import TIME, Shown, Task, time_field


class FailedAttempt(Shown):
    """A failed attempt of an execution."""

    attempt: int = Field(description="The number of the attempt, from 1")
    started_at: str = time_field("When the attempt started")
    duration_ms: int = Field(description="How long the attempt took, in milliseconds")
    failure_kind: Literal["ERROR", "TIMEOUT", "REJECTED", "LEASE_LOST"] = Field(description="How the attempt failed")
    error: str = Field(description="The error's text")
    worker: str = Field(default="", description="The worker that ran the attempt; not set if a server did")


class Covers(Shown):
    """Earlier occurrences that an execution accounts for besides its own."""

    from_: str = Field(alias="from", description="The oldest of them", json_schema_extra=TIME)
    to: str = Field(description="The newest of them", json_schema_extra=TIME)
    count: int = Field(description="The number of them")
    exact: bool = Field(description="False if there are more than count")


class Progress(Shown):
    """How far the newest attempt of an execution is, as its handler last reported it."""

    attempt: int = Field(description="The number of the attempt, from 1")
    fraction: float = Field(description="How much of the work is done, from 0 to 1")
    text: str = Field(description="What the handler was doing")
    reported_at: str = time_field("When the handler reported it")


class LogLine(Shown):
    """A line that a handler logged, or the traceback of its failure."""

    attempt: int = Field(description="The number of the attempt, from 1")
    sequence: int = Field(description="The number of the line within its attempt, from 1")
    time: str = Field(description="When the handler logged the line", json_schema_extra=TIME)
    level: str = Field(description="debug, info, warning or error")
    text: str = Field(description="The line; a traceback is one line with line breaks in it")


class Execution(Shown):
    """One run of a task, over all its attempts."""

    id: str = Field(description="The execution's id")
    task_id: str = Field(description="Id of the task: task_ and its name")
    task_name: str = Field(description="Name of the task")
    namespace: str = Field(description="The namespace of the task")
    handler: str = Field(description="Name of the handler that does the work")
    status: Literal["pending", "running", "success", "failed", "cancelled", "skipped", "missed", "unknown"] = Field(
        description="The state in the older service's words; between two attempts an execution is running"
    )
    state: Literal["PENDING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED", "SKIPPED", "MISSED", "UNKNOWN"] = Field(
        description="The state of the execution"
    )
    reason: str = Field(default="", description="Why the execution never ran, or was not retried, such as OVERLAP")
    failure_kind: str = Field(default="", description="How the last attempt failed; set in state FAILED")
    trigger: Literal["SCHEDULE", "CATCH_UP", "MANUAL", "CRON", "BACKFILL", "UNKNOWN"] = Field(
        description="What created the execution"
    )
    triggered_by: str = Field(
        default="",
        description="What asked for the execution: schedule, or a principal such as key:reports-ci, if it is known",
    )
    scheduled_at: str = time_field("The occurrence; a run by hand has none")
    created_at: str = time_field("When the execution was recorded")
    started_at: str = time_field("When the first attempt started; before that, when the execution was recorded")
    completed_at: str = time_field("When the execution ended")
    duration_ms: int = Field(default=0, description="From start to end, in milliseconds; absent before the end")
    cancel_requested_at: str = time_field("When the execution was asked to end")
    attempt: int = Field(description="The number of the attempt in progress, or of the last one")
    worker: str = Field(
        default="", description="The worker that runs the newest attempt, or ran it; not set if a server does"
    )
    failed_attempts: list[FailedAttempt] = Field(description="The attempts that failed, oldest first")
    covers: Covers | None = Field(default=None, description="Earlier occurrences that this execution accounts for")
    payload: Any = Field(
        default=None, description="The payload that the run was given; absent if the task's own is used"
    )
    result: Any = Field(default=None, description="What the handler returned, on failure too")
    error: str = Field(default="", description="The last error; of a cancelled execution, why it was cancelled")
    trouble: str = Field(default="", description="The part of the execution that this server cannot read, and why")
    progress: Progress | None = Field(
        default=None, description="The newest progress; only in the answer to GET /executions/{id}"
    )


class Handler(Shown):
    """A named function that tasks run."""

    name: str = Field(description="The name by which tasks refer to the handler")
    description: str = Field(description="What the handler does")
    offered: bool = Field(
        description="Whether a server or a worker offers the handler now; if none does, executions wait"
    )
    concurrency: int = Field(default=1, description="Attempts that one server runs at once; absent: no own limit")
    payload_schema: str = Field(
        default="", description="A JSON Schema of the payload, as the newest worker gives it; absent: none does"
    )
    worker_count: int = Field(description="The number of workers that offer the handler now")
    worker_versions: list[str] = Field(description="The versions of their programs, in order")


class Worker(Shown):
    """A process that runs handlers."""

    id: str = Field(description="Identifies the worker's session to people")
    name: str = Field(description="The worker's own label")
    version: str = Field(default="", description="The version of the worker's program")
    namespace: str = Field(description="The namespace that the worker serves; *: every one")
    handlers: list[str] = Field(description="The names of the handlers that the worker offers, in order")
    slots: int = Field(description="Attempts that the worker runs at once")
    running: int = Field(description="Attempts that the worker has now")
    labels: dict[str, str] = Field(description="The worker's labels")
    started_at: str = time_field("When the session began")
    last_seen: str = time_field("When the worker last renewed its lease")
    draining: bool = Field(description="Whether the worker stops")
    ended_at: str = time_field("When the session ended; absent while the worker lives")
    registered_by: str = Field(
        default="", description="The principal that registered the worker, such as key:reports-worker, if it is known"
    )


class Detail(Shown):
    """A field that was refused, and why."""

    field: str = Field(description="The field, as the caller wrote it")
    reason: str = Field(description="Why the field was refused")
    code: str = Field(default="", description="A stable code where there is one, such as TASK_NOT_FOUND")


class Refusal(Shown):
    """The call was refused or failed."""

    success: Literal[False] = Field(description="Always false")
    error: str = Field(description="The error's text")
    details: list[Detail] | dict[str, str] = Field(
        default_factory=list, description="The refused fields and why; of other errors, what they concern"
    )
    error_id: str = Field(default="", description="Of an internal error: the id under which it stands in the log")


class Success(Shown):
    """The call succeeded."""

    success: Literal[True] = Field(description="Always true")


class TaskAnswer(Success):
    """One task."""

    task: Task = Field(description="The task")
    message: str = Field(default="", description="The result in a sentence")


class TasksAnswer(Success):
    """Tasks, in the order of their names if no other was asked for."""

    count: int = Field(description="The number of tasks in this answer")
    tasks: list[Task] = Field(description="The tasks")
    next_page_token: str = Field(default="", description="The pageToken of the next page; absent on the last one")
    partial: bool = Field(
        default=False,
        description="True where one call examined as many tasks as it may: the search goes on with the next page",
    )


class MessageAnswer(Success):
    """The change was made."""

    message: str = Field(description="The result in a sentence")
    task: Task | None = Field(default=None, description="The task as it is now; absent after it was deleted")


class RunAnswer(Success):
    """An execution that succeeded, or (202) one that was recorded and goes on."""

    message: str = Field(description="The result in a sentence")
    execution: Execution = Field(description="The execution")


class RunRefusal(Refusal):
    """The task did not run, or its execution did not succeed."""

    execution: Execution | None = Field(default=None, description="The execution, if one was recorded")


class ExecutionAnswer(Success):
    """One execution."""

    execution: Execution = Field(description="The execution")


class LogAnswer(Success):
    """Log lines of one execution."""

    count: int = Field(description="The number of lines in this answer")
    lines: list[LogLine] = Field(description="The newest lines that are kept, the oldest first")
    dropped: int = Field(
        description="How many lines of these attempts are not kept, or were too many or too long for this answer"
    )


class HistoryAnswer(Success):
    """Executions of one task, newest first."""

    count: int = Field(description="The number of executions in this answer")
    history: list[Execution] = Field(description="The executions")
    next_page_token: str = Field(default="", description="The pageToken of the next page; absent on the last one")


class ExecutionsAnswer(Success):
    """Executions of all tasks, newest first."""

    count: int = Field(description="The number of executions in this answer")
    executions: list[Execution] = Field(description="The executions")
    next_page_token: str = Field(default="", description="The pageToken of the next page; absent on the last one")


class TriggeredAnswer(Success):
    """Executions that a cron expression triggered."""

    cron: str = Field(description="The cron expression, as the caller wrote it")
    count: int = Field(description="The number of executions")
    executions: list[Execution] = Field(description="The executions, as they were recorded")


class BackfillAnswer(Success):
    """Executions that a backfill recorded."""

    count: int = Field(description="The number of executions that this call recorded")
    existing_count: int = Field(description="The number of occurrences that had an execution already")
    executions: list[Execution] = Field(description="The executions that this call recorded")


class HandlersAnswer(Success):
    """The handlers that tasks can name."""

    count: int = Field(description="The number of handlers")
    handlers: list[str] = Field(description="The names of the handlers, in order")
    details: list[Handler] = Field(description="The handlers, in the same order")


class WorkersAnswer(Success):
    """Workers, the newest session first."""

    count: int = Field(description="The number of workers")
    workers: list[Worker] = Field(description="The workers that live, and those that ended within 24 hours")


class AuditEvent(Shown):
    """A row of the audit log: who changed what, or which calls were refused."""

    replica: str = Field(description="The chain that the row belongs to: the name of a server's machine")
    seq: int = Field(description="The number of the row in its chain, from 1")
    time: str = Field(description="When the call was made, to the microsecond", json_schema_extra=TIME)
    principal: str = Field(description="The caller, such as key:reports-ci")
    via: Literal["key", "certificate", "jwt", "socket", "offline", "none"] = Field(
        description="How it proved who it is"
    )
    key_id: str = Field(default="", description="The id of its key")
    peer: str = Field(default="", description="The address from which it called")
    user_agent: str = Field(default="", description="The program that it said it is")
    method: str = Field(description="The rpc; a route counts as the rpc that it stands for")
    namespace: str = Field(default="", description="The namespace of what changed")
    resource: str = Field(default="", description="The name of the task, key or namespace that changed")
    execution: str = Field(default="", description="The id of the execution that the call made or ended")
    outcome: Literal["DONE", "DENIED"] = Field(description="Whether the calls were refused")
    reason: str = Field(default="", description="The code of the error, if they were")
    changed: list[str] = Field(default=[], description="The names of the fields that got other values")
    payload_hash: str = Field(default="", description="A salted hash of the payload that was given")
    before_etag: str = Field(default="", description="The etag before the change; not set: it was not there")
    after_etag: str = Field(default="", description="The etag after the change; not set: it is not there")
    count: int = Field(description="The number of calls that the row counts, or of executions of a backfill")
    prev_hash: str = Field(default="", description="The hash of the row before this one in its chain")
    hash: str = Field(description="The SHA-256 of all other fields")


class AuditAnswer(Success):
    """A page of the audit log."""

    count: int = Field(description="The number of rows in the answer")
    events: list[AuditEvent] = Field(description="The rows, newest first")
    next_page_token: str = Field(default="", description="The pageToken of the next page; not set on the last one")


class InitAnswer(Success):
    """All built-in tasks are registered."""

    message: str = Field(description="The result in a sentence")
    registered: list[str] = Field(description="The names of the tasks that this call registered")


class PreviewAnswer(Success):
    """When a schedule fires."""

    schedule: str = Field(description="The schedule, as the caller wrote it")
    time_zone: str = Field(description="IANA name of the zone in which a cron expression is read")
    description: str = Field(description="The schedule in English")
    cron: str = Field(default="", description="The cron expression with the same meaning, if there is one")
    next_runs: list[str] = Field(description="The next occurrences, earliest first")
    notes: list[str] = Field(description="What daylight saving time does to these occurrences")


class Health(Shown):
    """Whether the server does its work."""

    status: Literal["ok", "degraded"] = Field(description="ok, or degraded (503)")
    service: str = Field(description="The service's name")
    timestamp: str = Field(description="The server's time", json_schema_extra=TIME)
    reasons: list[str] = Field(default_factory=list, description="Why the server is degraded")


class Liveness(Shown):
    """The server's process lives."""

    status: Literal["ok"]


class Readiness(Shown):
    """Whether calls may be sent to the server."""

    status: Literal["ok", "unready"] = Field(description="ok, or unready (503)")
    reasons: list[str] = Field(default_factory=list, description="Why calls should go elsewhere, in fixed words")


class Information(Shown):
    """The service, its version and its routes."""

    service: str = Field(description="The service's name")
    version: str = Field(description="The version of the server's program")
    description: str = Field(description="What the service does")
    interfaces: dict[str, str] = Field(description="How the service can be called")
    endpoints: dict[str, Any] = Field(description="The routes, by what they do")
