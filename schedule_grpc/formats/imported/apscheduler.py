"""Jobs of APScheduler 3, as the snippet `cli/snippets/apscheduler_jobs.py` prints them in the user's own program.

APScheduler keeps its jobs as pickles. Opening one runs whatever it says, so no job store is read here: the program that
made the jobs may open them, and prints them as JSON.
"""

from collections.abc import Callable, Iterator
from datetime import MAXYEAR, UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from schedule_grpc.domain.schedule.grammar import Refused
from schedule_grpc.domain.schedule.zone import zone_named
from schedule_grpc.formats.imported.apscheduler_fields import schedule_of, years_of
from schedule_grpc.formats.imported.calls import call_of
from schedule_grpc.formats.imported.cron_text import interval_text
from schedule_grpc.formats.imported.documents import Table
from schedule_grpc.formats.imported.policies import LONGEST_WINDOW, late_start, seconds
from schedule_grpc.formats.imported.values import (
    AS_ELSEWHERE,
    NO_TIMEOUT,
    Found,
    Imported,
    NotReadable,
    NotTheSame,
    clock_note,
)

PROGRAM = "APScheduler"

_Read = tuple[str, str, dict[str, Any], tuple[str, ...]]
"""A schedule, its zone, the window that it adds, and notes."""
_Reader = Callable[[Table, datetime], _Read]

_DAY = timedelta(days=1)
_MICROSECOND = timedelta(microseconds=1)
_NO_GRACE, _ONE_RUN = "3650d", 1
_MANY_SECONDS = 100
"""In so many a job may miss more runs than are caught up."""


def read_apscheduler(document: object, *, handler: str = "", now: datetime) -> Imported:
    """Return the jobs of a scheduler.

    Args:
        document: What the snippet printed, decoded.
        handler: Of all tasks; without it each task's handler is named after its function.
        now: Starts before it are over.

    Raises:
        NotReadable: if it is not what the snippet prints.
    """
    table = Table(document, "")
    if table.whole("apscheduler") is None:
        raise NotReadable("is not what the snippet prints: see schedule-grpc import apscheduler --snippet")
    found = Found(notes=[f"APScheduler retries nothing; {NO_TIMEOUT}"])
    for job in table.tables("jobs"):
        _add(found, job, handler, now)
    return found.imported()


def _add(found: Found, job: Table, handler: str, now: datetime) -> None:
    name, source = job.text("id", needed=True), job.text("func", needed=True)
    triggers = list(_alternatives(job.table("trigger")))
    for trigger in triggers:
        shown = f"{name}: {source}, {_shown(trigger)}"
        try:
            called = call_of(job, source, handler)
            policy, notes = _policy(job)
            schedule, time_zone, added, more = _schedule(trigger, now)
        except NotTheSame as error:
            found.leave(trigger.place, shown, str(error))
            continue
        if len(triggers) > 1:
            more = (*more, f"one of {len(triggers)} triggers of a job: where two are due at once, both run here")
        found.add(
            place=trigger.place,
            source=shown,
            wanted_name=name,
            schedule=schedule,
            time_zone=time_zone,
            handler=called.handler,
            payload=called.payload,
            policy=policy | added,
            enabled=False if job.flag("paused") else None,
            notes=(*notes, *more),
        )


def _alternatives(trigger: Table) -> Iterator[Table]:
    """Yield the triggers of which any may fire."""
    kind = trigger.text("type", needed=True)
    if kind != "or":
        yield trigger
        return
    for each in trigger.tables("triggers"):
        yield from _alternatives(each)


def _policy(job: Table) -> tuple[dict[str, object], list[str]]:
    policy: dict[str, object] = dict(AS_ELSEWHERE)
    notes: list[str] = []
    instances = job.whole("max_instances", least=1) or _ONE_RUN
    if instances == _ONE_RUN:
        policy["overlap"] = "skip"
    else:
        notes.append(f"max_instances={instances}: here any number runs at once; a handler's concurrency can limit it")
    policy["catch_up"] = "all" if job.flag("coalesce") is False else "latest"
    grace = job.number("misfire_grace_time")
    if grace is not None:
        late_start("misfire_grace_time", grace, policy, notes)
    elif "misfire_grace_time" in job.value:
        policy["catch_up_window"] = _NO_GRACE
        policy["start_deadline"] = "365d"
    if policy["catch_up"] == "all" and "misfire_grace_time" in job.value and (grace is None or grace > _MANY_SECONDS):
        notes.append("coalesce=False: of missed runs the newest hundred run here")
    return policy, notes


