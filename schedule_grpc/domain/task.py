"""Tasks: the definition that a team registers, its bounds, and what the service adds to it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from schedule_grpc.domain.access.namespace import DEFAULT_NAMESPACE, TaskKey, namespace_violations
from schedule_grpc.domain.canonical_json import CanonicalObject, NotJson, encode
from schedule_grpc.domain.json_input import portable
from schedule_grpc.domain.listing import OVERDUE_AFTER, TaskActivity, TaskFilter, TaskPlace
from schedule_grpc.domain.policy import DEFAULT, CatchUp, Overlap, Policy, Retention, Window
from schedule_grpc.domain.policy_reading import understood
from schedule_grpc.domain.schedule import Due, Schedule, parse
from schedule_grpc.errors import InvalidArgument, InvalidSchedule, Violation
from schedule_grpc.runtime.clock import MICROSECOND
from schedule_grpc.text.unicode import text_violations

__all__ = [
    "CatchUp",
    "Definition",
    "Handler",
    "Overlap",
    "Policy",
    "Retention",
    "Task",
    "TaskFilter",
    "TaskPage",
    "TaskStats",
    "Window",
    "checked_payload",
    "define",
    "just_before",
]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
EARLIEST = datetime.min.replace(tzinfo=UTC)
MAX_PAYLOAD_BYTES = 64 * 1024
MAX_METADATA_BYTES = 16 * 1024
MAX_DESCRIPTION = 4096
MAX_NOTE = 1024
SCHEDULE_FIELDS = ("schedule", "time_zone")
TEXT_FIELDS = ("handler", "description")
OBJECT_FIELDS = {"payload": MAX_PAYLOAD_BYTES, "metadata": MAX_METADATA_BYTES}
"""JSON objects, with the bytes that each may have at most."""
FIELDS = (*SCHEDULE_FIELDS, *TEXT_FIELDS, *OBJECT_FIELDS)
"""A definition's fields beside its identity and policy: columns, messages, masks, files, differences follow from these.

Typed signatures (of clients, commands, HTTP bodies), JSON answers and printed tasks spell them again.
"""
PLACE = frozenset({"revision", "settled_time", "next_run_time", "start_delay"})
"""A task's place in its schedule: the columns that each change of the task writes anew."""
EMPTY: Mapping[str, Any] = CanonicalObject("{}")
SHOWN = 40
"""How many characters of a refused name an error repeats."""


class Definition(Struct, frozen=True, kw_only=True):
    """What a team registers: valid where `define` made it; shared, so its JSON is read-only.

    One that was read back may be in trouble: ``troubles`` names each part that this program cannot read, because a
    newer program wrote it, other tz data knew its zone, or the row is damaged. Such a part has its default here,
    ``unread`` keeps what the store holds for it, and the task does not fire: a guess would do the wrong thing.
    """

    namespace: str = DEFAULT_NAMESPACE
    name: str
    schedule: Schedule
    handler: str
    payload: Mapping[str, Any] = {}
    metadata: Mapping[str, Any] = {}
    description: str = ""
    policy: Policy = Policy()
    troubles: tuple[Violation, ...] = ()
    unread: tuple[tuple[str, Any], ...] = ()

    @property
    def key(self) -> TaskKey:
        """What identifies the task: its namespace and its name."""
        return self.namespace, self.name

    def fields(self) -> dict[str, Any]:
        """Return its `FIELDS` by name, as `define` takes them."""
        others = {name: getattr(self, name) for name in (*TEXT_FIELDS, *OBJECT_FIELDS)}
        return {"schedule": self.schedule.text, "time_zone": self.schedule.time_zone, **others}

    @property
    def trouble(self) -> str:
        """The parts that this program cannot read, and why, in words."""
        return "; ".join(map(str, self.troubles))

    @property
    def can_run(self) -> bool:
        """Whether an execution can run: a task whose schedule alone is in trouble still runs by hand."""
        return all(trouble.field in PLACE | {"schedule", "time_zone"} for trouble in self.troubles)

    @property
    def has_place(self) -> bool:
        """Whether the task's place can be read; if not, the next change counts its schedule from then."""
        return not any(trouble.field in PLACE for trouble in self.troubles)

    def placed(self) -> "Definition":
        """Return the definition without troubles of the task's place, which is about to be written anew."""
        return replace(
            self,
            troubles=tuple(trouble for trouble in self.troubles if trouble.field not in PLACE),
            unread=tuple((column, stored) for column, stored in self.unread if column not in PLACE),
        )

    @property
    def category(self) -> str:
        """``metadata.category``, by which tasks can be listed."""
        category = self.metadata.get("category", "")
        return category if isinstance(category, str) else ""

    def next_after(self, instant: datetime) -> datetime | None:
        """Return the first occurrence strictly after an instant that lies in the window, None if there is none."""
        found = self.schedule.next_after(_later(instant, self._before_window))
        end = self.policy.window.end_time
        return None if found is None or (end is not None and found >= end) else found

    def upcoming(self, after: datetime, count: int) -> tuple[datetime, ...]:
        """Return the next ``count`` occurrences after an instant, fewer where schedule or window end."""
        end = self.policy.window.end_time
        found = self.schedule.upcoming(_later(after, self._before_window), count)
        return found if end is None else tuple(occurrence for occurrence in found if occurrence < end)

    def due(self, after: datetime, until: datetime, newest: int) -> Due:
        """Return the due occurrences in (after, until] within the window: their number, and the ``newest`` few."""
        end = self.policy.window.end_time
        last = until if end is None else min(until, just_before(end))
        first = _later(after, self._before_window)
        return self.schedule.due(first, last, newest) if first < last else Due()

    def fires_as(self, other: "Definition") -> bool:
        """Return whether both are due at the same times: the same schedule, zone and window."""
        return self.schedule == other.schedule and self.policy.window == other.policy.window

    @property
    def _before_window(self) -> datetime | None:
        start = self.policy.window.start_time
        return None if start is None else just_before(start)

    def effective_description(self) -> str:
        """The description, or ``metadata.description`` where none was given."""
        fallback = self.metadata.get("description", "")
        return self.description or (fallback if isinstance(fallback, str) else "")


