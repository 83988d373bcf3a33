"""Tasks and handlers between our values and the contract's messages."""

from collections.abc import Iterable
from functools import lru_cache
from itertools import chain
from typing import Any

from schedule_grpc.domain.access.namespace import DEFAULT_NAMESPACE
from schedule_grpc.domain.policy import Policy
from schedule_grpc.domain.registration import Registration, check_batch
from schedule_grpc.domain.schedule import read_stored
from schedule_grpc.domain.task import (
    OBJECT_FIELDS,
    SCHEDULE_FIELDS,
    TEXT_FIELDS,
    Definition,
    Handler,
    Task,
    TaskStats,
    define,
)
from schedule_grpc.errors import InvalidArgument, Violation
from schedule_grpc.formats.protobuf.listing import activity_from, activity_to
from schedule_grpc.formats.protobuf.namespaces import namespace_field
from schedule_grpc.formats.protobuf.policy import POLICIES_KEPT, policy_asked, policy_from, policy_to
from schedule_grpc.formats.protobuf.values import instant_from, instant_to, json_asked, json_from, request_of, struct_to
from schedule_grpc.pb import schedule_pb2 as pb

_LENGTH_DELIMITED = 2
_TASKS_FIELD_NUMBER = 1
_TASKS = bytes([_TASKS_FIELD_NUMBER << 3 | _LENGTH_DELIMITED])
"""The key before each of the ``tasks`` of a ListTasksResponse or a BatchRegisterTasksResponse; its length is next."""
_SEVEN_BITS, _MORE = 0x7F, 0x80


def registration_from(request: pb.RegisterTaskRequest) -> Registration:
    """Return the registration of a caller's request.

    Raises:
        InvalidArgument: with a violation for every field that is wrong.
    """
    policy = policy_asked(request.policy)
    fields: dict[str, Any] = {name: getattr(request, name) for name in (*SCHEDULE_FIELDS, *TEXT_FIELDS)}
    fields |= {name: json_asked(getattr(request, name), name, most) for name, most in OBJECT_FIELDS.items()}
    return Registration(
        definition=define(name=request.name, namespace=request.namespace or DEFAULT_NAMESPACE, **fields, policy=policy),
        enabled=request.enabled if request.HasField("enabled") else None,
        validate_only=request.validate_only,
        etag=request.etag,
        allow_unknown_handler=request.allow_unknown_handler,
    )


def registrations_from(request: pb.BatchRegisterTasksRequest) -> tuple[Registration, ...]:
    """Return the registrations of a caller's request.

    Raises:
        InvalidArgument: with a violation for every field of every request that is wrong, such as requests[3].schedule;
            if there are none or too many.
    """
    check_batch(len(request.requests))
    read: list[Registration] = []
    violations: list[Violation] = []
    more = 0
    for index, each in enumerate(request.requests):
        place = f"requests[{index}]"
        if each.validate_only:
            violations.append(Violation(field=f"{place}.validate_only", reason="can be asked of the whole batch only"))
        try:
            read.append(registration_from(each))
        except InvalidArgument as error:
            violations += [Violation(field=f"{place}.{one.field}", reason=one.reason) for one in error.violations]
            more += error.more
    if violations:
        raise InvalidArgument(*violations, more=more)
    return tuple(read)


def registration_to(registration: Registration) -> pb.RegisterTaskRequest:
    """Return the request of a registration.

    Raises:
        InvalidArgument: for a value that a request cannot hold.
    """
    definition = registration.definition
    return request_of(
        pb.RegisterTaskRequest,
        name=definition.name,
        namespace=namespace_field(definition.namespace),
        **_fields_to(definition),
        enabled=registration.enabled,
        policy=policy_to(definition.policy),
        validate_only=registration.validate_only,
        etag=registration.etag,
        allow_unknown_handler=registration.allow_unknown_handler,
    )


def task_to(task: Task) -> pb.Task:
    """Return a task's message."""
    message = _task_without_policy(task)
    message.policy.CopyFrom(policy_to(task.policy))
    return message


def written_task(task: Task) -> bytes:
    """Return a task's message as bytes; those of its policy are cached, since many tasks share a policy."""
    return _task_without_policy(task).SerializeToString() + _written_policy(task.policy)


@lru_cache(maxsize=POLICIES_KEPT)
def _written_policy(policy: Policy) -> bytes:
    return pb.Task(policy=policy_to(policy)).SerializeToString()


def _task_without_policy(task: Task) -> pb.Task:
    definition = task.definition
    created = instant_to(task.create_time)
    next_runs = [instant_to(instant) for instant in task.next_run_times()]
    return pb.Task(
        name=task.name,
        id=task.id,
        uid=task.uid,
        **(_fields_to(definition) | {"description": definition.effective_description()}),
        enabled=task.enabled,
        etag=task.etag,
        note=task.note,
        create_time=created,
        update_time=created if task.update_time == task.create_time else instant_to(task.update_time),
        last_run_time=None if task.last_run_time is None else instant_to(task.last_run_time),
        next_run_time=next_runs[0] if next_runs else None,
        next_run_times=next_runs,
        schedule_description=task.schedule.description,
        stats=_stats_to(task.stats),
        trouble=task.trouble,
        namespace=task.namespace,
        changed_by=task.changed_by,
        no_worker=task.no_worker,
        activity=None if task.activity is None else activity_to(task.activity),
    )


