"""Schedules: when is a task due, and when next?

`parse` reads cron expressions, names such as ``@daily``, intervals such as ``every 90 minutes``, and RFC 3339 instants.
What it returns is a value, `Cron`, `Interval`, `Once` or `Manual`; its first question is ``next_after``.
"""

from functools import lru_cache

from schedule_grpc.domain.schedule import elsewhere
from schedule_grpc.domain.schedule.base import MAX_COUNTED, Due, Preview, Schedule
from schedule_grpc.domain.schedule.counting import MinutesDue, set_bits
from schedule_grpc.domain.schedule.cron import NAMED, Cron
from schedule_grpc.domain.schedule.grammar import FIELDS, Fields, Refused, read, shown
from schedule_grpc.domain.schedule.interval import Interval, read_period
from schedule_grpc.domain.schedule.notes import effect_of
from schedule_grpc.domain.schedule.once import Manual, Once, Unreadable, read_instant
from schedule_grpc.domain.schedule.zone import changes_between, rules_digest, zone_named
from schedule_grpc.errors import InvalidSchedule, Violation

__all__ = [
    "MAX_COUNTED",
    "Cron",
    "Due",
    "Fields",
    "Interval",
    "Manual",
    "MinutesDue",
    "Once",
    "Preview",
    "Schedule",
    "Unreadable",
    "changes_between",
    "effect_of",
    "parse",
    "read_stored",
    "rules_digest",
    "set_bits",
]

MAX_TEXT = 256

_MANUAL = "@manual"
_DATE_LENGTH = len("2026-01-31")


@lru_cache(maxsize=16_384)
def parse(text: str, time_zone: str = "UTC") -> Schedule:
    """Return the schedule that a text means in a time zone.

    Args:
        text: A cron expression of five fields, as Debian's cron reads it; ``@hourly @daily @midnight @weekly @monthly
            @yearly @annually``; ``@manual``; ``every N second|minute|hour|day|week[s]``; or an RFC 3339 instant. Of at
            most 256 characters.
        time_zone: IANA name of the zone in which cron expressions and names are read.

    Raises:
        InvalidSchedule: with the field, ``schedule`` or ``time_zone``, and the reason.
    """
    try:
        zone = zone_named(time_zone)
    except Refused as error:
        raise InvalidSchedule("time_zone", str(error), text=time_zone) from None
    try:
        plain = _plain(text)
        if plain.lower() == _MANUAL:
            return Manual(text=text, time_zone=time_zone)
        if plain.lower().startswith("every"):
            return Interval(text=text, time_zone=time_zone, period=read_period(plain))
        if _looks_like_a_date(plain):
            return Once(text=text, time_zone=time_zone, instant=read_instant(plain))
        expression = _expression(plain)
        return Cron(text=text, time_zone=time_zone, expression=expression, meaning=read(expression), zone=zone)
    except Refused as error:
        raise InvalidSchedule("schedule", str(error), text=text) from None


def _reads(text: str) -> bool:
    try:
        parse(text)
    except InvalidSchedule:
        return False
    return True


def read_stored(text: str, time_zone: str) -> tuple[Schedule, Violation | None]:
    """Return the schedule of a task that is registered; `Unreadable`, with the reason, if this program cannot read it.

    A task may have been registered by a newer program, or by one with other tz data.
    """
    try:
        return parse(text, time_zone), None
    except InvalidSchedule as error:
        return Unreadable(text=text, time_zone=time_zone), Violation(field=error.field, reason=error.reason)


def _plain(text: str) -> str:
    """Return the text without blanks around it, if it is one line of printable ASCII."""
    if len(text) > MAX_TEXT:
        raise Refused(f"it has {len(text)} characters, at most {MAX_TEXT} are accepted")
    for character in () if text.isascii() and text.isprintable() else text:
        if not (character.isascii() and (character.isprintable() or character == "\t")):
            raise Refused(f"the character {character!a} is not accepted, only printable ASCII, blanks and tabs")
    if not (plain := text.strip()):
        raise Refused("it is empty")
    return plain


def _looks_like_a_date(plain: str) -> bool:
    """Return whether a text is meant as an instant; no cron expression begins like 2026-01-31."""
    return len(plain) >= _DATE_LENGTH and plain[4] == plain[7] == "-" and plain[:4].isdecimal()


def _expression(plain: str) -> str:
    """Return the five-field expression that a text is or names; refuse what only other programs accept."""
    reason = elsewhere.reason_for(plain, _reads)
    if reason is None:
        parts = (_named(plain) if plain.startswith("@") else plain).split()
        surplus = len(parts) > FIELDS and elsewhere.reason_for_fields(parts, _reads)
        if not surplus:
            return " ".join(parts)
        reason = f"it has {len(parts)} fields, cron has five; {surplus}"
    raise Refused(reason)


def _named(plain: str) -> str:
    name = plain.lower()
    if name == "@reboot":
        raise Refused("@reboot is not a time; run what belongs to a start when your service starts")
    if name not in NAMED:
        raise Refused(f"{shown(plain)} is not one of {', '.join((*NAMED, _MANUAL))}")
    expression, _ = NAMED[name]
    return expression
