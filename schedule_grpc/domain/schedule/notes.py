"""What changes of the clocks do to a cron expression, in English: previews show it before a team relies on it."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from schedule_grpc.domain.schedule.counting import minutes_shown
from schedule_grpc.domain.schedule.grammar import Fields
from schedule_grpc.domain.schedule.zone import Change, NextLocal, changes_between

MAX_NOTES = 10
"""Notes at most: a preview over centuries would list hundreds of nights that are all alike."""

_SECOND, _MINUTE, _DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)


def clock_changes(
    next_local: NextLocal, zone: ZoneInfo, after: datetime, until: datetime, *, wildcard: bool
) -> tuple[str, ...]:
    """Return a sentence for each change of a zone's offset in (after, until] that matters to an expression."""
    found: list[str] = []
    for change in changes_between(zone, after, until):
        if len(found) == MAX_NOTES:
            break
        found += _notes_on(change, next_local, zone, wildcard=wildcard)
    return tuple(found)


def effect_of(change: Change, meaning: Fields) -> str:
    """Return what a change of the clocks does to an expression, in English, without its times; empty: nothing."""
    first, last = sorted((change.local_before, change.local_after))
    if not minutes_shown(meaning, first, -((first - last) // _MINUTE)):
        return ""
    span = f"{first.date()}: {_span(first, last)}"
    if change.after > change.before:
        if meaning.wildcard or not change.makes_up:
            return f"{span} does not exist; what is due in it does not run"
        return f"{span} does not exist; what is due in it runs at {_clock(last)}"
    if meaning.wildcard or not change.repeats:
        return f"{span} comes twice; what is due in it runs both times"
    return f"{span} comes twice; what is due in it runs the first time only"


def _notes_on(change: Change, next_local: NextLocal, zone: ZoneInfo, *, wildcard: bool) -> Iterator[str]:
    first, last = sorted((change.local_before, change.local_after))
    local = next_local(first - _SECOND)
    if local is None or local >= last:
        return
    where = f"{first.date()} {zone.key}"
    if change.after > change.before:
        missing = f"{where}: clocks skip from {_span(first, last)}"
        if first == _midnight(first) and last - first == _DAY:
            yield f"{where}: this day does not exist; what is due on it does not happen"
        elif wildcard or not change.makes_up:
            yield f"{missing}; what is due in between does not happen"
        else:
            yield f"{missing}; {_clock(local)} does not exist and runs at {_clock(last)} ({_clock(change.instant)}Z)"
        return
    repeated = f"{where}: {_span(first, last)} comes twice"
    if wildcard or not change.repeats:
        yield f"{repeated}; what is due in it happens both times"
    else:
        yield f"{repeated}; {_clock(local)} runs the first time only"


def _span(first: datetime, last: datetime) -> str:
    """Return two local times, with their dates where the clock alone would show nothing between them."""
    if last - first < _DAY:
        return f"{_clock(first)} to {_clock(last)}"
    return f"{first:%F} {_clock(first)} to {last:%F} {_clock(last)}"


def _clock(time: datetime) -> str:
    return f"{time:%H:%M:%S}" if time.second else f"{time:%H:%M}"


def _midnight(local: datetime) -> datetime:
    return local.replace(hour=0, minute=0, second=0)