def _fields_to(definition: Definition) -> dict[str, Any]:
    """Return a definition's fields as messages hold them."""
    fields = definition.fields()
    return fields | {name: struct_to(fields[name]) for name in OBJECT_FIELDS}


def page_of_written(tasks: Iterable[bytes], next_page_token: str, *, partial: bool = False) -> bytes:
    """Return a ListTasksResponse, as bytes, of tasks that are bytes already.

    In protobuf's encoding the concatenation of messages is their merge, so the bytes of the fields are concatenated.
    """
    token = pb.ListTasksResponse(next_page_token=next_page_token, partial=partial).SerializeToString()
    return batch_of_written(tasks) + token


def batch_of_written(tasks: Iterable[bytes]) -> bytes:
    """Return a BatchRegisterTasksResponse in the same way: protobuf would copy each task into it, then encode it."""
    written = list(tasks)
    heads = map(_before_task, map(len, written))
    return b"".join(chain.from_iterable(zip(heads, written, strict=True)))


def task_from(message: pb.Task) -> Task:
    """Return the task of a server's message. The contract has no settled time: the update time stands in for it.

    A client that cannot read the schedule (older, or with other tz data) relies on the server's next run time.
    """
    schedule, _ = read_stored(message.schedule, message.time_zone)
    fields: dict[str, Any] = {name: getattr(message, name) for name in TEXT_FIELDS}
    fields |= {name: json_from(getattr(message, name)) for name in OBJECT_FIELDS}
    field, _, reason = message.trouble.partition(": ")
    return Task(
        definition=Definition(
            name=message.name,
            namespace=message.namespace or DEFAULT_NAMESPACE,  # a server older than namespaces tells none
            schedule=schedule,
            **fields,
            policy=policy_from(message.policy),
            troubles=(Violation(field=field, reason=reason),) if message.trouble else (),
        ),
        uid=message.uid,
        revision=int(message.etag),
        enabled=message.enabled,
        create_time=instant_from(message.create_time),
        update_time=instant_from(message.update_time),
        settled_time=instant_from(message.update_time),
        next_run_time=instant_from(message.next_run_time) if message.HasField("next_run_time") else None,
        last_run_time=instant_from(message.last_run_time) if message.HasField("last_run_time") else None,
        note=message.note,
        changed_by=message.changed_by,
        no_worker=message.no_worker,
        activity=activity_from(message.activity) if message.HasField("activity") else None,
        stats=_stats_from(message.stats),
    )


def handler_to(handler: Handler) -> pb.Handler:
    """Return a handler's message."""
    return pb.Handler(
        name=handler.name,
        description=handler.description,
        offered=handler.offered,
        concurrency=handler.concurrency,
        payload_schema_json=handler.payload_schema,
        worker_count=handler.worker_count,
        worker_versions=handler.worker_versions,
    )


def handler_from(message: pb.Handler) -> Handler:
    """Return the handler of a server's message."""
    return Handler(
        name=message.name,
        description=message.description,
        offered=message.offered,
        concurrency=message.concurrency if message.HasField("concurrency") else None,
        payload_schema=message.payload_schema_json,
        worker_count=message.worker_count,
        worker_versions=tuple(message.worker_versions),
    )


@lru_cache(maxsize=4096)
def _before_task(length: int) -> bytes:
    """Return the key and length before a task of ``length`` bytes; cached, because tasks have few different lengths."""
    return _TASKS + _varint(length)


def _varint(number: int) -> bytes:
    """Return a number as protobuf writes it: seven bits a byte, the lowest first, each but the last one marked."""
    written = bytearray()
    while number > _SEVEN_BITS:
        written.append(number & _SEVEN_BITS | _MORE)
        number >>= 7
    written.append(number)
    return bytes(written)


def _stats_to(stats: TaskStats) -> pb.TaskStats:
    message = pb.TaskStats(
        success_count=stats.success_count,
        failure_count=stats.failure_count,
        consecutive_failures=stats.consecutive_failures,
    )
    if stats.last_success_time is not None:
        message.last_success_time.CopyFrom(instant_to(stats.last_success_time))
    if stats.last_failure_time is not None:
        message.last_failure_time.CopyFrom(instant_to(stats.last_failure_time))
    return message


def _stats_from(message: pb.TaskStats) -> TaskStats:
    return TaskStats(
        success_count=message.success_count,
        failure_count=message.failure_count,
        consecutive_failures=message.consecutive_failures,
        last_success_time=instant_from(message.last_success_time) if message.HasField("last_success_time") else None,
        last_failure_time=instant_from(message.last_failure_time) if message.HasField("last_failure_time") else None,
    )
