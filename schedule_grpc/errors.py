"""The errors this package raises, each with one stable code.

::

    ScheduleError
    ├── InvalidArgument              what the caller sent cannot be accepted, and why, field by field
    │   ├── InvalidSchedule          a schedule or a time zone that cannot be read, or can never fire
    │   └── SchedulePassed           a single instant that is over
    ├── NotFound
    │   ├── TaskNotFound
    │   └── ExecutionNotFound
    ├── FailedPrecondition           the request is well formed, but not now
    │   ├── HandlerNotFound          nobody offers, or ever offered, a handler of that name
    │   ├── TaskDisabled
    │   ├── TaskUnreadable           this program cannot read a part of the task's row
    │   └── NoWorker                 nobody took the execution in time
    ├── EtagMismatch                 the task changed since the caller read it
    ├── ResourceExhausted            a limit of this server is reached
    ├── Unavailable                  not now; the same call may succeed later
    │   ├── ShuttingDown
    │   └── DatabaseUnavailable
    ├── BindingError                 an outside service did not do what a handler asked of it
    ├── Internal                     our fault; carries an error id to be found in the log
    ├── DatabaseRefused              a database file that must not be used as it is; the server does not start
    └── ConfigurationError           a setting, a handler module or a binding that cannot be used; likewise

``code`` is the machine-readable reason (google.rpc.ErrorInfo.reason); ``status`` names the canonical status of
google.rpc.Code. Each edge maps ``status`` once: to a gRPC status in formats/protobuf, to an HTTP
status in the HTTP routes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import ClassVar

__all__ = [
    "BindingError",
    "CannotStart",
    "ConfigurationError",
    "DatabaseRefused",
    "DatabaseUnavailable",
    "EtagMismatch",
    "ExecutionNotFound",
    "FailedPrecondition",
    "HandlerNotFound",
    "Internal",
    "InvalidArgument",
    "InvalidSchedule",
    "NoWorker",
    "NotFound",
    "ResourceExhausted",
    "ScheduleError",
    "SchedulePassed",
    "ShuttingDown",
    "TaskDisabled",
    "TaskNotFound",
    "TaskUnreadable",
    "Unavailable",
    "Violation",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Violation:
    """One field of a request that cannot be accepted (google.rpc.BadRequest.FieldViolation)."""

    field: str
    reason: str

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}"


MOST_VIOLATIONS = 20
"""How many violations one error tells; the others are counted. A caller can send a hundred thousand wrong fields."""


class ScheduleError(Exception):
    """The root of all errors that are meant for a caller; its text may be shown to them."""

    code: ClassVar[str] = "INTERNAL"
    status: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str, *, details: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details: Mapping[str, str] = dict(details or {})


class InvalidArgument(ScheduleError):
    """What the caller sent cannot be accepted; ``violations`` names the fields and their reasons.

    Of more than `MOST_VIOLATIONS` the first are told; ``more`` counts the others, beside those that were given as such.
    """

    code = "INVALID_ARGUMENT"
    status = "INVALID_ARGUMENT"

    def __init__(self, *violations: Violation, message: str | None = None, more: int = 0) -> None:
        self.violations = violations[:MOST_VIOLATIONS]
        self.more = more + len(violations) - len(self.violations)
        super().__init__(message or listed((str(violation) for violation in self.violations), self.more))

    @classmethod
    def of(cls, field: str, reason: str) -> "InvalidArgument":
        """The common case: one field, one reason."""
        return cls(Violation(field=field, reason=reason))


def listed(violations: Iterable[str], more: int) -> str:
    """Return violations as one text, and how many more there are."""
    return "; ".join(violations) + (f"; and {more} more" if more else "")


class InvalidSchedule(InvalidArgument):
    """A schedule that cannot be read or can never fire, or a time zone that is not known.

    ``field`` is ``schedule`` or ``time_zone``; ``text`` is what was given.
    """

    code = "INVALID_SCHEDULE"

    def __init__(self, field: str, reason: str, *, text: str) -> None:
        super().__init__(Violation(field=field, reason=reason))
        self.field = field
        self.reason = reason
        self.text = text


class SchedulePassed(InvalidArgument):
    """A new or changed schedule names a single instant, and that is over: it would never fire."""

    @classmethod
    def at(cls, text: str) -> "SchedulePassed":
        """Of the schedule as it was written."""
        return cls(Violation(field="schedule", reason=f"{text} lies in the past"))


class NotFound(ScheduleError):
    """The named thing does not exist."""

    code = "NOT_FOUND"
    status = "NOT_FOUND"


class TaskNotFound(NotFound):
    """No task of that name is registered."""

    code = "TASK_NOT_FOUND"

    def __init__(self, name: str) -> None:
        super().__init__(f"Task not found: {name}", details={"task": name})


class ExecutionNotFound(NotFound):
    """No execution of that id is in the history (it may have been removed by retention)."""

    code = "EXECUTION_NOT_FOUND"

    def __init__(self, execution_id: str) -> None:
        super().__init__(f"Execution not found: {execution_id}", details={"execution": execution_id})


class FailedPrecondition(ScheduleError):
    """The request is well formed, but the state of the service does not allow it."""

    code = "FAILED_PRECONDITION"
    status = "FAILED_PRECONDITION"


class HandlerNotFound(FailedPrecondition):
    """Nobody offers, or ever offered, a handler of that name; the message lists the names there are."""

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


class TaskDisabled(FailedPrecondition):
    """A disabled task is not run by hand either."""

    code = "TASK_DISABLED"

    def __init__(self, name: str) -> None:
        super().__init__(f"Task is disabled: {name}", details={"task": name})


class TaskUnreadable(FailedPrecondition):
    """This program cannot read a part of the task; registering it anew, or the update of that part, mends it."""

    code = "TASK_UNREADABLE"

    def __init__(self, name: str, trouble: str) -> None:
        super().__init__(f"Task {name} cannot be read by this server: {trouble}", details={"task": name})


class NoWorker(FailedPrecondition):
    """Nobody who offers the handler took the execution in time; it has ended SKIPPED."""

    code = "NO_WORKER"

    def __init__(self, handler: str, execution_id: str) -> None:
        super().__init__(
            f"Nobody offers the handler {handler}: execution {execution_id} was skipped",
            details={"handler": handler, "execution": execution_id},
        )


class EtagMismatch(ScheduleError):
    """The task changed since the caller read it; read it again and decide anew (AIP-154)."""

    code = "ETAG_MISMATCH"
    status = "ABORTED"

    def __init__(self, name: str, *, given: str, current: str) -> None:
        super().__init__(
            f"Task {name} has changed: its etag is {current}, not {given}", details={"task": name, "etag": current}
        )


class ResourceExhausted(ScheduleError):
    """A limit of this server is reached."""

    code = "RESOURCE_EXHAUSTED"
    status = "RESOURCE_EXHAUSTED"


class Unavailable(ScheduleError):
    """Not now; the same call may succeed later or elsewhere."""

    code = "UNAVAILABLE"
    status = "UNAVAILABLE"


class ShuttingDown(Unavailable):
    """The server is draining; an execution that was being waited for goes on under its id."""

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
    """An outside service did not do what a handler asked of it; the message names the binding and what it said."""

    code = "BINDING"
    status = "UNAVAILABLE"

    def __init__(self, binding: str, reason: str, *, missing_table: str | None = None) -> None:
        super().__init__(f"{binding}: {reason}", details={"binding": binding})
        self.missing_table = missing_table
        """The table that its database does not have, if that is what is wrong."""

    @classmethod
    def no_such_table(cls, binding: str, table: str) -> "BindingError":
        """Return the error of a binding whose database does not have a table."""
        return cls(binding, f"no such table: {table}", missing_table=table)

    def through(self, binding: str) -> "BindingError":
        """Return this error as that of another binding, which is used by way of this one."""
        return type(self)(binding, self.message, missing_table=self.missing_table)


class Internal(ScheduleError):
    """Our fault. The caller gets an id to quote; what happened stands in the log beside it."""

    def __init__(self, error_id: str) -> None:
        super().__init__(f"Internal error {error_id}", details={"error_id": error_id})
        self.error_id = error_id


class DatabaseRefused(ScheduleError):
    """This database must not be used as it is (foreign, damaged, newer, empty, or held by another server)."""

    code = "DATABASE_REFUSED"
    status = "FAILED_PRECONDITION"


class ConfigurationError(ScheduleError):
    """A setting, a handler module or a binding cannot be used as it is configured."""

    code = "CONFIGURATION"
    status = "FAILED_PRECONDITION"


class CannotStart(ConfigurationError):
    """What is configured may be right, but is not to be had now: an address, a module that can be imported."""
