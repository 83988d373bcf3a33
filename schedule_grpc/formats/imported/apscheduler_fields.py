"""The fields of APScheduler's cron trigger: its expressions, as sets of values and as a schedule of ours.

All fields must match. Days of the week count from Monday, which is 0; a first value with a step runs to the end of its
field (``5/15`` is ``5-59/15``).
"""

import re
from collections.abc import Mapping

from schedule_grpc.formats.imported.cron_text import (
    DAYS,
    HOURS,
    MINUTES,
    MONTH_NAMES,
    MONTHS,
    WEEKDAY_NAMES,
    WEEKDAYS,
    Meaning,
    cron_text,
)
from schedule_grpc.formats.imported.values import NotTheSame

FIELDS = ("year", "month", "day", "week", "day_of_week", "hour", "minute", "second")

_ITEM = re.compile(
    r"(?:\*|(?P<first>\d{1,4}|[a-z]{3})(?:-(?P<last>\d{1,4}|[a-z]{3}))?)(?:/(?P<step>\d{1,4}))?",
    re.ASCII | re.IGNORECASE,
)
_FROM_MONDAY = (*WEEKDAY_NAMES[1:], WEEKDAY_NAMES[0])
_COLUMNS: Mapping[str, tuple[range, tuple[str, ...]]] = {
    "month": (MONTHS, MONTH_NAMES),
    "day": (DAYS, ()),
    "day_of_week": (WEEKDAYS, _FROM_MONDAY),
    "hour": (HOURS, ()),
    "minute": (MINUTES, ()),
    "second": (MINUTES, ()),
    "year": (range(1970, 10_000), ()),
}
_A_MINUTE = 60


def schedule_of(fields: Mapping[str, str]) -> str:
    """Return the schedule that the fields mean, years aside.

    Raises:
        NotTheSame: if there is none, or a field cannot be read.
    """
    if (week := fields.get("week", "*")) != "*":
        raise NotTheSame(f"week={week}: cron has no weeks of the year")
    found = {name: _values(name, fields.get(name, "*")) for name in _COLUMNS if name != "year"}
    meaning = Meaning(
        minutes=found["minute"],
        hours=found["hour"],
        days=found["day"],
        months=found["month"],
        weekdays=frozenset((day + 1) % 7 for day in found["day_of_week"]),
    )
    if found["second"] == {0}:
        return cron_text(meaning)
    if meaning == Meaning() and (period := _period(found["second"])) is not None:
        return f"every {period} seconds" if period > 1 else "every second"
    raise NotTheSame(f"second={fields.get('second', '*')}: cron has no seconds")


def years_of(fields: Mapping[str, str]) -> tuple[int, int] | None:
    """Return the first and the last year; None if all years match.

    Raises:
        NotTheSame: if years between them do not match.
    """
    text = fields.get("year", "*")
    if text == "*":
        return None
    years = _values("year", text)
    first, last = min(years), max(years)
    if len(years) != last - first + 1:
        raise NotTheSame(f"year={text}: only years that follow one another can be kept")
    return first, last


def _period(seconds: frozenset[int]) -> int | None:
    period = _A_MINUTE // len(seconds)
    return period if seconds == frozenset(range(0, _A_MINUTE, period)) else None


def _values(name: str, text: str) -> frozenset[int]:
    column, names = _COLUMNS[name]
    return frozenset(value for item in text.split(",") for value in _item(name, item.strip(), column, names))


def _item(name: str, item: str, column: range, names: tuple[str, ...]) -> range:
    match = _ITEM.fullmatch(item)
    if match is None:
        raise NotTheSame(f"{name}={item[:40]}: cron has no such thing")
    first, last = column[0], column[-1]
    if match["first"] is not None:
        first = _number(name, match["first"], column, names)
        last = first if match["step"] is None else last
    if match["last"] is not None:
        last = _number(name, match["last"], column, names)
    step = int(match["step"] or 1)
    if not step or first > last:
        raise NotTheSame(f"{name}={item[:40]}: cannot be read")
    return range(first, last + 1, step)


def _number(name: str, text: str, column: range, names: tuple[str, ...]) -> int:
    if text.lower() in names:
        return column[0] + names.index(text.lower())
    if not text.isdecimal() or int(text) not in column:
        raise NotTheSame(f"{name}={text}: is not between {column[0]} and {column[-1]}")
    return int(text)
