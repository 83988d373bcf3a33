"""The errors this package raises, each with one stable code.

::

    ScheduleError
    ├── InvalidArgument              fields of the request cannot be accepted; each is named with the reason
    │   ├── InvalidSchedule          a schedule or a time zone cannot be read, or the schedule can never fire
    │   └── SchedulePassed           the schedule is a single instant that is over
    ├── NotFound
    │   ├── TaskNotFound
    │   ├── ExecutionNotFound
    │   ├── KeyNotFound
    │   └── NamespaceNotFound
    ├── KeyExists                    a key that is not revoked has the name
    ├── NamespaceExists              a namespace of that name is there already
    ├── FailedPrecondition           the request is well formed, but the state of the service does not allow it
    │   ├── HandlerNotFound          nothing offers, or ever offered, a handler of that name
    │   ├── HandlerNotAllowed        the namespace's tasks may not name that handler
    │   ├── NamespaceNotEmpty        the namespace still has tasks, or history
    │   ├── TaskDisabled
    │   ├── TaskUnreadable           this program cannot read a part of the task's row
    │   └── NoWorker                 no server that offers the handler took the execution in time
    ├── EtagMismatch                 the task, or the namespace, changed since the caller read it
    ├── Unauthenticated              the server requires credentials, and the call has none that it accepts
    ├── PermissionDenied             the caller's grants do not allow the call
    ├── ResourceExhausted            a limit of this server is reached, or one of the namespace (QUOTA_EXCEEDED)
    ├── Unavailable                  the server cannot do it now; the same call may succeed later
    │   ├── ShuttingDown
    │   └── DatabaseUnavailable
    ├── BindingError                 an outside service did not do what a handler asked of it
    ├── Internal                     a fault of the server; carries the error id under which the log has it
    ├── DatabaseRefused              the database must not be used as it is; the server does not start
    └── ConfigurationError           a setting, a handler module or a binding cannot be used; likewise
        └── CannotStart              the configuration may be right, but the machine does not allow it now

``code`` is the machine-readable reason (google.rpc.ErrorInfo.reason); ``status`` names the canonical status of
google.rpc.Code. Each edge maps ``status`` once: to a gRPC status in formats/protobuf, to an HTTP
status in the HTTP routes.
"""

from collections.abc import Mapping
from datetime import timedelta
from difflib import get_close_matches
from typing import ClassVar

from schedule_grpc.violation import MOST_VIOLATIONS, Violation, listed

__all__ = [
    "BindingError",
    "CannotStart",
    "ConfigurationError",
    "DatabaseRefused",
    "DatabaseUnavailable",
    "EtagMismatch",
    "ExecutionNotFound",
    "FailedPrecondition",
    "HandlerNotAllowed",
    "HandlerNotFound",
    "Internal",
    "InvalidArgument",
    "InvalidSchedule",
    "KeyExists",
    "KeyNotFound",
    "NamespaceExists",
    "NamespaceNotEmpty",
    "NamespaceNotFound",
    "NoWorker",
    "NotFound",
    "PermissionDenied",
    "ResourceExhausted",
    "ScheduleError",
    "SchedulePassed",
    "ShuttingDown",
    "TaskDisabled",
    "TaskNotFound",
    "TaskUnreadable",
    "Unauthenticated",
    "Unavailable",
    "Violation",
]


class ScheduleError(Exception):
    """The root of all errors that are meant for callers; the message may be shown to them."""

    code: ClassVar[str] = "INTERNAL"
    status: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str, *, details: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details: Mapping[str, str] = dict(details or {})


class InvalidArgument(ScheduleError):
    """Fields of the request cannot be accepted; ``violations`` names them with their reasons.

    Of more than `MOST_VIOLATIONS` violations the first are kept; ``more`` counts the others.
    """

    code = "INVALID_ARGUMENT"
    status = "INVALID_ARGUMENT"

    def __init__(self, *violations: Violation, message: str | None = None, more: int = 0) -> None:
        self.violations = violations[:MOST_VIOLATIONS]
        self.more = more + len(violations) - len(self.violations)
        super().__init__(message or listed((str(violation) for violation in self.violations), self.more))

    @classmethod
    def of(cls, field: str, reason: str) -> "InvalidArgument":
        """Return the error of one field."""
        return cls(Violation(field=field, reason=reason))


class InvalidSchedule(InvalidArgument):
    """A schedule or a time zone cannot be read, or the schedule can never fire.

    ``field`` is ``schedule``, ``time_zone`` or ``cron``; ``text`` is the field's value, as the caller wrote it.
    """

    code = "INVALID_SCHEDULE"

    def __init__(self, field: str, reason: str, *, text: str) -> None:
        super().__init__(Violation(field=field, reason=reason))
        self.field = field
        self.reason = reason
        self.text = text


