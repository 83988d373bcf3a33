"""Entries of Celery beat, as the snippet `cli/snippets/celery_beat.py` prints them in the user's own program."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from schedule_grpc.formats.imported.calls import call_of
from schedule_grpc.formats.imported.cron_text import COLUMNS, Meaning, cron_text, interval_text
from schedule_grpc.formats.imported.documents import Table
from schedule_grpc.formats.imported.policies import LONGEST_DEADLINE, LONGEST_WINDOW, seconds, timeout
from schedule_grpc.formats.imported.values import (
    AS_ELSEWHERE,
    NO_TIMEOUT,
    Found,
    Imported,
    NotReadable,
    NotTheSame,
    clock_note,
)

PROGRAM = "Celery beat"
_FIELDS = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
_READ_OPTIONS = ("expires", "time_limit")
_SECOND = timedelta(seconds=1)


def read_celery_beat(document: object, *, handler: str = "", now: datetime) -> Imported:
    """Return the entries of a beat schedule.

    Args:
        document: What the snippet printed, decoded.
        handler: Of all tasks; without it each task's handler has the name of Celery's task.
        now: For notes on changes of the clocks.

    Raises:
        NotReadable: if it is not what the snippet prints.
    """
    table = Table(document, "")
    if table.whole("celery_beat") is None:
        raise NotReadable("is not what the snippet prints: see schedule-grpc import celery-beat --snippet")
    found = Found(
        notes=[
            "retries of a task's own (self.retry, autoretry_for) are not known here, so none are set: see policy.retry",
            f"a time limit is kept where the entry or the task has one; {NO_TIMEOUT}",
        ]
    )
    time_zone = table.text("timezone") or "UTC"
    deadline = table.number("cron_starting_deadline")
    for entry in table.tables("entries"):
        _add(found, entry, time_zone, handler=handler, deadline=deadline, now=now)
    return found.imported()


def _add(found: Found, entry: Table, time_zone: str, *, handler: str, deadline: float | None, now: datetime) -> None:
    name, task = entry.text("name", needed=True), entry.text("task", needed=True)
    timing = entry.table("schedule")
    shown = f"{name}: {task}, {timing.text('text') or timing.value.get('type')}"
    notes: list[str] = []
    try:
        called = call_of(entry, task, handler)
        schedule, zone = _schedule(timing, time_zone, notes, now)
    except NotTheSame as error:
        found.leave(entry.place, shown, str(error))
        return
    policy: dict[str, Any] = {**AS_ELSEWHERE, "catch_up": "latest"}
    if deadline is not None and timing.text("type") == "crontab":
        policy["catch_up_window"], _ = seconds(deadline, timedelta(0), LONGEST_WINDOW)
    notes += _options(entry, policy)
    found.add(
        place=entry.place,
        source=shown,
        wanted_name=name,
        schedule=schedule,
        time_zone=zone,
        handler=called.handler,
        payload=called.payload,
        policy=policy,
        notes=tuple(notes),
    )


def _schedule(timing: Table, time_zone: str, notes: list[str], now: datetime) -> tuple[str, str]:
    """Return an entry's schedule and its zone.

    Raises:
        NotTheSame: if there is no such schedule.
    """
    kind = timing.text("type", needed=True)
    if kind == "crontab":
        schedule = cron_text(Meaning(**_sets(timing)))
        notes += clock_note(schedule, time_zone, now, program=PROGRAM)
        return schedule, time_zone
    if kind == "interval":
        period = min(timing.number("seconds") or 0, LONGEST_WINDOW.total_seconds() + 1)
        schedule, note = interval_text(timedelta(seconds=period), program=PROGRAM)
        notes.append(note)
        return schedule, "UTC"
    if kind == "solar":
        raise NotTheSame("a solar event is at another time each day; no schedule here follows the sun")
    raise NotTheSame(f"a schedule of the type {kind[:80]!r} has no counterpart here")


def _sets(timing: Table) -> dict[str, Any]:
    """Return the values of a crontab's fields. All must match; Sunday is 0."""
    names = ("minutes", "hours", "days", "months", "weekdays")
    found = {}
    for name, field, column in zip(names, _FIELDS, COLUMNS, strict=True):
        values = timing.list(field)
        if not all(isinstance(value, int) and value in column for value in values):
            raise NotReadable(f"has a value that is not between {column[0]} and {column[-1]}", place=timing.at(field))
        found[name] = frozenset(values)
    return found


def _options(entry: Table, policy: dict[str, Any]) -> Iterator[str]:
    """Set what an entry's options say of its policy; yield a note for each other one."""
    options = entry.table("options")
    notes: list[str] = []
    expires = options.value.get("expires")
    if isinstance(expires, str):
        yield f"expires={expires[:80]} is one instant, and is not kept: policy.window.end_time ends a schedule"
    elif (wait := options.number("expires")) is not None:
        policy["start_deadline"], moved = seconds(wait, _SECOND, LONGEST_DEADLINE)
        if moved:
            yield f"expires={wait:g}: here a start_deadline is between 1 s and 365 days"
    limit = options.number("time_limit") or entry.number("time_limit")
    if limit:
        timeout("time_limit", limit, policy, notes)
        yield from notes
    for key in options.value:
        if key not in _READ_OPTIONS:
            yield f"option {key[:80]}={str(options.value[key])[:80]} is not kept"
