"""Crontabs, as crontab(5) of Debian's cron and of cronie describes them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from schedule_grpc.domain.schedule import parse
from schedule_grpc.errors import InvalidSchedule
from schedule_grpc.formats.imported.cron_text import COLUMNS, DAYS, HOURS, MINUTES, MONTHS, WEEKDAYS
from schedule_grpc.formats.imported.values import (
    AS_ELSEWHERE,
    NO_TIMEOUT,
    Found,
    Imported,
    NotReadable,
    NotTheSame,
)
from schedule_grpc.text.secrets import names_a_secret

HANDLER = "run-command"
MAX_VARIABLES = 100

_VARIABLE = re.compile(
    r"""(?P<quote>["']?)(?P<name>[A-Za-z_]\w*)(?P=quote)\s*=\s*(?P<value>.*)""", re.ASCII | re.DOTALL
)
_ITEM = re.compile(r"(?P<range>\*|(?P<first>[0-9A-Za-z]+)(?:-[0-9A-Za-z]+)?)/(?P<step>[0-9]{1,9})", re.ASCII)
_NOT_OF_NAMES = re.compile(r"[^A-Za-z0-9._]+")
_COMMAND_END = re.compile(r"[|;<>]|&&|\s[0-9]>|$")
_BEFORE_COMMAND = re.compile(r"\s*(?:cd\s+[^&;]*(?:&&|;)\s*|[A-Za-z_]\w*=\S*\s+|(?:/\S*/)?(?:env|nice|ionice)\s+)*")
_NAME_LENGTH = 60
_FIELDS = 5
_SHOWN = 80
_CRONS_OWN = ("CRON_TZ", "MAILTO", "MAILFROM", "RANDOM_DELAY")
_LONGEST_DELAY_DIGITS = 3


@dataclass(kw_only=True, slots=True)
class _State:
    """What the lines above say for those below."""

    zone: str
    variables: dict[str, str] = field(default_factory=dict)
    delay: str = ""
    """A jitter, cronie's RANDOM_DELAY."""


def read_crontab(text: str, *, handler: str = "", time_zone: str = "", system: bool = False) -> Imported:
    """Return the jobs of a crontab.

    Args:
        text: The file's.
        handler: Of all tasks.
        time_zone: That of the machine whose crontab it is.
        system: Whether the sixth column is a user, as in /etc/crontab.

    Raises:
        NotReadable: for a line that is neither a job, nor a variable, nor a comment.
    """
    found = Found(notes=list(_notes(handler or HANDLER, time_zone)))
    state = _State(zone=time_zone or "UTC")
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.strip(" \t\r")
        if not line or line.startswith("#"):
            continue
        place = f"line {number}"
        if "\0" in line:
            raise NotReadable("has a NUL byte", place=place)
        variable = _VARIABLE.fullmatch(line)
        if variable is not None:
            found.notes += _set(state, variable["name"], _unquoted(variable["value"]), place)
        else:
            _job(found, state, line, place, handler=handler or HANDLER, system=system)
    return found.imported()


def _notes(handler: str, time_zone: str) -> Iterator[str]:
    yield (
        f"cron runs commands, a schedule server runs handlers: each task names the handler {handler}, which is not "
        "built in, with the command in its payload. docs/import.md has one to start with; --handler names another"
    )
    yield f"cron starts a job while its last run goes on, catches nothing up and retries nothing; {NO_TIMEOUT}"
    if not time_zone:
        yield "cron reads times in its machine's zone, written here as UTC: --zone names another, as Europe/Berlin"


def _set(state: _State, name: str, value: str, place: str) -> Iterator[str]:
    """Take a variable; yield a note if it means something to cron."""
    if name in ("CRON_TZ", "TZ") and value:
        yield from _zone(state, name, value, place)
    if name == "MAILTO" and value:
        yield f"{place}: MAILTO={value[:_SHOWN]}: no output is mailed here; policy.alert_after alerts of failures"
    if name == "RANDOM_DELAY" and value.isascii() and value.isdecimal() and len(value) <= _LONGEST_DELAY_DIGITS:
        state.delay = f"{int(value)}m"
        yield f"{place}: RANDOM_DELAY={value}: a jitter here, drawn for each occurrence; cron draws it once a start"
    if names_a_secret(name):
        yield f"{place}: {name} is not copied, for callers can read payloads: give it to the worker's environment"
    elif name not in _CRONS_OWN:
        state.variables[name] = value
        yield f"{place}: {name} stands in the payload of the tasks below it, as env"
    if len(state.variables) > MAX_VARIABLES:
        raise NotReadable(f"is the variable that follows {MAX_VARIABLES} others, and no more are read", place=place)


def _zone(state: _State, name: str, value: str, place: str) -> Iterator[str]:
    if name == "TZ":
        yield f"{place}: TZ={value[:_SHOWN]} is the zone of commands, and does not move their times"
        return
    try:
        parse("@daily", value)
    except InvalidSchedule as error:
        raise NotReadable(f"CRON_TZ: {error.reason}", place=place) from None
    state.zone = value
    yield f"{place}: CRON_TZ={value} is the zone of the jobs below it, as with cronie; Debian's cron ignores it"


def _job(found: Found, state: _State, line: str, place: str, *, handler: str, system: bool) -> None:
    fields = 1 if line.startswith("@") else _FIELDS
    plain = line.removeprefix("-") if line[1:2].isdigit() or line[1:2] == "*" else line  # "-": do not log it
    *times, rest = [*plain.split(None, fields), ""][: fields + 1]
    user = ""
    if system:
        user, rest = [*rest.split(None, 1), "", ""][:2]
    command, stdin = _at_percent(rest.strip(" \t"))
    if len(times) < fields or not command:
        needed = "a schedule, a user and a command" if system else "a schedule and a command"
        raise NotReadable(f"is no job, which has {needed}, and no variable: {line[:_SHOWN]}", place=place)
    notes: list[str] = []
    try:
        schedule = times[0] if fields == 1 else " ".join(_debian_steps(times, notes))
    except NotTheSame as error:
        found.leave(place, line, str(error))
        return
    if user:
        notes.append(f"ran as the user {user}; here the worker's or the server's own user runs it")
    if "%" in rest:
        notes.append("% is read as cron reads it: a line break, what follows the first one is standard input; \\% is %")
    found.add(
        place=place,
        source=line,
        wanted_name=_name(command),
        schedule=schedule,
        time_zone=state.zone,
        handler=handler,
        payload={"command": command, "stdin": stdin, "env": dict(state.variables), "user": user},
        policy=AS_ELSEWHERE | ({"jitter": state.delay} if state.delay else {}),
        notes=tuple(notes),
    )


def _at_percent(text: str) -> tuple[str, str]:
    r"""Return a command and its standard input, as cron's do_command takes them apart at ``%``; ``\%`` is ``%``."""
    parts: list[list[str]] = [[]]
    escaped = False
    for character in text:
        if escaped and character == "%":
            parts[-1][-1] = "%"
        elif character == "%":
            parts.append([])
        else:
            parts[-1].append(character)
        escaped = character == "\\" and not (escaped and len(parts) == 1)
    command, *lines = ("".join(part) for part in parts)
    return command, "".join(f"{line}\n" for line in lines)


def _debian_steps(times: list[str], notes: list[str]) -> list[str]:
    """Return the fields without steps that are longer than their field: Debian's cron takes the first value alone.

    Raises:
        NotTheSame: if day of month and day of week would mean something else without them.
    """
    rewritten = [
        ",".join(_debian_step(item, column) for item in text.split(","))
        for text, column in zip(times, COLUMNS, strict=True)
    ]
    if rewritten == times:
        return times
    if times[2].startswith("*") and not rewritten[2].startswith("*") and not times[4].startswith("*"):
        raise NotTheSame(f"the step of {times[2]} is longer than a month, so it is the 1st, and both days must match")
    if any(each.startswith("*") for each in times[:2]) and not any(each.startswith("*") for each in rewritten[:2]):
        notes.append("at a change of the clocks cron treats it as a job of every hour; here it runs once")
    notes.append("a step longer than its field means the first value alone to cron, which is written here")
    return rewritten


def _debian_step(item: str, column: range) -> str:
    match = _ITEM.fullmatch(item)
    span = {MINUTES: 59, HOURS: 23, DAYS: 30, MONTHS: 11, WEEKDAYS: 7}[column]
    if match is None or int(match["step"]) <= span or (match["first"] and "-" not in match["range"]):
        return item
    if match["range"] == "*":
        return "*/7" if column is WEEKDAYS else str(column[0])
    return str(match["first"])


def _unquoted(value: str) -> str:
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1] if quoted else value


def _name(command: str) -> str:
    """Return words for a name: those of the command itself, without folders and redirections."""
    start = _BEFORE_COMMAND.match(command[:1000])
    rest = command[start.end() if start else 0 :][:1000]
    end = _COMMAND_END.search(rest)
    words = [word.rstrip("/").rpartition("/")[2] for word in rest[: end.start() if end else None].split()]
    return _NOT_OF_NAMES.sub("-", "-".join(words)).strip("-._")[:_NAME_LENGTH].rstrip("-._") or "command"
