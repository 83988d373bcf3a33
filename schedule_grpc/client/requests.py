"""One function per rpc: it makes a `Call` of a method's arguments. Both clients make their methods of these functions.

Nothing here does I/O. A function refuses only values that a request message would change or cannot hold; the server
checks everything else, and reports all wrong fields at once.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

from schedule_grpc.client import responses
from schedule_grpc.client.call import Call, Pages, Run
from schedule_grpc.client.responses import RunResult
from schedule_grpc.client.values import given, instant, policy_message, registrations_given, state_numbers, struct
from schedule_grpc.domain.execution import Backfill, Execution, ExecutionFilter, ExecutionPage, State
from schedule_grpc.domain.policy import DEFAULT, Policy
from schedule_grpc.domain.policy_reading import read_policy
from schedule_grpc.domain.registration import Registration, TaskUpdate
from schedule_grpc.domain.schedule import Preview
from schedule_grpc.domain.task import OBJECT_FIELDS, Handler, Task, TaskFilter, TaskPage
from schedule_grpc.events import WatchEvent
from schedule_grpc.formats import protobuf
from schedule_grpc.formats.protobuf import request_of
from schedule_grpc.pb import schedule_pb2 as pb

NEVER_RETRIED = ("TriggerCron",)
"""Rpcs that do their work once more if they are repeated."""


def register_task(
    *,
    name: str,
    schedule: str,
    handler: str,
    enabled: bool | None = None,
    time_zone: str = "",
    payload: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
    description: str = "",
    policy: Policy | Mapping[str, Any] | None = None,
    validate_only: bool = False,
    etag: str = "",
    allow_unknown_handler: bool = False,
) -> Call[Task]:
    """Create a task, or replace the definition of the task of that name; the same again changes nothing.

    Args:
        name: Letters, digits, ``.``, ``_`` and ``-``; at most 128.
        schedule: Such as ``*/5 * * * *``, ``@daily``, ``every 90 minutes``, ``2026-01-31T10:00:00Z``, ``@manual``.
        handler: The name of a handler that the server knows.
        enabled: None enables a new task and keeps an operator's pause of an existing one.
        time_zone: IANA name of the zone in which cron expressions are read; UTC if it is empty.
        payload: Handed to the handler; at most 64 KiB of JSON.
        metadata: Free to use; at most 16 KiB of JSON.
        description: The purpose of the task.
        policy: None means the defaults, also for an existing task; `update_task` changes single policies. A mapping
            works too: ``{"timeout": "5m", "overlap": "buffer-one", "retry": {"max_retries": 5}}``.
        validate_only: Validate and return the result without storing anything.
        etag: If given, the task must still be as it was read with this etag.
        allow_unknown_handler: Accept a handler that no server offers yet; its executions wait.

    Raises:
        InvalidArgument: with a violation for every field that is wrong; InvalidSchedule for schedule and zone.
        HandlerNotFound: if no server offers, or ever offered, the handler.
        EtagMismatch: if the task has changed.
    """
    request = request_of(
        pb.RegisterTaskRequest,
        name=name,
        schedule=schedule,
        handler=handler,
        enabled=enabled,
        time_zone=time_zone,
        payload=struct("payload", payload or {}),
        metadata=struct("metadata", metadata or {}),
        description=description,
        policy=None if policy is None else policy_message(policy),
        validate_only=validate_only,
        etag=etag,
        allow_unknown_handler=allow_unknown_handler,
    )
    return Call(rpc="RegisterTask", request=request, read=protobuf.task_from)


def batch_register_tasks(
    registrations: Sequence[Registration], *, validate_only: bool = False
) -> Call[tuple[Task, ...]]:
    """Register up to 1,000 tasks, each of another name: all of them, or none. Return them in the same order.

    Raises:
        InvalidArgument: with violations such as ``requests[3].schedule``.
        HandlerNotFound, EtagMismatch: for the first task that is refused; none is registered then.
    """
    request = request_of(
        pb.BatchRegisterTasksRequest,
        requests=[protobuf.registration_to(each) for each in registrations_given(registrations)],
        validate_only=validate_only,
    )
    return Call(rpc="BatchRegisterTasks", request=request, read=responses.tasks)


def update_task(
    name: str,
    *,
    schedule: str | None = None,
    time_zone: str | None = None,
    handler: str | None = None,
    enabled: bool | None = None,
    payload: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
    description: str | None = None,
    policy: Policy | Mapping[str, Any] | None = None,
    etag: str = "",
    validate_only: bool = False,
    allow_unknown_handler: bool = False,
) -> Call[Task]:
    """Change a task; arguments that are None leave their field as it is.

    ``policy`` holds the policies to change, such as ``{"timeout": timedelta(minutes=2), "overlap": "allow-all",
    "retry.max_retries": None}``; there None stands for the default. Parts are dotted or nested, durations texts
    (``"5m"``), seconds or timedeltas. An empty text or object is the default too: ``time_zone=""`` is UTC. See
    `register_task` for the rest.

    Raises:
        TaskNotFound: if no task has that name.
        InvalidArgument: with a violation for every field that is wrong; InvalidSchedule for schedule and zone.
        HandlerNotFound: if no server offers, or ever offered, the handler.
        EtagMismatch: if the task has changed.
    """
    changes: dict[str, Any] = {
        "schedule": schedule,
        "time_zone": time_zone,
        "handler": handler,
        "payload": payload,
        "metadata": metadata,
        "description": description,
    }
    fields = {field: value for field, value in changes.items() if value is not None}
    values: dict[str, Any] = {
        field: struct(field, value) if field in OBJECT_FIELDS else value for field, value in fields.items()
    }
    policies = read_policy({} if policy is None else policy).checked()
    chosen = protobuf.policy_to(DEFAULT.with_fields(policies)) if policies else None
    message = request_of(
        pb.Task, name=name, etag=etag, **values, enabled=False if enabled is None else enabled, policy=chosen
    )
    update = TaskUpdate(
        name=name,
        fields=fields,
        policy=policies,
        enabled=enabled,
        etag=etag,
        validate_only=validate_only,
        allow_unknown_handler=allow_unknown_handler,
    )
    return Call(rpc="UpdateTask", request=protobuf.update_to(update, message), read=protobuf.task_from)


def delete_task(name: str, *, etag: str = "") -> Call[None]:
    """Delete a task. Its history stays readable under its name; a running attempt may finish and is not retried.

    Raises:
        TaskNotFound: if no task has that name.
        EtagMismatch: if ``etag`` is given and the task has changed.
    """
    return Call(
        rpc="DeleteTask", request=request_of(pb.DeleteTaskRequest, name=name, etag=etag), read=responses.nothing
    )


def get_task(name: str) -> Call[Task]:
    """Return a task.

    Raises:
        TaskNotFound: if no task has that name.
    """
    return Call(rpc="GetTask", request=request_of(pb.GetTaskRequest, name=name), read=protobuf.task_from)


def list_tasks(chosen: TaskFilter | None = None, *, page_size: int = 0, page_token: str = "") -> Call[TaskPage]:
    """Return one page of the chosen tasks, in the order of their names; 100 of them if ``page_size`` is 0."""
    criteria = given(TaskFilter, "chosen", chosen) or TaskFilter()
    request = request_of(
        pb.ListTasksRequest,
        page_size=page_size,
        page_token=page_token,
        enabled=criteria.enabled,
        handler=criteria.handler,
        name_prefix=criteria.name_prefix,
        category=criteria.category,
    )
    return Call(rpc="ListTasks", request=request, read=responses.task_page)


def tasks(chosen: TaskFilter | None = None, *, page_size: int = 0) -> Pages[Task]:
    """Iterate over all chosen tasks, in the order of their names; pages are fetched as they are needed."""
    return Pages(page=lambda token: list_tasks(chosen, page_size=page_size, page_token=token), items=responses.tasks_of)


def enable_task(name: str, *, etag: str = "") -> Call[Task]:
    """Let a task fire again, counting from now.

    Raises:
        TaskNotFound: if no task has that name.
        EtagMismatch: if ``etag`` is given and the task has changed.
    """
    return Call(
        rpc="EnableTask", request=request_of(pb.EnableTaskRequest, name=name, etag=etag), read=protobuf.task_from
    )


def disable_task(name: str, *, note: str = "", etag: str = "") -> Call[Task]:
    """Stop a task from firing; running executions go on. ``note`` is shown to others as the reason.

    Raises:
        TaskNotFound: if no task has that name.
        EtagMismatch: if ``etag`` is given and the task has changed.
    """
    return Call(
        rpc="DisableTask",
        request=request_of(pb.DisableTaskRequest, name=name, note=note, etag=etag),
        read=protobuf.task_from,
    )


def run_task_now(
    name: str, *, payload: Mapping[str, Any] | None = None, detach: bool = False, request_id: str = ""
) -> Run[RunResult]:
    """Run a task now and wait for its end, over all attempts, however long that takes; detached, do not wait.

    If the server restarts meanwhile, the client waits for the same execution again, if it reaches the server within its
    ``patience``. ``payload`` replaces the task's for this run. The same ``request_id`` gives the same execution;
    without one a random one is sent, so that a call that is tried again runs the task once.

    Raises:
        TaskNotFound: if no task has that name.
        TaskDisabled: if the task is disabled.
        NoWorker: if no server took the execution within 30 s.
        Unavailable: if the server is gone for longer than that; the execution goes on all the same.
    """
    fields: dict[str, Any] = {
        "name": name,
        "payload": None if payload is None else struct("payload", payload),
        "request_id": request_id or uuid4().hex,
    }
    start, end = (
        Call(
            rpc="RunTaskNow",
            request=request_of(pb.RunTaskNowRequest, **fields, detach=detached),
            read=responses.run_result,
            waits=not detached,
        )
        for detached in (True, False)
    )
    return Run(start=start, end=None if detach else end, is_over=responses.is_over)


def trigger_cron(cron: str) -> Call[tuple[Execution, ...]]:
    """Run, now, every enabled task whose schedule means the same cron expression; return the recorded executions.

    ``* * * * *`` runs every enabled task. The call is never repeated by itself: if its fate is unknown, look at the
    executions.

    Raises:
        InvalidArgument: if the text is not, and does not mean, a cron expression.
    """
    return Call(rpc="TriggerCron", request=request_of(pb.TriggerCronRequest, cron=cron), read=responses.executions)


def preview_schedule(
    schedule: str, *, time_zone: str = "UTC", count: int = 10, start_time: datetime | None = None
) -> Call[Preview]:
    """Return the next ``count`` (1 to 1,000) occurrences after ``start_time``, or after now, with notes on DST.

    Raises:
        InvalidSchedule: if schedule or zone cannot be read.
        InvalidArgument: if the count is out of bounds.
    """
    request = request_of(
        pb.PreviewScheduleRequest,
        schedule=schedule,
        time_zone=time_zone,
        count=count,
        start_time=instant("start_time", start_time),
    )

    def read(response: pb.PreviewScheduleResponse) -> Preview:
        return protobuf.preview_from(response, schedule=schedule, time_zone=time_zone)

    return Call(rpc="PreviewSchedule", request=request, read=read)


def backfill_task(name: str, *, start_time: datetime, end_time: datetime) -> Call[Backfill]:
    """Record executions for the past occurrences in [start_time, end_time), at most 1,000; they run one by one.

    Occurrences that already have an execution are counted, not run again.

    Raises:
        TaskNotFound: if no task has that name.
        TaskDisabled: if the task is disabled.
        InvalidArgument: if a time is invalid, or too many occurrences lie between the two.
    """
    request = request_of(
        pb.BackfillTaskRequest,
        name=name,
        start_time=instant("start_time", start_time),
        end_time=instant("end_time", end_time),
    )
    return Call(rpc="BackfillTask", request=request, read=protobuf.backfill_from)


def get_task_history(
    name: str, chosen: ExecutionFilter | None = None, *, page_size: int = 0, page_token: str = ""
) -> Call[ExecutionPage]:
    """Return one page of a task's executions, newest first; an empty page for a name that no task has or had."""
    request = request_of(
        pb.GetTaskHistoryRequest, name=name, page_size=page_size, page_token=page_token, **_filter(chosen)
    )
    return Call(rpc="GetTaskHistory", request=request, read=protobuf.execution_page_from)


