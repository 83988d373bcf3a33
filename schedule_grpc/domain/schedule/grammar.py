"""The grammar of cron expressions: Vixie's five fields, nothing more, every refusal with its field and reason.

Other programs accept surprises: wrap-around ranges, ``R``, ``H``, ``W``, ``L``, ``#``, numbers of thousands of digits.
An accepted expression means what Debian's cron takes it for. Steps longer than their field, which Debian's cron
accepts, are refused: ``*/99`` would silently mean 0.
"""

import re
from dataclasses import dataclass, field
from functools import lru_cache

SHOWN = 40
"""How many characters of a refused part an error repeats."""

FIELDS = 5

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_IN_FULL = {
    name[:3]: name
    for name in (
        *("january", "february", "march", "april", "may", "june", "july", "august", "september", "october"),
        *("november", "december", "sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"),
    )
}
_LONGEST_MONTH_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

_ITEM = re.compile(r"(?P<first>\*|[0-9A-Za-z]+)(?:-(?P<last>[0-9A-Za-z]+))?(?:/(?P<step>[0-9A-Za-z]+))?")
_HINTS = tuple(
    (re.compile(pattern, re.IGNORECASE), hint)
    for pattern, hint in (
        (
            r"L|L-\d+|\d+L|[A-Z]{3}L|LW|WL",
            "'L' (last) is not cron's; for the last day, run on 28-31 and look at the date",
        ),
        (r"\d+W|W\d+", "'W' (nearest weekday) is not cron's"),
        (r".*#.*", "'#' (n-th weekday) is not cron's; run every week and look at the date"),
        (r".*\?.*", "'?' is not cron's; write *"),
        (r"R(?:\(.*\))?(?:/.*)?", "'R' (random) is not cron's; give the task a jitter"),
        (r"H(?:\(.*\))?(?:/.*)?", "'H' (hash) is not cron's; give the task a jitter"),
        (r"-\d+.*", "it is negative"),
        (r"\+\d+.*", "write numbers without a sign"),
        (r"\d+\.\d+", "it is not a whole number"),
    )
)


SUNDAY_TOO = 7
"""Sunday is 0, and 7 as well."""
_OF_WEEKDAYS = ("for the last day, run on 28-31 and look at the date", "run every week and look at the date")
"""What to do instead of the one, and of the other."""


