"""JSON of tasks, executions, events and previews, for HTTP and the commands; it has every key of the older service."""

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime, timedelta
from functools import cache, lru_cache
from typing import Any

from schedule_grpc.domain.access.audit import AuditEvent
from schedule_grpc.domain.access.keys import Identity, KeyInfo
from schedule_grpc.domain.access.namespace import Namespace
from schedule_grpc.domain.canonical_json import decode, encode, whole
from schedule_grpc.domain.durations import MILLISECOND
from schedule_grpc.domain.execution import Execution, FailedAttempt
from schedule_grpc.domain.execution.log_lines import LogLine
from schedule_grpc.domain.execution.log_lines import Progress as KeptProgress
from schedule_grpc.domain.listing import TaskActivity
from schedule_grpc.domain.offers import WorkerInfo
from schedule_grpc.domain.policy import Policy
from schedule_grpc.domain.schedule import Preview
from schedule_grpc.domain.task import Handler, Task
from schedule_grpc.events import Logged, Lost, Progress, WatchEvent


def time_json(instant: datetime) -> str:
    """Return an instant in UTC, to the millisecond: 2026-01-31T10:00:00.000Z."""
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")  # strftime writes the year 310 as 310


def task_json(task: Task) -> dict[str, Any]:
    """Return a task's JSON, without keys whose value is missing."""
    stats = task.stats
    return _present(
        {
            "id": task.id,
            "name": task.name,
            "namespace": task.namespace,
            "schedule": task.schedule.text,
            "timeZone": task.schedule.time_zone,
            "scheduleDescription": task.schedule.description,
            "handler": task.handler,
            "noWorker": task.no_worker or None,
            "enabled": task.enabled,
            "trouble": task.trouble or None,
            "note": task.note or None,
            "description": task.definition.effective_description() or None,
            "payload": task.definition.payload,
            "metadata": task.definition.metadata,
            "policy": policy_json(task.policy),
            "lastRun": _time_or_none(task.last_run_time),
            "nextRun": _time_or_none(task.next_run_time),
            "createdAt": time_json(task.create_time),
            "updatedAt": time_json(task.update_time),
            "changedBy": task.changed_by or None,
            "etag": task.etag,
            "stats": _present(
                {
                    "successCount": stats.success_count,
                    "failureCount": stats.failure_count,
                    "consecutiveFailures": stats.consecutive_failures,
                    "lastSuccess": _time_or_none(stats.last_success_time),
                    "lastFailure": _time_or_none(stats.last_failure_time),
                }
            ),
            "activity": None if task.activity is None else activity_json(task.activity),
        }
    )


def activity_json(activity: TaskActivity) -> dict[str, Any]:
    """Return the JSON of what a task's executions are doing, without the last outcome if none has ended."""
    last = activity.last
    return _present(
        {
            "running": activity.running,
            "waiting": activity.waiting,
            "last": last
            and _present(
                {
                    "executionId": last.execution_id,
                    "state": last.state.value,
                    "reason": last.reason,
                    "failureKind": last.failure_kind,
                    "startedAt": _time_or_none(last.start_time),
                    "completedAt": time_json(last.end_time),
                    "durationMs": round(last.duration / MILLISECOND),
                }
            ),
        }
    )


@lru_cache(maxsize=1024)
def policy_json(policy: Policy) -> Mapping[str, Any]:
    """Return a policy's JSON: nested as in the contract, durations in milliseconds.

    Cached: most tasks have one of a few policies, which would otherwise be most of the work of a long list.
    """
    answer: dict[str, Any] = {}
    for path, value in policy.fields().items():
        parents, name = _place(path)
        place = answer
        for parent in parents:
            place = place.setdefault(parent, {})
        if isinstance(value, timedelta):
            place[f"{name}Ms"] = whole(value / MILLISECOND)
        elif value is not None:
            place[name] = time_json(value) if isinstance(value, datetime) else value
    return answer


def execution_json(execution: Execution) -> dict[str, Any]:
    """Return an execution's JSON, without keys whose value is missing."""
    covers = execution.covers
    return _present(
        {
            "id": execution.id,
            "taskId": execution.task_id,
            "taskName": execution.task_name,
            "namespace": execution.namespace,
            "handler": execution.handler,
            "state": execution.state.value,
            "reason": execution.reason,
            "failureKind": execution.failure_kind,
            "trigger": execution.trigger.value,
            "triggeredBy": execution.triggered_by or None,
            "scheduledAt": _time_or_none(execution.scheduled_time),
            "createdAt": time_json(execution.create_time),
            "startedAt": _time_or_none(execution.start_time),
            "completedAt": _time_or_none(execution.end_time),
            "durationMs": None if execution.duration is None else round(execution.duration / MILLISECOND),
            "cancelRequestedAt": _time_or_none(execution.cancel_requested_time),
            "attempt": execution.attempt,
            "worker": execution.worker or None,
            "failedAttempts": [_failed_attempt_json(attempt) for attempt in execution.failed_attempts],
            "covers": covers
            and {
                "from": time_json(covers.from_time),
                "to": time_json(covers.to_time),
                "count": covers.count,
                "exact": covers.exact,
            },
            "payload": execution.payload,
            "result": _sorted(execution.result),
            "error": execution.error,
            "trouble": execution.trouble or None,
            "progress": None if execution.progress is None else _progress_json(execution.progress),
        }
    )


def log_line_json(line: tuple[int, LogLine]) -> dict[str, Any]:
    """Return the JSON of a log line, given with the number of its attempt."""
    attempt, logged = line
    return {
        "attempt": attempt,
        "sequence": logged.sequence,
        "time": time_json(logged.time),
        "level": logged.level,
        "text": logged.text,
    }


