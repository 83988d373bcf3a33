"""The namespace of a request: of a whole batch, or of the task within an update, too."""

from collections.abc import Sequence
from typing import Any

from schedule_grpc.domain.access.namespace import DEFAULT_NAMESPACE, checked_namespace
from schedule_grpc.errors import InvalidArgument, Violation
from schedule_grpc.pb import schedule_pb2 as pb


def namespace_asked(request: Any) -> str:
    """Return the namespace that a caller's request names; empty if it names none, or has no such field.

    A task that was read and is sent back in an update, and registrations in a batch, name their own namespace: it
    counts where the request names none.

    Raises:
        InvalidArgument: if the text is no namespace's name, or parts of the request name another one.
    """
    named: str = getattr(request, "namespace", "")
    if isinstance(request, pb.UpdateTaskRequest):
        named = _agreed(named, [("task.namespace", request.task.namespace)])
    elif isinstance(request, pb.BatchRegisterTasksRequest):
        parts = [(f"requests[{index}].namespace", each.namespace) for index, each in enumerate(request.requests)]
        named = _agreed(named, parts)
    return checked_namespace("namespace", named) if named else ""


def namespace_field(namespace: str) -> str:
    """Return the field of a registration in a batch: empty for `default`, which also stands for the client's own."""
    return "" if namespace == DEFAULT_NAMESPACE else namespace


def _agreed(named: str, parts: Sequence[tuple[str, str]]) -> str:
    """Return the namespace of the request, or else the one of all its parts; parts may leave out the request's.

    Raises:
        InvalidArgument: naming each part that differs.
    """
    found = named or next((part for _, part in parts), "")
    fitting = {found, ""} if named else {found}
    reason = f"is not {found or 'empty'}: one request is of one namespace"
    wrong = [Violation(field=field, reason=reason) for field, part in parts if part not in fitting]
    if wrong:
        raise InvalidArgument(*wrong)
    return found