def task_history(name: str, chosen: ExecutionFilter | None = None, *, page_size: int = 0) -> Pages[Execution]:
    """Iterate over all executions of a task, newest first; pages are fetched as they are needed."""
    return Pages(
        page=lambda token: get_task_history(name, chosen, page_size=page_size, page_token=token),
        items=responses.executions_of,
    )


def list_executions(
    chosen: ExecutionFilter | None = None, *, page_size: int = 0, page_token: str = ""
) -> Call[ExecutionPage]:
    """Return one page of the executions of all tasks, newest first; 100 of them if ``page_size`` is 0."""
    request = request_of(pb.ListExecutionsRequest, page_size=page_size, page_token=page_token, **_filter(chosen))
    return Call(rpc="ListExecutions", request=request, read=protobuf.execution_page_from)


def executions(chosen: ExecutionFilter | None = None, *, page_size: int = 0) -> Pages[Execution]:
    """Iterate over the executions of all tasks, newest first; pages are fetched as they are needed."""
    return Pages(
        page=lambda token: list_executions(chosen, page_size=page_size, page_token=token), items=responses.executions_of
    )


def get_execution(execution_id: str) -> Call[Execution]:
    """Return one execution.

    Raises:
        ExecutionNotFound: if the history does not hold it, or no longer does.
    """
    return Call(
        rpc="GetExecution", request=request_of(pb.GetExecutionRequest, id=execution_id), read=protobuf.execution_from
    )