def event_json(event: WatchEvent) -> dict[str, Any]:
    """Return the JSON of an event of a watch; its key ``event`` names which of the four it is."""
    if isinstance(event, Lost):
        return {"event": "lost", "count": event.count}
    if isinstance(event, Logged):
        return {
            "event": "log",
            "executionId": event.execution_id,
            "taskName": event.task_name,
            "namespace": event.namespace,
            "lines": [log_line_json((event.attempt, line)) for line in event.lines],
        }
    if isinstance(event, Progress):
        return {
            "event": "progress",
            "time": time_json(event.time),
            "executionId": event.execution_id,
            "taskName": event.task_name,
            "namespace": event.namespace,
            "fraction": event.fraction,
            "text": event.text,
        }
    return _present(
        {
            "event": "transition",
            "time": time_json(event.time),
            "previousState": event.previous_state,
            "execution": execution_json(event.execution),
        }
    )


def handler_json(handler: Handler) -> dict[str, Any]:
    """Return a handler's JSON, without keys whose value is missing."""
    return _present(
        {
            "name": handler.name,
            "description": handler.description,
            "offered": handler.offered,
            "concurrency": handler.concurrency,
            "payloadSchema": handler.payload_schema or None,
            "workerCount": handler.worker_count,
            "workerVersions": list(handler.worker_versions),
        }
    )


def worker_json(worker: WorkerInfo) -> dict[str, Any]:
    """Return a worker's JSON, without keys whose value is missing."""
    return _present(
        {
            "id": worker.id,
            "name": worker.name,
            "version": worker.version or None,
            "namespace": worker.namespace,
            "handlers": list(worker.handlers),
            "slots": worker.slots,
            "running": worker.running,
            "labels": dict(worker.labels),
            "startedAt": time_json(worker.start_time),
            "lastSeen": time_json(worker.seen_time),
            "draining": worker.draining,
            "endedAt": _time_or_none(worker.end_time),
            "registeredBy": worker.registered_by or None,
        }
    )


def key_json(key: KeyInfo) -> dict[str, Any]:
    """Return a key's JSON, without keys whose value is missing."""
    return _present(
        {
            "name": key.name,
            "id": key.id,
            "namespace": key.namespace,
            "grants": list(key.grants),
            "createdAt": time_json(key.create_time),
            "createdBy": key.created_by,
            "rotatedAt": time_json(key.rotate_time),
            "expiresAt": _time_or_none(key.expire_time),
            "revokedAt": _time_or_none(key.revoke_time),
            "lastUsed": _time_or_none(key.last_used_time),
            "oldTextExpiresAt": _time_or_none(key.old_text_expire_time),
        }
    )


def identity_json(identity: Identity) -> dict[str, Any]:
    """Return a caller's JSON, without a key if it uses none."""
    return _present(
        {
            "name": identity.name,
            "grants": list(identity.grants),
            "namespace": identity.namespace,
            "key": None if identity.key is None else key_json(identity.key),
        }
    )


def namespace_json(namespace: Namespace) -> dict[str, Any]:
    """Return a namespace's JSON; a limit that there is none of is null."""
    return {
        "name": namespace.name,
        "handlers": list(namespace.handlers),
        "limits": {_camel(each.name): getattr(namespace.limits, each.name) for each in fields(namespace.limits)},
        "createdAt": time_json(namespace.create_time),
        "etag": namespace.etag,
    }


def audit_event_json(event: AuditEvent) -> dict[str, Any]:
    """Return the JSON of a row of the audit log, without keys whose value is missing."""
    row = {_camel(each.name): getattr(event, each.name) for each in fields(event)}
    to_the_microsecond = event.time.isoformat(timespec="microseconds").replace("+00:00", "Z")
    present = {name: value for name, value in row.items() if value not in ("", ())}
    return present | {"time": to_the_microsecond} | ({"changed": list(event.changed)} if event.changed else {})


def preview_json(preview: Preview) -> dict[str, Any]:
    """Return a preview's JSON, without keys whose value is missing."""
    schedule = preview.schedule
    return _present(
        {
            "schedule": schedule.text,
            "timeZone": schedule.time_zone,
            "description": schedule.description,
            "cron": schedule.cron,
            "nextRuns": [time_json(instant) for instant in preview.times],
            "notes": list(preview.notes),
        }
    )


def _failed_attempt_json(attempt: FailedAttempt) -> dict[str, Any]:
    return _present(
        {
            "attempt": attempt.number,
            "startedAt": time_json(attempt.start_time),
            "durationMs": round(attempt.duration / MILLISECOND),
            "failureKind": attempt.failure_kind.value,
            "error": attempt.error,
            "worker": attempt.worker or None,
        }
    )


def _progress_json(progress: KeptProgress) -> dict[str, Any]:
    return {
        "attempt": progress.attempt,
        "fraction": progress.fraction,
        "text": progress.text,
        "reportedAt": time_json(progress.report_time),
    }


def _sorted(value: Any) -> Any:
    """Return a JSON value with its keys sorted: the result in an event is in the handler's order, a row's is sorted."""
    return decode(encode(value)) if isinstance(value, dict | list) else value


@cache
def _place(path: str) -> tuple[tuple[str, ...], str]:
    """Return the place of a policy's value: the keys it is nested in, and its own key."""
    *parents, name = map(_camel, path.split("."))
    return tuple(parents), name


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)


def _present(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value is not None}


def _time_or_none(instant: datetime | None) -> str | None:
    return None if instant is None else time_json(instant)
