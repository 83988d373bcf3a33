"""UpdateTask's mask (AIP-134): the fields of a task that a caller changes, and their new values."""

from collections.abc import Iterable, Iterator
from typing import Any

from schedule_grpc.domain.policy import PATHS
from schedule_grpc.domain.registration import TaskUpdate
from schedule_grpc.domain.task import FIELDS, OBJECT_FIELDS, SCHEDULE_FIELDS, SHOWN, TEXT_FIELDS
from schedule_grpc.errors import InvalidArgument, Violation
from schedule_grpc.formats.protobuf.policy import policy_fields_asked, policy_paths_set
from schedule_grpc.formats.protobuf.values import json_asked, request_of
from schedule_grpc.pb import schedule_pb2 as pb

_TEXTS = (*SCHEDULE_FIELDS, *TEXT_FIELDS)
_FIELDS = (*FIELDS, "enabled", "policy")
MOST_PATHS = 100
"""Paths of one mask; a task has some thirty fields."""
_POLICY = "policy."
_CHANGEABLE = frozenset(_FIELDS).union(*({_POLICY + path, _POLICY + path.partition(".")[0]} for path in PATHS))


def update_from(request: pb.UpdateTaskRequest) -> TaskUpdate:
    """Return the update of a caller's request.

    Raises:
        InvalidArgument: if the mask names a field that cannot be changed, or a value is invalid.
    """
    task, named = request.task, len(request.update_mask.paths)
    if named > MOST_PATHS:
        raise InvalidArgument.of("update_mask", f"names {named} fields, more than {MOST_PATHS}")
    violations = [] if task.name else [Violation(field="task.name", reason="is required")]
    paths = set(_paths(request))
    violations += [
        Violation(
            field="update_mask", reason=f"{path[:SHOWN]!r} is not a field that can be changed: {', '.join(_FIELDS)}"
        )
        for path in sorted(paths - _CHANGEABLE)
    ]
    if violations:
        raise InvalidArgument(*violations)
    fields: dict[str, Any] = {name: getattr(task, name) or None for name in _TEXTS if name in paths}
    fields |= {
        name: json_asked(getattr(task, name), name, most) for name, most in OBJECT_FIELDS.items() if name in paths
    }
    return TaskUpdate(
        name=task.name,
        fields=fields,
        policy=policy_fields_asked(task.policy, tuple(_chosen_policies(paths))),
        enabled=task.enabled if "enabled" in paths else None,
        etag=task.etag,
        validate_only=request.validate_only,
        allow_unknown_handler=request.allow_unknown_handler,
    )


def update_to(update: TaskUpdate, message: pb.Task) -> pb.UpdateTaskRequest:
    """Return the request of an update; ``message`` holds the task's name and the new values.

    Raises:
        InvalidArgument: for a value that a request cannot hold.
    """
    paths = [*update.fields, *(_POLICY + path for path in update.policy)]
    asked = request_of(
        pb.UpdateTaskRequest,
        task=message,
        validate_only=update.validate_only,
        allow_unknown_handler=update.allow_unknown_handler,
    )
    asked.update_mask.paths.extend(paths if update.enabled is None else [*paths, "enabled"])
    return asked


def _paths(request: pb.UpdateTaskRequest) -> Iterable[str]:
    """Return the paths to change: the mask's, all for ``*``, and without a mask those of the fields that are set."""
    paths: list[str] = list(request.update_mask.paths)
    if "*" in paths:
        return _FIELDS
    if paths:
        return paths
    task = request.task
    implied = [name for name in _TEXTS if getattr(task, name)]
    implied += [name for name in OBJECT_FIELDS if task.HasField(name)]  # type: ignore[arg-type]
    implied += ["enabled"] if task.enabled else []
    return implied + [_POLICY + path for path in policy_paths_set(task.policy)]


def _chosen_policies(paths: set[str]) -> Iterator[str]:
    for path in PATHS:
        group = path.partition(".")[0]
        if "policy" in paths or _POLICY + path in paths or _POLICY + group in paths:
            yield path
