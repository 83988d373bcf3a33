"""One function per rpc about definitions: tasks, schedules and handlers."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from schedule_grpc.client import responses
from schedule_grpc.client.call import Call, Pages
from schedule_grpc.client.values import given, instant, policy_message, registrations_given, struct
from schedule_grpc.domain.listing import TaskOrder
from schedule_grpc.domain.policy import DEFAULT, Policy
from schedule_grpc.domain.policy_reading import read_policy
from schedule_grpc.domain.registration import Registration, TaskUpdate
from schedule_grpc.domain.schedule import Preview
from schedule_grpc.domain.task import OBJECT_FIELDS, Handler, Task, TaskFilter, TaskPage
from schedule_grpc.formats import protobuf
from schedule_grpc.formats.protobuf import request_of
from schedule_grpc.pb import schedule_pb2 as pb


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
        allow_unknown_handler: Accept a handler that no server or worker offers yet; its executions wait.

    Raises:
        InvalidArgument: with a violation for every field that is wrong; InvalidSchedule for schedule and zone.
        HandlerNotFound: if no server or worker offers, or ever offered, the handler.
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
        HandlerNotFound: if no server or worker offers, or ever offered, the handler.
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


def list_tasks(
    chosen: TaskFilter | None = None, *, page_size: int = 0, page_token: str = "", full: bool = False
) -> Call[TaskPage]:
    """Return one page of the chosen tasks, in the order that the filter names; 100 of them if ``page_size`` is 0.

    With ``full`` each task's ``activity`` tells what its executions are doing.

    Raises:
        InvalidArgument: if more than 50,000 tasks would have to be sorted.
    """
    criteria = given(TaskFilter, "chosen", chosen) or TaskFilter()
    request = request_of(
        pb.ListTasksRequest,
        page_size=page_size,
        page_token=page_token,
        enabled=criteria.enabled,
        handler=criteria.handler,
        name_prefix=criteria.name_prefix,
        category=criteria.category,
        query=criteria.query,
        states=protobuf.task_states_to(criteria.states),
        order_by="" if criteria.order is TaskOrder.NAME else protobuf.ORDERS[criteria.order],
        view=pb.TASK_VIEW_FULL if full else None,
    )
    return Call(rpc="ListTasks", request=request, read=responses.task_page)


def tasks(chosen: TaskFilter | None = None, *, page_size: int = 0, full: bool = False) -> Pages[Task]:
    """Iterate over all chosen tasks, in the order that the filter names; pages are fetched as they are needed."""
    return Pages(
        page=lambda token: list_tasks(chosen, page_size=page_size, page_token=token, full=full),
        items=responses.tasks_of,
    )


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


def list_handlers() -> Call[tuple[Handler, ...]]:
    """Return the handlers that tasks can name, in the order of their names."""
    return Call(rpc="ListHandlers", request=pb.ListHandlersRequest(), read=responses.handlers)


def initialize_default_tasks() -> Call[tuple[Task, ...]]:
    """Register the built-in tasks that are not there; return those."""
    return Call(rpc="InitializeDefaultTasks", request=pb.InitializeDefaultTasksRequest(), read=responses.tasks)
