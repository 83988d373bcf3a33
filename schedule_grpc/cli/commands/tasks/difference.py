"""The difference between the tasks of a file and the tasks of a server. Pure."""

import json
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from schedule_grpc.domain.access.namespace import DEFAULT_NAMESPACE
from schedule_grpc.domain.policy_reading import policy_text
from schedule_grpc.domain.registration import Registration
from schedule_grpc.domain.task import FIELDS, OBJECT_FIELDS, SCHEDULE_FIELDS, Definition, Task
from schedule_grpc.formats.task_file import MANAGED_BY, TaskFile

ABSENT = "(none)"

_ORDER = ("trouble", *SCHEDULE_FIELDS, "handler", "enabled", *FIELDS, "policy")


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One field of a task, as people read it: before and after."""

    field: str
    before: str
    after: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangedTask:
    """A task to change; its registration holds only while the task is as it was read (by its etag)."""

    registration: Registration
    changes: tuple[Change, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """The changes that make a server's tasks those of the file."""

    created: tuple[Registration, ...]
    changed: tuple[ChangedTask, ...]
    deleted: tuple[Task, ...]
    unchanged: tuple[str, ...]
    passed: tuple[Registration, ...] = ()
    """Tasks whose single instant is over: not registered, and no task of that name is deleted."""
    namespace: str = ""
    """Of all of them, as the file or the command names it; empty: the server chooses."""

    def shown(self, name: str) -> str:
        """Return a task's name for people and programs: with its namespace before it, unless that is the default."""
        return name if self.namespace in ("", DEFAULT_NAMESPACE) else f"{self.namespace}/{name}"

    @property
    def registrations(self) -> tuple[Registration, ...]:
        """The registrations to send: of new tasks and of changed ones."""
        return (*self.created, *(task.registration for task in self.changed))

    def sparing(self, wanted: Container[tuple[str, str]]) -> "Difference":
        """Return the difference without deletions of tasks, by namespace and name, that another part declares.

        A part that names no namespace, and one that names the namespace that the server chooses, are of one namespace.
        """
        return replace(self, deleted=tuple(task for task in self.deleted if (task.namespace, task.name) not in wanted))


def difference(file: TaskFile, tasks: Sequence[Task], now: datetime, *, prune: bool) -> Difference:
    """Return the difference between a file of one namespace and the tasks registered there, as of ``now``.

    With ``prune`` the registered tasks of the file's set that the file does not declare are deleted.
    """
    present = {task.name: task for task in tasks}
    created: list[Registration] = []
    changed: list[ChangedTask] = []
    unchanged: list[str] = []
    passed: list[Registration] = []
    for registration in file.registrations:
        before = present.pop(registration.definition.name, None)
        if _has_passed(before, registration.definition, now):
            passed.append(registration)
        elif before is None:
            created.append(registration)
        elif changes := tuple(_changes(before, registration)):
            changed.append(ChangedTask(registration=replace(registration, etag=before.etag), changes=changes))
        else:
            unchanged.append(before.name)
    owned = [task for task in present.values() if task.definition.metadata.get(MANAGED_BY) == file.owner]
    return Difference(
        created=tuple(created),
        changed=tuple(changed),
        deleted=tuple(owned) if prune else (),
        unchanged=tuple(unchanged),
        passed=tuple(passed),
        namespace=file.namespace,
    )


def _has_passed(before: Task | None, definition: Definition, now: datetime) -> bool:
    """Return whether a server would refuse the schedule: new to the task, and its only occurrence is over."""
    new = before is None or not before.definition.fires_as(definition)
    return new and definition.schedule.is_once and definition.schedule.next_after(now) is None


def _changes(before: Task, registration: Registration) -> Iterator[Change]:
    enabled = before.enabled if registration.enabled is None else registration.enabled
    was = _fields(before.definition, enabled=before.enabled)
    shall_be = _fields(registration.definition, enabled=enabled)
    for field in sorted({**was, **shall_be}, key=lambda field: _ORDER.index(field.partition(".")[0])):
        if was.get(field) != shall_be.get(field):
            yield Change(field=field, before=was.get(field, ABSENT), after=shall_be.get(field, ABSENT))


def _fields(definition: Definition, *, enabled: bool) -> dict[str, str]:
    """Return a definition's values as text, by field; each key of payload and metadata is a field of its own."""
    fields = definition.fields() | {"description": definition.effective_description()}
    objects = {name: fields.pop(name) for name in OBJECT_FIELDS}
    return {
        **({"trouble": definition.trouble} if definition.troubles else {}),
        **fields,
        "enabled": "yes" if enabled else "no",
        **_by_key(objects),
        **{f"policy.{path}": policy_text(value) for path, value in definition.policy.fields().items()},
    }


def _by_key(objects: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    return {
        f"{field}.{key}": json.dumps(item, sort_keys=True, ensure_ascii=False)
        for field, value in objects.items()
        for key, item in value.items()
    }
