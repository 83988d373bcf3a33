"""Tasks, their policies and handlers between our values and the contract's messages."""

from datetime import timedelta

from schedule_grpc.pb import schedule_pb2 as pb
from schedule_grpc.planning import Registration
from schedule_grpc.retry import RetryPolicy
from schedule_grpc.schedule import parse
from schedule_grpc.task import Definition, Handler, Overlap, Policy, Task, TaskFilter, TaskStats, define
from schedule_grpc.wire.values import (
    Reader,
    duration_from,
    duration_to,
    instant_from,
    instant_to,
    json_from,
    struct_to,
)

_OVERLAP_TO = {Overlap.SKIP: pb.TaskPolicy.SKIP, Overlap.ALLOW_ALL: pb.TaskPolicy.ALLOW_ALL}
_OVERLAP_FROM = {number: overlap for overlap, number in _OVERLAP_TO.items()}


def registration_from(request: pb.RegisterTaskRequest) -> Registration:
    """Return what a caller asks RegisterTask for.

    Raises:
        InvalidArgument: with a violation for every field that is wrong.
    """
    policy = _policy_asked(request.policy)
    definition = define(
        name=request.name,
        schedule=request.schedule,
        handler=request.handler,
        time_zone=request.time_zone,
        payload=json_from(request.payload),
        metadata=json_from(request.metadata),
        description=request.description,
        policy=policy,
    )
    return Registration(
        definition=definition,
        enabled=request.enabled if request.HasField("enabled") else None,
        validate_only=request.validate_only,
        etag=request.etag,
        allow_unknown_handler=request.allow_unknown_handler,
    )


def task_filter_from(request: pb.ListTasksRequest) -> TaskFilter:
    """Return which tasks a caller wants to see."""
    return TaskFilter(
        enabled=request.enabled if request.HasField("enabled") else None,
        handler=request.handler,
        name_prefix=request.name_prefix,
        category=request.category,
    )


def task_to(task: Task) -> pb.Task:
    """Return a task's message."""
    definition = task.definition
    message = pb.Task(
        name=task.name,
        id=task.id,
        uid=task.uid,
        schedule=task.schedule.text,
        time_zone=task.schedule.time_zone,
        handler=task.handler,
        enabled=task.enabled,
        payload=struct_to(definition.payload),
        metadata=struct_to(definition.metadata),
        description=definition.effective_description(),
        policy=policy_to(task.policy),
        etag=task.etag,
        note=task.note,
        create_time=instant_to(task.create_time),
        update_time=instant_to(task.update_time),
        next_run_times=[instant_to(instant) for instant in task.next_run_times()],
        schedule_description=task.schedule.description,
        stats=_stats_to(task.stats),
    )
    if task.last_run_time is not None:
        message.last_run_time.CopyFrom(instant_to(task.last_run_time))
    if task.next_run_time is not None:
        message.next_run_time.CopyFrom(instant_to(task.next_run_time))
    return message


def task_from(message: pb.Task) -> Task:
    """Return the task that a server of ours tells of. How far it is settled is not told: its last change stands in."""
    return Task(
        definition=Definition(
            name=message.name,
            schedule=parse(message.schedule, message.time_zone),
            handler=message.handler,
            payload=json_from(message.payload),
            metadata=json_from(message.metadata),
            description=message.description,
            policy=_policy_told(message.policy),
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
        stats=_stats_from(message.stats),
    )


def policy_to(policy: Policy) -> pb.TaskPolicy:
    """Return a policy's message, every field set."""
    retry = policy.retry
    return pb.TaskPolicy(
        timeout=duration_to(policy.timeout),
        retry=pb.RetryPolicy(
            max_retries=retry.max_retries,
            initial_backoff=duration_to(retry.initial_backoff),
            multiplier=retry.multiplier,
            max_backoff=duration_to(retry.max_backoff),
        ),
        overlap=_OVERLAP_TO[policy.overlap],
        start_deadline=duration_to(policy.start_deadline),
    )


def handler_to(handler: Handler) -> pb.Handler:
    """Return a handler's message."""
    return pb.Handler(name=handler.name, description=handler.description, offered=handler.offered)


def handler_from(message: pb.Handler) -> Handler:
    """Return the handler that a server tells of."""
    return Handler(name=message.name, description=message.description, offered=message.offered)


def _policy_asked(message: pb.TaskPolicy) -> Policy:
    """Return the policy that a caller asks for; what is not set means its default."""
    reader, default = Reader(), Policy()
    retry = message.retry

    def duration(part: pb.TaskPolicy | pb.RetryPolicy, name: str, path: str, otherwise: timedelta) -> timedelta:
        if not part.HasField(name):  # type: ignore[arg-type]
            return otherwise
        return reader.duration(getattr(part, name), path) or timedelta(0)

    overlap = default.overlap
    if message.overlap != pb.TaskPolicy.OVERLAP_UNSPECIFIED:
        overlap = _OVERLAP_FROM.get(message.overlap, default.overlap)
        if message.overlap not in _OVERLAP_FROM:
            reader.refuse("policy.overlap", f"{message.overlap} is not a value that this server knows")
    policy = Policy(
        timeout=duration(message, "timeout", "policy.timeout", default.timeout),
        start_deadline=duration(message, "start_deadline", "policy.start_deadline", default.start_deadline),
        overlap=overlap,
        retry=RetryPolicy(
            max_retries=retry.max_retries if retry.HasField("max_retries") else default.retry.max_retries,
            initial_backoff=duration(
                retry, "initial_backoff", "policy.retry.initial_backoff", default.retry.initial_backoff
            ),
            multiplier=retry.multiplier if retry.HasField("multiplier") else default.retry.multiplier,
            max_backoff=duration(retry, "max_backoff", "policy.retry.max_backoff", default.retry.max_backoff),
        ),
    )
    reader.check()
    return policy


def _policy_told(message: pb.TaskPolicy) -> Policy:
    retry = message.retry
    return Policy(
        timeout=duration_from(message.timeout),
        start_deadline=duration_from(message.start_deadline),
        overlap=_OVERLAP_FROM.get(message.overlap, Overlap.SKIP),
        retry=RetryPolicy(
            max_retries=retry.max_retries,
            initial_backoff=duration_from(retry.initial_backoff),
            multiplier=retry.multiplier,
            max_backoff=duration_from(retry.max_backoff),
        ),
    )


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
