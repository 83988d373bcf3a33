"""What other schedulers accept and cron does not: for each a reason that names it, and what to write instead."""

import re
from collections.abc import Callable, Sequence
from datetime import timedelta

_NAMES = frozenset({"hourly", "daily", "midnight", "weekly", "monthly", "yearly", "annually", "manual"})
_UNITS = {"h": timedelta(hours=1), "m": timedelta(minutes=1), "s": timedelta(seconds=1)}
_WORDS = (("hour", timedelta(hours=1)), ("minute", timedelta(minutes=1)), ("second", timedelta(seconds=1)))

_LETTER = re.compile(r"[A-Za-z]")
_ZONE_FIRST = re.compile(r"(?:CRON_)?TZ=(?P<zone>\S*)(?:\s.*)?", re.IGNORECASE)
_ZONE_LAST = re.compile(r"UTC|GMT|Z|[A-Z][A-Za-z_]+(?:/[A-Za-z_+-]+)+")
_AWS = re.compile(r"(?:cron|rate|at)\(.*\)?", re.IGNORECASE)
_COMMAND = re.compile(r"^/|[._=~]")
_GO = re.compile(r"(?:@every\s+)?(?P<duration>(?:\d{1,9}[hms])+)", re.IGNORECASE)
_EVERY = re.compile(r"@(?P<interval>every\b.*)", re.IGNORECASE)
_STEP = re.compile(r"\*/(?P<count>[1-9]\d?)")

Reads = Callable[[str], bool]
"""Whether a text is a schedule: nothing is proposed that would be refused in turn."""


def reason_for(text: str, reads: Reads) -> str | None:
    """Return why a text is none of ours, if it is a form that others have; each of these has a letter."""
    return _reason_for(text, reads) if _LETTER.search(text) else None


def _reason_for(text: str, reads: Reads) -> str | None:
    if (zone := _ZONE_FIRST.fullmatch(text)) is not None:
        named = f" ({zone['zone']})" if zone["zone"] else ""
        return f"a zone is not part of it: it belongs in the field time_zone{named}"
    if _AWS.fullmatch(text):
        return "cron(...), rate(...) and at(...) are AWS's; use the five fields alone, 'every 5 minutes', or an instant"
    if text.lower() in _NAMES:
        return f"a name begins with @; write @{text.lower()}"
    if (written := _GO.fullmatch(text)) is not None:
        return f"an interval is written in words{_proposed(_in_words(written['duration']), reads)}"
    if (every := _EVERY.fullmatch(text)) is not None:
        return f"an interval is written without @{_proposed(every['interval'], reads)}"
    return None


def reason_for_fields(parts: Sequence[str], reads: Reads) -> str | None:
    """Return the meaning of the surplus in six or more fields, if it is clear."""
    if _ZONE_LAST.fullmatch(parts[-1]):
        return f"a zone is not part of it: it belongs in the field time_zone ({parts[-1]})"
    joined = re.sub(r"\s*([,-])\s*", r"\1", " ".join(parts))
    if len(joined.split()) == 5:  # noqa: PLR2004 (cron's five)
        return f"there are blanks in a list or a range{_proposed(joined, reads)}"
    if any(_COMMAND.search(part) for part in parts[5:]):
        return "what a task does is its handler, no command"
    seconds, rest = parts[0], [part.replace("?", "*") for part in parts[1:]]
    if (step := _STEP.fullmatch(seconds)) is not None and set(rest) == {"*"}:
        interval = f"every {step['count']} seconds"
        return f"seconds are not cron's{_proposed(interval, reads)}"
    # A day of the week in digits may be counted from 1 there.
    if seconds in ("0", "00") and rest[5:] in ([], ["*"]) and not any(map(str.isdigit, rest[4])):
        proposed = _proposed(" ".join(rest[:5]), reads)
        return f"seconds and years are not cron's{proposed and f'{proposed} if the first is seconds'}"
    return None


def _proposed(candidate: str | None, reads: Reads) -> str:
    return f"; write {candidate}" if candidate is not None and reads(candidate) else ""


def _in_words(duration: str) -> str | None:
    """Return an interval such as 1h30m as ``every 90 minutes``."""
    parts = re.findall(r"(\d+)([hms])", duration.lower())
    seconds = sum(int(count) * _UNITS[unit].total_seconds() for count, unit in parts)
    if not seconds:
        return None
    for word, unit in _WORDS:
        count, rest = divmod(int(seconds), int(unit.total_seconds()))
        if not rest:
            return f"every {count} {word}{'s' if count > 1 else ''}"
    return None