def cancel_execution(execution_id: str, *, note: str = "") -> Call[Execution]:
    """Cancel an execution and return it: a waiting one ends CANCELLED at once, a running one is asked to stop.

    Raises:
        ExecutionNotFound: if the history does not hold it, or no longer does.
    """
    request = request_of(pb.CancelExecutionRequest, id=execution_id, note=note)
    return Call(rpc="CancelExecution", request=request, read=protobuf.execution_from)


def watch_executions(task_name: str = "", states: Iterable[State] = ()) -> Call[WatchEvent | None]:
    """Watch executions from now on: their transitions, the progress of handlers, and the number of lost events.

    Args:
        task_name: Only executions of this task; of all tasks if it is empty.
        states: Only changes to these states, and progress if RUNNING is among them; everything if it is empty.

    The watch is an iterator and a context manager; leaving the context, or ``close()``, ends it. It yields every event
    from its beginning on: the blocking client's has begun when it is returned, the async client's when its context is
    entered. If the server restarts and the client reaches it within its ``patience``, the watch goes on and yields
    ``Lost(count=0)``: events of the time between are lost. Events are hints: read the execution to be sure.
    """
    request = request_of(pb.WatchExecutionsRequest, task_name=task_name, states=state_numbers(states))
    return Call(rpc="WatchExecutions", request=request, read=protobuf.event_from, waits=True)


def list_handlers() -> Call[tuple[Handler, ...]]:
    """Return the handlers that tasks can name, in the order of their names."""
    return Call(rpc="ListHandlers", request=pb.ListHandlersRequest(), read=responses.handlers)


def initialize_default_tasks() -> Call[tuple[Task, ...]]:
    """Register the built-in tasks that are not there; return those."""
    return Call(rpc="InitializeDefaultTasks", request=pb.InitializeDefaultTasksRequest(), read=responses.tasks)


def _filter(chosen: ExecutionFilter | None) -> dict[str, Any]:
    criteria = given(ExecutionFilter, "chosen", chosen) or ExecutionFilter()
    return {
        "states": state_numbers(criteria.states),
        "start_time": instant("start_time", criteria.start_time),
        "end_time": instant("end_time", criteria.end_time),
    }