class SchedulePassed(InvalidArgument):
    """A new or changed schedule is a single instant that is over: it would never fire."""

    @classmethod
    def at(cls, text: str) -> "SchedulePassed":
        """Return the error of a schedule, given as the caller wrote it."""
        return cls(Violation(field="schedule", reason=f"{text} lies in the past"))


class NotFound(ScheduleError):
    """The task, execution, key or namespace that the request names does not exist."""

    code = "NOT_FOUND"
    status = "NOT_FOUND"


class TaskNotFound(NotFound):
    """No task of that name is registered."""

    code = "TASK_NOT_FOUND"

    def __init__(self, name: str) -> None:
        super().__init__(f"Task not found: {name}", details={"task": name})


class ExecutionNotFound(NotFound):
    """The history does not hold an execution of that id; retention may have removed it."""

    code = "EXECUTION_NOT_FOUND"

    def __init__(self, execution_id: str) -> None:
        super().__init__(f"Execution not found: {execution_id}", details={"execution": execution_id})


class KeyNotFound(NotFound):
    """No key of that name, or that text, is in use, as far as the caller may see."""

    code = "KEY_NOT_FOUND"

    def __init__(self, name: str = "") -> None:
        which = f"Key not found: {name}" if name else "No key has this text"
        super().__init__(which, details={"key": name} if name else {})


class KeyExists(ScheduleError):
    """A key of the same namespace that is not revoked has the name."""

    code = "KEY_EXISTS"
    status = "ALREADY_EXISTS"

    def __init__(self, name: str, namespace: str) -> None:
        super().__init__(
            f"Key exists: {name} in {namespace}; rotate it, or revoke it first",
            details={"key": name, "namespace": namespace},
        )


class NamespaceNotFound(NotFound):
    """There is no namespace of that name."""

    code = "NAMESPACE_NOT_FOUND"

    def __init__(self, namespace: str) -> None:
        super().__init__(f"Namespace not found: {namespace}", details={"namespace": namespace})


class NamespaceExists(ScheduleError):
    """A namespace of that name is there already."""

    code = "NAMESPACE_EXISTS"
    status = "ALREADY_EXISTS"

    def __init__(self, namespace: str) -> None:
        super().__init__(f"Namespace exists already: {namespace}", details={"namespace": namespace})


class FailedPrecondition(ScheduleError):
    """The request is well formed, but the state of the service does not allow it."""

    code = "FAILED_PRECONDITION"
    status = "FAILED_PRECONDITION"


