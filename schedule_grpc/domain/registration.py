"""The changes of a task. Pure: the store writes a change only if the task is still as it was read."""

import itertools
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from schedule_grpc.domain.access.audit import Author, Entry
from schedule_grpc.domain.canonical_json import object_text
from schedule_grpc.domain.execution import Reason
from schedule_grpc.domain.planning import Firing, settlement, start_delay
from schedule_grpc.domain.policy import DEFAULT
from schedule_grpc.domain.task import FIELDS, PLACE, Definition, Task, define
from schedule_grpc.errors import InvalidArgument, SchedulePassed, TaskUnreadable

MAX_BATCH = 1000
"""Tasks in one BatchRegisterTasks."""

_NUMBERS = itertools.count()
_NUMBERED = 16**8


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskChange:
    """A task as it was read (None: there was none) and as it shall be, with the firing of what was due until then."""

    before: Task | None
    after: Task
    settlement: Firing | None = None
    author: Author | None = None
    """The call that makes the change; None: the server itself does."""

    def by(self, author: Author) -> "TaskChange":
        """Return the change as one that a caller makes; one that changes nothing is nobody's."""
        if self.after == self.before:
            return self
        caller = author.attribution
        after = self.after if self.after.changed_by == caller else replace(self.after, changed_by=caller)
        return TaskChange(before=self.before, after=after, settlement=self.settlement, author=author)

    @property
    def entry(self) -> Entry | None:
        """What the audit log tells of the change, if its author is audited."""
        if self.author is None or not self.author.caller.is_audited:
            return None
        before, after = self.before, self.after
        is_deleted = after.delete_time is not None
        changed = () if before is None or is_deleted else tuple(_changed_fields(before, after))
        shows_payload = before is None or "payload" in changed
        return Entry(
            author=self.author,
            namespace=after.namespace,
            resource=after.name,
            changed=changed,
            payload=object_text(after.definition.payload) if shows_payload and not is_deleted else None,
            before_etag="" if before is None else before.etag,
            after_etag="" if is_deleted else after.etag,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Registration:
    """A call of RegisterTask: a definition, and how to register it."""

    definition: Definition
    enabled: bool | None = None
    validate_only: bool = False
    etag: str = ""
    allow_unknown_handler: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class FreshTask:
    """The task that a registration creates if its name is free: computed before the store is asked."""

    wanted: Registration
    task: Task
    author: Author | None = None
    """The call that registers it; None: the server itself does."""

    @property
    def entry(self) -> Entry | None:
        """What the audit log tells if the task is created."""
        return TaskChange(before=None, after=self.task, author=self.author).entry

    def beside(self, before: Task | None) -> Task | None:
        """Return the task once it is registered; None if that changes ``before``, which `registered` computes."""
        if before is None:
            return self.task
        return before if _is_as_wanted(before, self.wanted.definition, self.wanted.enabled) else None


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskUpdate:
    """A call of UpdateTask: ``fields`` by the names of `define`, ``policy`` by its paths; None is the default."""

    name: str
    fields: Mapping[str, Any]
    policy: Mapping[str, Any]
    enabled: bool | None = None
    etag: str = ""
    validate_only: bool = False
    allow_unknown_handler: bool = False

    def applied_to(self, task: Task) -> Definition:
        """Return the task's definition with the update.

        Raises:
            InvalidSchedule, InvalidArgument: as `define`; also if an unreadable part of the task would stay.
        """
        present = task.definition
        if not self.fields and not self.policy:
            return present
        staying = [trouble for trouble in present.troubles if not self._replaces(trouble.field)]
        if staying:
            raise InvalidArgument(*staying)
        changed = {name: value for name, value in self.fields.items() if value is not None}
        kept = {name: value for name, value in present.fields().items() if name not in self.fields}
        required = {name: "" for name in ("schedule", "handler") if self.fields.get(name, "") is None}
        policy = present.policy.with_fields(self.policy)
        fields = kept | changed | required
        return define(name=task.name, namespace=task.namespace, policy=policy, present=present, **fields)

    def _replaces(self, field: str) -> bool:
        """Return whether the update replaces a part of a task; a schedule or its zone replaces both."""
        if field in PLACE:
            return True
        if field in ("schedule", "time_zone"):
            return "schedule" in self.fields or "time_zone" in self.fields
        if field == "policy":
            return self.policy.keys() == DEFAULT.fields().keys()
        return field in self.fields or field.removeprefix("policy.") in self.policy


def check_batch(count: int) -> None:
    """Refuse a batch of too many tasks, or of none, before anything of it is read.

    Raises:
        InvalidArgument: naming the bounds.
    """
    if not 1 <= count <= MAX_BATCH:
        raise InvalidArgument.of("requests", f"must be 1 to {MAX_BATCH}, not {count}")


def new_uid(now: datetime) -> str:
    """Return 32 hexadecimal digits that no other task has, greater than those of the tasks before it.

    Tasks that are registered together are often due together: their rows, and what every index by task has of their
    executions, then stand on a few pages instead of one each.
    """
    return f"{int(now.timestamp() * 1000):012x}{next(_NUMBERS) % _NUMBERED:08x}{secrets.token_hex(6)}"


def registered(before: Task | None, definition: Definition, *, enabled: bool | None, now: datetime) -> TaskChange:
    """Return the change that gives the task this definition; ``before == after`` if nothing changes.

    Args:
        before: The task of that name, if there is one.
        definition: The new definition.
        enabled: Whether the task shall fire; None keeps an operator's pause, and enables a new task.
        now: The time from which a new or changed schedule counts.

    Raises:
        SchedulePassed: if a new or changed schedule names a single instant that is over.
        TaskUnreadable: as `switched`.
    """
    if before is None:
        fresh = Task(
            definition=definition,
            uid=new_uid(now),
            revision=1,
            enabled=enabled is not False,
            create_time=now,
            update_time=now,
            settled_time=now,
        )
        return TaskChange(before=None, after=_counting_from(fresh, now, schedule_is_new=True))
    if _is_as_wanted(before, definition, enabled):
        return TaskChange(before=before, after=before)
    chosen = before.enabled if enabled is None else enabled
    return _changed(before, replace(before, definition=definition, enabled=chosen), now)


def fresh_task(wanted: Registration, now: datetime, *, author: Author | None = None) -> FreshTask:
    """Return a registration as a new task; ``author``: the call that registers it.

    Raises:
        SchedulePassed: as `registered`.
    """
    change = registered(None, wanted.definition, enabled=wanted.enabled, now=now)
    if author is not None:
        change = change.by(author)
    return FreshTask(wanted=wanted, task=change.after, author=author)


def switched(before: Task, *, enabled: bool, note: str, now: datetime) -> TaskChange:
    """Return the change that enables or disables a task; ``before == after`` if nothing changes.

    Raises:
        TaskUnreadable: if a task is to be enabled that this program cannot read in full: when it fires is unknown.
    """
    if before.enabled == enabled and (enabled or note in ("", before.note)):
        return TaskChange(before=before, after=before)
    return _changed(before, replace(before, enabled=enabled, note="" if enabled else note), now)


def removed(before: Task, now: datetime) -> TaskChange:
    """Return the change that deletes a task: a tombstone stays until its history is gone."""
    after = replace(
        before,
        definition=before.definition.placed(),
        revision=before.revision + 1,
        update_time=now,
        delete_time=now,
        next_run_time=None,
    )
    return TaskChange(before=before, after=after, settlement=settlement(before, now, ended_for=Reason.TASK_DELETED))


def _changed_fields(before: Task, after: Task) -> Iterator[str]:
    """Yield the names of the fields of a task that a change gives other values."""
    old, new = before.definition.fields(), after.definition.fields()
    yield from (name for name in FIELDS if old[name] != new[name])
    if before.policy != after.policy:
        yield "policy"
    yield from (name for name in ("enabled", "note") if getattr(before, name) != getattr(after, name))


def _is_as_wanted(before: Task, definition: Definition, enabled: bool | None) -> bool:
    return enabled in (None, before.enabled) and before.definition == definition


def _changed(before: Task, wanted: Task, now: datetime) -> TaskChange:
    after = replace(
        wanted,
        definition=wanted.definition.placed(),
        revision=before.revision + 1,
        update_time=now,
        note="" if wanted.enabled else wanted.note,
    )
    if after.enabled and not before.enabled and after.trouble:
        raise TaskUnreadable(after.name, after.trouble)
    schedule_is_new = not (before.definition.has_place and before.definition.fires_as(after.definition))
    if not schedule_is_new and before.enabled == after.enabled:
        return TaskChange(before=before, after=_with_next_run(after, after.next_run_time))
    return TaskChange(
        before=before,
        after=_counting_from(after, now, schedule_is_new=schedule_is_new),
        settlement=settlement(before, now, ended_for=None if after.enabled else Reason.TASK_DISABLED),
    )


def _counting_from(task: Task, now: datetime, *, schedule_is_new: bool) -> Task:
    # What was settled under this very schedule stays settled, though the clock may have been set back since.
    settled_time = now if schedule_is_new else max(task.settled_time, now)
    if schedule_is_new and task.schedule.is_once and task.schedule.next_after(settled_time) is None:
        raise SchedulePassed.at(task.schedule.text)
    next_run_time = task.definition.next_after(settled_time)
    return _with_next_run(replace(task, settled_time=settled_time), next_run_time if task.enabled else None)


def _with_next_run(task: Task, next_run_time: datetime | None) -> Task:
    return replace(task, next_run_time=next_run_time, start_delay=start_delay(task, next_run_time))