class Refused(ValueError):
    """A text outside the grammar; the message names the part and the reason."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fields:
    """A cron expression as the values it means; expressions that mean the same are equal.

    Values are in ascending order, Sunday is 0. ``either_day``: day of month OR day of week (both are restricted); else
    both must match, as cron has it where one of the two begins with ``*``. ``wildcard``: minute or hour begins with
    ``*``, which decides what DST does to it, and is no part of the comparison.
    """

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]
    either_day: bool
    wildcard: bool = field(compare=False)

    @property
    def means_every_day(self) -> bool:
        """Whether it is due on all days."""
        return len(self.days) + len(self.months) + len(self.weekdays) == len(EVERY_DAY) + MONTHS + len(EVERY_WEEKDAY)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Column:
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()


_MINUTE = _Column(name="minute", low=0, high=59)
_HOUR = _Column(name="hour", low=0, high=23)
_DAY = _Column(name="day of month", low=1, high=31)
_MONTH = _Column(name="month", low=1, high=12, names=_MONTHS)
_WEEKDAY = _Column(name="day of week", low=0, high=7, names=_WEEKDAYS)
EVERY_DAY, EVERY_WEEKDAY, MONTHS = range(1, 32), range(7), 12


@lru_cache(maxsize=4096)
def read(expression: str) -> Fields:
    """Return what a five-field expression means.

    Raises:
        Refused: if it is outside the grammar, or can never fire.
    """
    minute, hour, day, month, weekday = _split(expression)
    minutes, hours = _values(minute, _MINUTE), _values(hour, _HOUR)
    days, months = _values(day, _DAY), _values(month, _MONTH)
    weekdays = tuple(sorted({value % 7 for value in _values(weekday, _WEEKDAY)}))
    either_day = not day.startswith("*") and not weekday.startswith("*")
    if either_day and (len(days) == len(EVERY_DAY) or len(weekdays) == len(EVERY_WEEKDAY)):
        # One of the two always matches, so the other adds nothing.
        days, weekdays, either_day = tuple(EVERY_DAY), tuple(EVERY_WEEKDAY), False
    if not either_day and all(days[0] > _LONGEST_MONTH_DAYS[number - 1] for number in months):
        raise Refused(f"day of month: {shown(day)} does not exist in month {shown(month)}, so it can never fire")
    return Fields(
        minutes=minutes,
        hours=hours,
        days=days,
        months=months,
        weekdays=weekdays,
        either_day=either_day,
        wildcard=minute.startswith("*") or hour.startswith("*"),
    )


def shown(text: str) -> str:
    """Return a refused part as an error repeats it."""
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


def _split(expression: str) -> list[str]:
    parts = expression.split()
    if len(parts) == FIELDS:
        return parts
    five = "cron has five: minute, hour, day of month, month, day of week"
    if len(parts) in (6, 7):
        raise Refused(f"it has {len(parts)} fields, {five}; seconds and years are not cron's")
    count = "1 field" if len(parts) == 1 else f"{len(parts)} fields"
    raise Refused(f"it has {count}, {five}; or write a name such as @daily, 'every 5 minutes', or an RFC 3339 instant")


@lru_cache(maxsize=4096)
def _values(text: str, column: _Column) -> tuple[int, ...]:
    try:
        return tuple(sorted({value for item in text.split(",") for value in _item(item, column)}))
    except Refused as error:
        raise Refused(f"{column.name}: {error}") from None


def _item(item: str, column: _Column) -> range:
    if not item:
        raise Refused("an item of the list is empty")
    match = _ITEM.fullmatch(item)
    if match is None or (match["first"] == "*" and match["last"] is not None):
        raise Refused(_not_understood(item, column))
    if match["first"] == "*":
        first, last = column.low, column.high
    else:
        first = last = _value(match["first"], column)
        if match["last"] is not None:
            last = _value(match["last"], column)
    if first > last:
        raise Refused(f"the range {shown(item)} runs backwards; write {_unwrapped(match, last, column)}")
    step = 1 if match["step"] is None else _step(match["step"], column)
    if match["step"] is not None and match["first"] != "*" and match["last"] is None:
        ranged = match["first"] if first == column.high else f"{match['first']}-{column.high}/{step}"
        raise Refused(f"a step needs a range; write {ranged}")
    return range(first, last + 1, step)


def _value(text: str, column: _Column) -> int:
    if text.lower() in column.names:
        return column.low + column.names.index(text.lower())
    if not text.isdecimal():
        raise Refused(_not_understood(text, column))
    return _number(text, column.low, column.high, f"above {column.high}")


def _step(text: str, column: _Column) -> int:
    if not text.isdecimal():
        raise Refused(f"the step {shown(text)} is not a whole number")
    if not text.strip("0"):
        raise Refused(f"the step {shown(text)} is below 1")
    return _number(text, 1, column.high - column.low, f"longer than the range {column.low}-{column.high}", "the step ")


def _number(text: str, low: int, high: int, too_high: str, what: str = "") -> int:
    digits = text.lstrip("0") or "0"
    if len(digits) > len(str(high)) or int(digits) > high:  # by length first: int() refuses thousands of digits
        raise Refused(f"{what}{shown(text)} is {too_high}")
    if int(digits) < low:
        raise Refused(f"{what}{shown(text)} is below {low}")
    return int(digits)


def _unwrapped(match: re.Match[str], last: int, column: _Column) -> str:
    """Return what a wrap-around range such as 22-2 was meant to be: 22-23,0-2."""
    if match["step"] is not None:
        return "two ranges"
    first = _value(match["first"], column)
    if column is _WEEKDAY and first == SUNDAY_TOO:
        return _span(match["first"] if last == 0 else "0", match["last"], alike=last == 0)
    if column is _WEEKDAY and last == 0:
        return _span(match["first"], str(SUNDAY_TOO))
    high = 6 if column is _WEEKDAY else column.high
    before = _span(match["first"], str(high), alike=first == high)
    return f"{before},{_span(str(column.low), match['last'], alike=last == column.low)}"


def _span(first: str, last: str, *, alike: bool = False) -> str:
    return first if alike else f"{first}-{last}"


def _not_understood(text: str, column: _Column) -> str:
    short = text[:3].lower()
    if short in column.names and _IN_FULL[short].startswith(text.lower()):
        return f"{shown(text)} is not a name; write {short}"
    for pattern, hint in _HINTS:
        if pattern.fullmatch(text):
            reason = hint.replace(*_OF_WEEKDAYS) if column is _WEEKDAY else hint
            return f"{shown(text)} is not accepted: {reason}"
    name = f" a name ({column.names[0]}-{column.names[-1]})," if column.names else ""
    return f"{shown(text)} is not a number,{name} a range, or a list of these"
