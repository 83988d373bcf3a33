"""What an import finds: tasks, what was left out, and notes; and the bounds of its input."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from schedule_grpc.domain.schedule import Cron, parse
from schedule_grpc.domain.schedule.matches import next_match
from schedule_grpc.domain.schedule.notes import clock_changes
from schedule_grpc.domain.task import define
from schedule_grpc.errors import InvalidArgument, InvalidSchedule
from schedule_grpc.text.secrets import names_a_secret

MAX_BYTES = 1024 * 1024
MAX_ENTRIES = 10_000
MAX_DEPTH = 64
MAX_VALUES = 200_000
"""In a decoded document: YAML's aliases can make a short text mean more values than fit into memory."""
SHOWN = 300
"""How many characters of a source a comment repeats."""
NAME_LENGTH = 100

_NO_LIMIT = timedelta(hours=24)
AS_ELSEWHERE = {"timeout": "24h", "overlap": "allow-all", "catch_up": "none", "retry": {"max_retries": 0}}
"""What a program means that only starts its jobs: no time limit (ours is at most a day), no retries, no waiting."""
NO_TIMEOUT = "nothing ends a job there; here one attempt may take 24 hours, the longest timeout: choose a shorter one"

_TWO_YEARS = timedelta(days=731)
_NOT_OF_NAMES = re.compile(r"[^A-Za-z0-9._]+")


class NotReadable(ValueError):
    """The input is not of the form that it should have; the message names the place and the reason."""

    def __init__(self, reason: str, *, place: str = "") -> None:
        super().__init__(f"{place}: {reason}" if place else reason)


class NotTheSame(ValueError):
    """No schedule of ours is due at the same times; the message says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportedTask:
    """A task as it will stand in the file, and where it comes from."""

    place: str
    """In the input, such as `line 12`."""
    source: str
    """What stands there, for people."""
    name: str
    schedule: str
    time_zone: str
    handler: str
    payload: Mapping[str, Any]
    policy: Mapping[str, Any]
    enabled: bool | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Left:
    """What was not imported, and why."""

    place: str
    source: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Imported:
    """All that was found, in its order; ``notes`` are of the input as a whole."""

    entries: tuple[ImportedTask | Left, ...]
    notes: tuple[str, ...]

    @property
    def tasks(self) -> tuple[ImportedTask, ...]:
        """The tasks alone."""
        return tuple(each for each in self.entries if isinstance(each, ImportedTask))

    @property
    def left(self) -> tuple[Left, ...]:
        """What was not imported."""
        return tuple(each for each in self.entries if isinstance(each, Left))


@dataclass(kw_only=True, slots=True)
class Found:
    """Collects what an import finds: names are made unique, and each task is one that `define` accepts."""

    entries: list[ImportedTask | Left] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _taken: dict[str, int] = field(default_factory=dict)

    def add(
        self,
        *,
        place: str,
        source: str,
        wanted_name: str,
        schedule: str,
        handler: str,
        time_zone: str = "UTC",
        payload: Mapping[str, Any],
        policy: Mapping[str, Any],
        enabled: bool | None = None,
        notes: Iterator[str] | tuple[str, ...] = (),
    ) -> None:
        """Add a task; leave it out, with the reasons, if no server would accept it.

        Raises:
            NotReadable: if there are too many.
        """
        kept = {key: value for key, value in payload.items() if value not in ("", {}, [])}
        name = _valid_name(wanted_name)
        try:
            define(name=name, schedule=schedule, time_zone=time_zone, handler=handler, payload=kept, policy=policy)
        except InvalidArgument as error:
            self.leave(place, source, "; ".join(f"{each.field}: {each.reason}" for each in error.violations))
            return
        task = ImportedTask(
            place=place,
            source=source,
            name=self._unique(name),
            schedule=schedule,
            time_zone=time_zone,
            handler=handler,
            payload=kept,
            policy=policy,
            enabled=enabled,
            notes=tuple(notes),
        )
        self._append(task)

    def leave(self, place: str, source: str, reason: str) -> None:
        """Note what is not imported."""
        self._append(Left(place=place, source=source, reason=reason))

    def imported(self) -> Imported:
        """Return all that was found."""
        return Imported(entries=tuple(self.entries), notes=tuple(self.notes))

    def _append(self, entry: ImportedTask | Left) -> None:
        if len(self.entries) == MAX_ENTRIES:
            raise NotReadable(f"is more than the {MAX_ENTRIES} jobs that are read at once", place=entry.place)
        self.entries.append(entry)

    def _unique(self, name: str) -> str:
        count = self._taken.get(name, 0)
        unique = name
        while unique in self._taken:
            count += 1
            unique = f"{name}-{count + 1}"
        self._taken[name] = count
        self._taken.setdefault(unique, 0)
        return unique


def bounded(document: object) -> object:
    """Return a decoded document, if it is neither too deep nor too large to walk through.

    Raises:
        NotReadable: if it is.
    """
    left = MAX_VALUES
    waiting: list[tuple[object, int]] = [(document, 0)]
    while waiting:
        value, depth = waiting.pop()
        left -= 1
        if left < 0 or depth > MAX_DEPTH:
            raise NotReadable(
                f"is nested more than {MAX_DEPTH} deep" if depth > MAX_DEPTH else f"has more than {MAX_VALUES} values"
            )
        if isinstance(value, Mapping):
            waiting += ((each, depth + 1) for each in value.values())
        elif isinstance(value, list):
            waiting += ((each, depth + 1) for each in value)
    return document


def without_secrets(variables: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the variables whose names say nothing of a secret, and a note that names the others."""
    hidden = sorted(name for name in variables if names_a_secret(name))
    shown = {name: value for name, value in variables.items() if name not in hidden}
    if not hidden:
        return shown, ()
    note = f"{', '.join(hidden)}: not copied, for callers can read payloads; give it to the worker's environment"
    return shown, (note,)


def clock_note(schedule: str, time_zone: str, now: datetime, *, program: str) -> Iterator[str]:
    """Yield a note if the program may treat a change of the clocks otherwise than we do, within two years."""
    try:
        read = parse(schedule, time_zone)
    except InvalidSchedule:
        return  # the task will be left out for it
    if not isinstance(read, Cron) or read.meaning.wildcard:
        return
    search = partial(next_match, read.meaning)
    if clock_changes(search, read.zone, now, now + _TWO_YEARS, wildcard=False):
        yield (
            f"in nights when clocks of {time_zone} change, {program} may leave out a time or run it twice; "
            "here it runs once"
        )


def _valid_name(wanted: str) -> str:
    """Return a task's name made of a text: letters, digits, dots, dashes."""
    name = _NOT_OF_NAMES.sub("-", wanted[: 4 * NAME_LENGTH]).strip("-._")
    return name[:NAME_LENGTH].rstrip("-._") or "task"