class TaskStats(Struct, frozen=True, kw_only=True):
    """Counts over a task's life; retention of history does not lower them."""

    success_count: int = 0
    failure_count: int = 0
    consecutive_failures: int = 0
    last_success_time: datetime | None = None
    last_failure_time: datetime | None = None


class Task(Struct, frozen=True, kw_only=True):
    """A registered definition and its place in time.

    Everything up to ``settled_time`` is accounted for by executions; ``next_run_time`` is the schedule's next
    occurrence after it, None while the task is disabled or will not fire again. ``revision`` counts changes of the
    definition and of ``enabled``, not firings.

    It is fired ``start_delay`` later than its next run: its jitter then.
    """

    definition: Definition
    uid: str
    revision: int
    enabled: bool
    create_time: datetime
    update_time: datetime
    settled_time: datetime
    next_run_time: datetime | None = None
    start_delay: timedelta = timedelta(0)
    last_run_time: datetime | None = None
    delete_time: datetime | None = None
    note: str = ""
    changed_by: str = ""
    """The caller that changed it last; empty where that is not known."""
    stats: TaskStats = TaskStats()
    no_worker: bool = False
    """Whether no server and no worker offers its handler: told to callers, and not stored."""
    activity: TaskActivity | None = None
    """What its executions are doing; None where that was not asked for. It is no part of what is stored."""

    @property
    def name(self) -> str:
        """Unique among the living tasks of its namespace."""
        return self.definition.name

    @property
    def namespace(self) -> str:
        """The namespace that it belongs to, as do all its executions."""
        return self.definition.namespace

    @property
    def key(self) -> TaskKey:
        """What identifies it among living tasks: its namespace and its name."""
        return self.definition.key

    @property
    def due_time(self) -> datetime | None:
        """When it is fired next: its next run, and ``start_delay`` later."""
        return None if self.next_run_time is None else self.next_run_time + self.start_delay

    def is_overdue(self, now: datetime) -> bool:
        """Return whether it should have fired longer ago than a busy loop explains (`OVERDUE_AFTER`)."""
        return self.due_time is not None and self.due_time < now - OVERDUE_AFTER

    @property
    def id(self) -> str:
        """The id that callers of the older service know."""
        return f"task_{self.definition.name}"

    @property
    def schedule(self) -> Schedule:
        """When it is due."""
        return self.definition.schedule

    @property
    def handler(self) -> str:
        """The name of the handler that does the work."""
        return self.definition.handler

    @property
    def policy(self) -> Policy:
        """How its executions are treated."""
        return self.definition.policy

    @property
    def trouble(self) -> str:
        """The parts that this program cannot read, and why; empty if there are none."""
        return self.definition.trouble

    @property
    def etag(self) -> str:
        """Changes with every change of the definition (AIP-154)."""
        return str(self.revision)

    def next_run_times(self, count: int = 5) -> tuple[datetime, ...]:
        """Return the next ``count`` occurrences, fewer where the schedule ends, none while the task is disabled."""
        if self.next_run_time is None:
            return ()
        return (self.next_run_time, *self.definition.upcoming(self.next_run_time, count - 1))


