"""The schedule of a CronJob, as Kubernetes reads it by robfig/cron (`ParseStandard`).

It differs from cron's: ``?`` is ``*``, ``5/15`` runs from 5 to the end, and day of month and day of week must both
match only where one of the two has an item ``*`` or ``?`` without a step; ``*/2`` counts as restricted.
"""

import re
from datetime import timedelta

from schedule_grpc.formats.imported.cron_text import (
    COLUMNS,
    DAYS,
    HOURS,
    MINUTES,
    MONTH_NAMES,
    MONTHS,
    WEEKDAY_NAMES,
    WEEKDAYS,
    Meaning,
    cron_text,
    interval_text,
)
from schedule_grpc.formats.imported.values import NotTheSame

DESCRIPTORS = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")

_ZONE = re.compile(r"(?:CRON_TZ|TZ)=(?P<zone>\S+)\s+(?P<rest>.+)", re.DOTALL)
_ITEM = re.compile(
    r"(?:[*?]|(?P<first>\d{1,4}|[a-z]{3})(?:-(?P<last>\d{1,4}|[a-z]{3}))?)(?:/(?P<step>\d{1,4}))?",
    re.ASCII | re.IGNORECASE,
)
_GO_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(h|ms|m|s)", re.ASCII)
_GO_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_NAMES = {MONTHS: MONTH_NAMES, WEEKDAYS: WEEKDAY_NAMES}
_FIELD_NAMES = {
    MINUTES: "minute",
    HOURS: "hour",
    DAYS: "day of month",
    MONTHS: "month",
    WEEKDAYS: "day of week",
}


def apart(text: str) -> tuple[str, str]:
    """Return the zone that a schedule begins with, empty if it does not, and the rest."""
    match = _ZONE.fullmatch(text.strip())
    return (match["zone"], match["rest"].strip()) if match else ("", text.strip())


def schedule_of(text: str) -> tuple[str, str]:
    """Return our schedule of an expression, and a note if it is due at other moments.

    Raises:
        NotTheSame: if there is none, or Kubernetes would refuse the expression.
    """
    if text.startswith("@every "):
        return interval_text(_duration(text.removeprefix("@every ").strip()), program="Kubernetes")
    if text.startswith("@"):
        if text not in DESCRIPTORS:
            raise NotTheSame(f"{text[:40]} is not a schedule of Kubernetes")
        return text, ""
    parts = text.split()
    if len(parts) != len(COLUMNS):
        raise NotTheSame(f"{text[:80]} has {len(parts)} fields, Kubernetes has five")
    read = [_field(part, column) for part, column in zip(parts, COLUMNS, strict=True)]
    (minutes, _), (hours, _), (days, any_day), (months, _), (weekdays, any_weekday) = read
    meaning = Meaning(
        minutes=minutes,
        hours=hours,
        days=days,
        months=months,
        weekdays=weekdays,
        either_day=not (any_day or any_weekday),
    )
    return cron_text(meaning, written=text), ""


def _field(text: str, column: range) -> tuple[frozenset[int], bool]:
    """Return a field's values, and whether it has a free item."""
    values: set[int] = set()
    free = False
    for item in text.split(","):
        match = _ITEM.fullmatch(item)
        if match is None:
            raise NotTheSame(f"{_FIELD_NAMES[column]}: {item[:40]} is not a schedule of Kubernetes")
        step = int(match["step"] or 1)
        first, last = column[0], column[-1]
        if match["first"] is not None:
            first = _number(match["first"], column)
            last = first if match["step"] is None else last
        else:
            free = free or step == 1
        if match["last"] is not None:
            last = _number(match["last"], column)
        if first > last or not step:
            raise NotTheSame(f"{_FIELD_NAMES[column]}: {item[:40]} is refused by Kubernetes")
        values |= set(range(first, last + 1, step))
    return frozenset(values), free


def _number(text: str, column: range) -> int:
    names = _NAMES.get(column, ())
    if text.lower() in names:
        return column[0] + names.index(text.lower())
    if not text.isdecimal() or int(text) not in column:
        raise NotTheSame(f"{_FIELD_NAMES[column]}: {text} is not between {column[0]} and {column[-1]}")
    return int(text)


def _duration(text: str) -> timedelta:
    """Return Go's duration in whole seconds, as robfig/cron cuts it."""
    parts = _GO_DURATION.findall(text[:100])
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise NotTheSame(f"@every {text[:40]} is no duration such as 1h30m")
    seconds = sum(float(number) * _GO_UNITS[unit] for number, unit in parts)
    return timedelta(seconds=max(1, int(min(seconds, 10.0**9))))