def _schedule(trigger: Table, now: datetime) -> _Read:
    """Return a trigger's schedule, its zone, what it adds to the policy, and notes.

    Raises:
        NotTheSame: if there is no such schedule.
    """
    kind = trigger.text("type", needed=True)
    read: _Reader | None = _KINDS.get(kind)
    if read is None:
        raise NotTheSame(f"a trigger of the type {kind[:80]!r} has no schedule here")
    schedule, time_zone, window, notes = read(trigger, now)
    added: dict[str, Any] = {"window": window} if window else {}
    jitter = trigger.number("jitter")
    if jitter:
        added["jitter"], _ = seconds(jitter, timedelta(0), _DAY)
        if kind == "interval":
            notes = (*notes, f"jitter={jitter:g}: there it moves all later runs, too; here each one alone")
    return schedule, time_zone, added, notes


def _cron(trigger: Table, now: datetime) -> _Read:
    fields = {name: trigger.table("fields").text(name) for name in trigger.table("fields").value}
    time_zone = trigger.text("timezone") or "UTC"
    schedule = schedule_of(fields)
    window = _window(trigger, now)
    if (years := years_of(fields)) is not None:
        zone = _zone(time_zone)
        starts, ends = (_new_year(year, zone) for year in (years[0], years[1] + 1))
        if starts > now:
            window["start_time"] = max(window.get("start_time", starts), starts)
        window["end_time"] = min(window.get("end_time", ends), ends)
    if schedule.startswith("every"):
        return schedule, "UTC", window, ()
    return schedule, time_zone, window, tuple(clock_note(schedule, time_zone, now, program=PROGRAM))


def _interval(trigger: Table, now: datetime) -> _Read:
    period = timedelta(seconds=min(trigger.number("seconds") or 0, LONGEST_WINDOW.total_seconds() + 1))
    began = _instant(trigger, "start_date")
    schedule, note = interval_text(period, began=began, program=PROGRAM)
    window = _window(trigger, now)
    if began is not None and began <= now + period:
        window.pop("start_time", None)  # it is the next run, as with every job that was added a moment ago
    elif began is not None:
        window["start_time"] = began.replace(second=0, microsecond=0)
    return schedule, "UTC", window, (note,) if note else ()


def _date(trigger: Table, now: datetime) -> _Read:
    run = _instant(trigger, "run_date")
    if run is None:
        raise NotReadable("is missing", place=trigger.at("run_date"))
    notes = ("it is over: tasks apply passes it by",) if run <= now else ()
    return run.isoformat().replace("+00:00", "Z"), "UTC", {}, notes


_KINDS = {"cron": _cron, "interval": _interval, "date": _date}


def _window(trigger: Table, now: datetime) -> dict[str, Any]:
    """Return the window of a trigger: its last moment is within, where ours is not."""
    start, end = _instant(trigger, "start_date"), _instant(trigger, "end_date")
    window: dict[str, Any] = {}
    if start is not None and start > now:
        window["start_time"] = start
    if end is not None:
        window["end_time"] = end + _MICROSECOND
    return window


def _instant(trigger: Table, key: str) -> datetime | None:
    text = trigger.text(key)
    if not text:
        return None
    try:
        instant = datetime.fromisoformat(text)
        if instant.tzinfo is not None and instant.year < MAXYEAR:
            return instant.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise NotReadable("is no instant with its offset from UTC", place=trigger.at(key))


def _zone(name: str) -> ZoneInfo:
    try:
        return zone_named(name)
    except Refused as error:
        raise NotTheSame(str(error)) from None


def _new_year(year: int, zone: ZoneInfo) -> datetime:
    return datetime(min(year, 9998), 1, 1, tzinfo=zone).astimezone(UTC)


def _shown(trigger: Table) -> str:
    """Return a trigger as people write it."""
    kind = str(trigger.value.get("type"))
    if kind == "cron":
        fields = trigger.table("fields").value
        return "cron " + " ".join(f"{name}={text}" for name, text in fields.items() if text != "*")
    rest = {
        key: value for key, value in trigger.value.items() if key != "type" and isinstance(value, str | int | float)
    }
    return " ".join([kind, *(f"{key}={value}" for key, value in rest.items())])
