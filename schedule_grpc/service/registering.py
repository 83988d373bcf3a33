"""Checks of registrations, and the changes that declared tasks make."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from schedule_grpc.domain.registration import Registration, TaskChange, registered
from schedule_grpc.domain.task import Task
from schedule_grpc.errors import EtagMismatch, InvalidArgument, SchedulePassed, Violation
from schedule_grpc.text.unicode import checked

MAX_ETAG = 1024
"""Characters of an etag that a caller may send; the service's own have a few."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Declared:
    """The changes that declared tasks make, and the registrations whose single instant is over."""

    changes: Sequence[TaskChange]
    passed: Sequence[Registration]


def declared_changes(wanted: Sequence[tuple[Registration, Task | None]], now: datetime) -> Declared:
    """Return the changes that declared tasks make to those that are there."""
    changes, passed = [], []
    for each, before in wanted:
        try:
            changes.append(registered(before, each.definition, enabled=each.enabled, now=now))
        except SchedulePassed:
            passed.append(each)
    return Declared(changes=changes, passed=passed)


@contextmanager
def placed(place: str) -> Iterator[None]:
    """Within this context, violations name their fields by the place in the request."""
    try:
        yield
    except InvalidArgument as error:
        if not place:
            raise
        raise InvalidArgument(
            *(Violation(field=place + each.field, reason=each.reason) for each in error.violations), more=error.more
        ) from None


def refuse_repeated_names(wanted: Sequence[Registration]) -> None:
    """Check that each name is registered once.

    Raises:
        InvalidArgument: naming each repeated one, and the request that has it already.
    """
    first: dict[str, int] = {}
    violations = []
    for index, each in enumerate(wanted):
        name = each.definition.name
        if first.setdefault(name, index) != index:
            reason = f"{name} is registered by requests[{first[name]}] already"
            violations.append(Violation(field=f"requests[{index}].name", reason=reason))
    if violations:
        raise InvalidArgument(*violations)


def check_etag(name: str, task: Task | None, etag: str) -> None:
    """Check that a task is still as the caller read it, if the caller sends an etag.

    Raises:
        EtagMismatch: if it is not.
    """
    if checked("etag", etag, most=MAX_ETAG) and (task is None or task.etag != etag):
        raise EtagMismatch(name, given=etag, current=task.etag if task else "none: there is no such task")