class HandlerNotFound(FailedPrecondition):
    """No server offers, or ever offered, a handler of that name; the message lists the known names."""

    code = "HANDLER_NOT_FOUND"

    def __init__(self, handler: str, known: tuple[str, ...], *, task: str = "") -> None:
        names = ", ".join(known) or "none"
        near = get_close_matches(handler, known, n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        super().__init__(
            f"Task handler not found: {handler} ({meant}handlers: {names})",
            details={"handler": handler, "handlers": names} | ({"task": task} if task else {}),
        )
        self.handler = handler


class HandlerNotAllowed(FailedPrecondition):
    """Tasks of the namespace may not name that handler; the message has the patterns of those that they may."""

    code = "HANDLER_NOT_ALLOWED"

    def __init__(self, handler: str, *, namespace: str, patterns: tuple[str, ...], builtin: bool, task: str) -> None:
        names = ", ".join(patterns) or "none"
        reason = "; a built-in handler is allowed by its whole name only" if builtin else ""
        super().__init__(
            f"Tasks of the namespace {namespace} may not use the handler {handler} (allowed: {names}{reason})",
            details={"handler": handler, "namespace": namespace, "handlers": names, "task": task},
        )


class NamespaceNotEmpty(FailedPrecondition):
    """The namespace cannot be deleted: it is the default one, it has tasks, or retention still keeps history of it."""

    code = "NAMESPACE_NOT_EMPTY"

    def __init__(self, namespace: str, reason: str) -> None:
        super().__init__(f"Namespace {namespace} {reason}", details={"namespace": namespace})


class TaskDisabled(FailedPrecondition):
    """The task is disabled: it does not run by hand either."""

    code = "TASK_DISABLED"

    def __init__(self, name: str) -> None:
        super().__init__(f"Task is disabled: {name}", details={"task": name})


class TaskUnreadable(FailedPrecondition):
    """This program cannot read a part of the task; registering the task again, or updating the part, mends it."""

    code = "TASK_UNREADABLE"

    def __init__(self, name: str, trouble: str) -> None:
        super().__init__(f"Task {name} cannot be read by this server: {trouble}", details={"task": name})


class NoWorker(FailedPrecondition):
    """No server and no worker that offers the handler took the execution in time; it ended SKIPPED."""

    code = "NO_WORKER"

    def __init__(self, handler: str, execution_id: str) -> None:
        super().__init__(
            f"No server and no worker offers the handler {handler}: execution {execution_id} was skipped",
            details={"handler": handler, "execution": execution_id},
        )


class EtagMismatch(ScheduleError):
    """The task, or the namespace, changed since the caller read it; read it again and decide anew (AIP-154)."""

    code = "ETAG_MISMATCH"
    status = "ABORTED"

    def __init__(self, name: str, *, given: str, current: str, of: str = "task") -> None:
        super().__init__(
            f"{of.capitalize()} {name} has changed: its etag is {current}, not {given}",
            details={of: name, "etag": current},
        )


class Unauthenticated(ScheduleError):
    """The server requires credentials, and the call has none that it accepts: missing, unknown, expired or revoked."""

    code = "UNAUTHENTICATED"
    status = "UNAUTHENTICATED"

    def __init__(self) -> None:
        super().__init__("Authentication required")  # always these words: they tell a stranger nothing


class PermissionDenied(ScheduleError):
    """The caller's grants do not allow the call."""

    code = "PERMISSION_DENIED"
    status = "PERMISSION_DENIED"

    def __init__(self, scope: str, namespace: str, *, name: str = "", why: str = "") -> None:
        place = namespace + (f"/{name}" if name else "")
        reason = f" ({why})" if why else ""
        super().__init__(
            f"Permission denied: {scope}@{place} is needed{reason}", details={"scope": scope, "namespace": namespace}
        )


class ResourceExhausted(ScheduleError):
    """A limit of this server, or of the namespace, is reached; nothing of the call was done."""

    code = "RESOURCE_EXHAUSTED"
    status = "RESOURCE_EXHAUSTED"
    retry_after: timedelta | None = None
    """When the same call may succeed (google.rpc.RetryInfo, HTTP Retry-After); None: that is not known."""


class Unavailable(ScheduleError):
    """The server cannot do it now; the same call may succeed later, or on another server."""

    code = "UNAVAILABLE"
    status = "UNAVAILABLE"


class ShuttingDown(Unavailable):
    """The server is shutting down; an execution that the call waited for goes on under its id."""

    code = "SHUTTING_DOWN"

    def __init__(self, execution_id: str | None = None) -> None:
        message = "The server is shutting down"
        details = {}
        if execution_id is not None:
            message += f"; execution {execution_id} goes on without this call"
            details["execution"] = execution_id
        super().__init__(message, details=details)


class DatabaseUnavailable(Unavailable):
    """The database did not answer or refused the write; nothing of the operation was kept."""

    code = "DATABASE_UNAVAILABLE"


class BindingError(ScheduleError):
    """An outside service did not do what a handler asked of it; the message has the binding's name and the reason."""

    code = "BINDING"
    status = "UNAVAILABLE"

    def __init__(self, binding: str, reason: str, *, missing_table: str | None = None) -> None:
        super().__init__(f"{binding}: {reason}", details={"binding": binding})
        self.missing_table = missing_table
        """The table that the binding's database lacks, if that is the reason."""

    @classmethod
    def no_such_table(cls, binding: str, table: str) -> "BindingError":
        """Return the error of a binding whose database lacks a table."""
        return cls(binding, f"no such table: {table}", missing_table=table)

    def through(self, binding: str) -> "BindingError":
        """Return this error as the error of another binding, which is used by way of this one."""
        return type(self)(binding, self.message, missing_table=self.missing_table)


class Internal(ScheduleError):
    """A fault of the server. The caller gets an error id; the log has the traceback under it."""

    def __init__(self, error_id: str) -> None:
        super().__init__(f"Internal error {error_id}", details={"error_id": error_id})
        self.error_id = error_id


class DatabaseRefused(ScheduleError):
    """The database must not be used as it is: foreign, damaged, newer, empty, or held by another server."""

    code = "DATABASE_REFUSED"
    status = "FAILED_PRECONDITION"


class ConfigurationError(ScheduleError):
    """A setting, a handler module or a binding cannot be used as it is configured."""

    code = "CONFIGURATION"
    status = "FAILED_PRECONDITION"


class CannotStart(ConfigurationError):
    """The configuration may be right, but the machine does not allow it now: a port in use, a missing module."""