@dataclass(frozen=True, kw_only=True, slots=True)
class Handler:
    """A handler by name, as callers may list it; ``offered`` is whether a server or a worker offers it now.

    ``concurrency`` is how many of its attempts one server runs at once; None if only the server's limit counts.
    """

    name: str
    description: str = ""
    offered: bool = True
    concurrency: int | None = None
    payload_schema: str = ""
    """A JSON Schema of the payload, as the newest worker that offers it gives it; empty: none does."""
    worker_count: int = 0
    """How many workers offer it now."""
    worker_versions: tuple[str, ...] = ()
    """The versions of their programs, in order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskPage:
    """One page of tasks; an empty token marks the last one."""

    tasks: tuple[Task, ...]
    next_page_token: str = ""
    is_partial: bool = False
    """Whether a search ended here because it had examined as many tasks as one call may; the next page goes on."""
    places: tuple[TaskPlace, ...] = ()
    """Of each task, its place in the order; a server needs them, callers do not get them."""


def define(
    *,
    name: str,
    namespace: str = DEFAULT_NAMESPACE,
    schedule: str,
    handler: str,
    time_zone: str = "UTC",
    payload: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
    description: str = "",
    policy: Policy | Mapping[str, Any] | None = None,
    present: Definition | None = None,
) -> Definition:
    """Return a valid definition.

    Args:
        name: Unique among the living tasks of the namespace.
        namespace: A namespace's name.
        schedule: As `parse` takes it.
        handler: A name too.
        time_zone: Of cron expressions.
        payload: Handed to the handler.
        metadata: The team's own.
        description: What the task is for.
        policy: A policy, or a table in any form that `policy_reading` knows; None is the default.
        present: The task's definition now: its payload and metadata are not checked again where they stay. An older
            program may have accepted them, and the other fields must stay changeable.

    Raises:
        InvalidSchedule: if only the schedule or its zone is wrong.
        InvalidArgument: with a violation for every field that is wrong.
    """
    violations = [*_name_violations("name", name), *namespace_violations("namespace", namespace)]
    violations += _name_violations("handler", handler)
    violations += text_violations("description", description, most=MAX_DESCRIPTION)
    chosen, wrong = (DEFAULT, ()) if policy is None else understood(policy)
    violations += wrong
    parsed: Schedule | None = None
    try:
        parsed = parse(schedule, time_zone or "UTC")
    except InvalidSchedule as error:
        if not violations:
            raise
        violations += error.violations
    kept_payload = payload or {}
    if present is None or payload is not present.payload:
        kept_payload = _checked_json("payload", kept_payload, MAX_PAYLOAD_BYTES, violations)
    kept_metadata = metadata or {}
    if present is None or metadata is not present.metadata:
        kept_metadata = _checked_json("metadata", kept_metadata, MAX_METADATA_BYTES, violations)
    if violations or parsed is None:
        raise InvalidArgument(*violations)
    return Definition(
        name=name,
        namespace=namespace,
        schedule=parsed,
        handler=handler,
        payload=kept_payload,
        metadata=kept_metadata,
        # A task is shown with metadata.description where it has none: registered as it was shown, it stays what it was.
        description="" if description == kept_metadata.get("description") else description,
        policy=chosen,
    )


def checked_payload(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a manual run's payload, normalised.

    Raises:
        InvalidArgument: if it is too large, too deep, or not JSON.
    """
    violations: list[Violation] = []
    kept = _checked_json("payload", payload, MAX_PAYLOAD_BYTES, violations)
    if violations:
        raise InvalidArgument(*violations)
    return kept


def just_before(instant: datetime) -> datetime:
    """Return the instant a microsecond earlier, or the first one there is."""
    return instant - MICROSECOND if instant > EARLIEST else instant


def _later(instant: datetime, other: datetime | None) -> datetime:
    return instant if other is None else max(instant, other)


def _name_violations(field_name: str, text: str) -> Iterator[Violation]:
    if not text:
        yield Violation(field=field_name, reason="is required")
    elif NAME.fullmatch(text) is None:
        shown = text if len(text) <= SHOWN else text[:SHOWN] + "…"
        yield Violation(
            field=field_name,
            reason=f"{shown!r} is not a letter or digit followed by up to 127 letters, digits, '.', '_' or '-'",
        )


def _checked_json(
    field_name: str, value: Mapping[str, Any], limit: int, violations: list[Violation]
) -> Mapping[str, Any]:
    if not value and isinstance(value, dict):
        return EMPTY
    try:
        text = encode(portable(value))
    except NotJson as error:
        violations.append(Violation(field=field_name, reason=str(error)))
        return {}
    size = len(text.encode())
    if size > limit:
        violations.append(
            Violation(field=field_name, reason=f"{size} bytes of JSON, more than the {limit} bytes allowed")
        )
    return CanonicalObject(text)
