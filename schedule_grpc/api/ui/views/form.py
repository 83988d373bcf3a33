"""A task as the form that makes or changes it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from schedule_grpc.api.ui.views.execution_view import indented
from schedule_grpc.domain.durations import written
from schedule_grpc.domain.policy import DEFAULT, Policy
from schedule_grpc.domain.task import Task

HINTS = {
    "timeout": "of one attempt, 1s to 24h",
    "retry.max_retries": "attempts after the first",
    "retry.initial_backoff": "wait before the first retry",
    "retry.multiplier": "factor from one wait to the next",
    "retry.max_backoff": "longest wait",
    "overlap": "when the one before is still open",
    "catch_up": "what came due while no server looked",
    "catch_up_window": "how old an occurrence may be to be caught up",
    "jitter": "random delay of each run, up to this",
    "start_deadline": "not started by then: missed",
    "alert_after": "failures in a row; 0: no alert",
    "overdue_grace": "alert if not started by then; 0s: none",
    "payload_override": "callers with the scope run may give a payload",
    "retention.max_age": "of ended executions",
    "retention.max_count": "executions kept",
    "window.start_time": "no occurrence before",
    "window.end_time": "no occurrence from then on",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class PolicyField:
    """A policy in the form."""

    path: str
    """As callers of HTTP write it, such as ``policy.retry.maxRetries``."""
    label: str
    hint: str
    kind: str
    """``duration``, ``number``, ``word``, ``flag`` or ``time``."""
    value: str
    """Empty: the default."""
    default: str
    words: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskForm:
    """The form of a task."""

    name: str = ""
    """Of the task that it changes; empty: it makes a new one."""
    new_name: str = ""
    schedule: str = ""
    time_zone: str = "UTC"
    handler: str = ""
    description: str = ""
    payload: str = "{}"
    metadata: str = "{}"
    policies: tuple[PolicyField, ...]
    has_policies: bool = False
    """Whether one of the policies is not the default."""
    etag: str = ""
    managed_by: str = ""


def blank_form(camel: Callable[[str], str]) -> TaskForm:
    """Return the form of a new task; ``camel`` returns a field's name as callers of HTTP write it."""
    return TaskForm(policies=_policies(DEFAULT, camel))


def form_of(task: Task, camel: Callable[[str], str], *, as_copy: bool = False) -> TaskForm:
    """Return the form that changes a task, or makes a copy of it."""
    definition = task.definition
    policies = _policies(definition.policy, camel)
    managed = definition.metadata.get("managed_by", "")
    form = TaskForm(
        name=task.name,
        new_name=task.name,
        schedule=task.schedule.text,
        time_zone=task.schedule.time_zone,
        handler=task.handler,
        description=definition.description,
        payload=object_text(definition.payload),
        metadata=object_text(definition.metadata),
        policies=policies,
        has_policies=any(field.value for field in policies),
        etag=task.etag,
        managed_by=managed if isinstance(managed, str) else "",
    )
    return replace(form, name="", new_name=f"{task.name}-copy", etag="", managed_by="") if as_copy else form


def object_text(value: Mapping[str, Any]) -> str:
    """Return a JSON object as a textarea shows it."""
    return indented(value) if value else "{}"


def _policies(policy: Policy, camel: Callable[[str], str]) -> tuple[PolicyField, ...]:
    defaults = DEFAULT.fields()
    return tuple(
        PolicyField(
            path=camel(f"policy.{path}"),
            label=path.replace("_", " ").replace(".", " · "),
            hint=HINTS.get(path, ""),
            kind=_kind(defaults[path]),
            value="" if value == defaults[path] else _written(value),
            default=_written(defaults[path]),
            words=tuple(word.value for word in type(defaults[path])) if isinstance(defaults[path], StrEnum) else (),
        )
        for path, value in policy.fields().items()
    )


def _kind(default: object) -> str:
    if isinstance(default, bool):
        return "flag"
    if isinstance(default, StrEnum):
        return "word"
    if isinstance(default, timedelta):
        return "duration"
    return "time" if default is None else "number"


def _written(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, timedelta):
        return written(value)
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return f"{value:g}" if isinstance(value, float) else str(value)
