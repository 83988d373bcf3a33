"""What changes of the clocks do to a cron expression, in English: told before somebody relies on it."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from schedule_grpc.schedule.zone import Change, NextLocal, changes_between

MAX_NOTES = 10
"""A preview over centuries would tell of hundreds of nights that are all alike."""

_SECOND = timedelta(seconds=1)


def clock_changes(
    next_local: NextLocal, zone: ZoneInfo, after: datetime, until: datetime, *, wildcard: bool
) -> tuple[str, ...]:
    """Return a sentence for each change of a zone's offset in (after, until] that matters to an expression."""
    found: list[str] = []
    for change in changes_between(zone, after, until):
        if len(found) == MAX_NOTES:
            break
        found += _told(change, next_local, zone, wildcard=wildcard)
    return tuple(found)


def _told(change: Change, next_local: NextLocal, zone: ZoneInfo, *, wildcard: bool) -> Iterator[str]:
    first, last = sorted((change.local_before, change.local_after))
    local = next_local(first - _SECOND)
    if local is None or local >= last:
        return
    where = f"{first.date()} {zone.key}"
    if change.after > change.before:
        missing = f"{where}: clocks skip from {first:%H:%M} to {last:%H:%M}"
        if wildcard or not change.makes_up:
            yield f"{missing}; what is due in between does not happen"
        else:
            yield f"{missing}; {local:%H:%M} does not exist and runs at {last:%H:%M} ({change.instant:%H:%M}Z)"
        return
    repeated = f"{where}: {first:%H:%M} to {last:%H:%M} comes twice"
    if wildcard or not change.repeats:
        yield f"{repeated}; what is due in it happens both times"
    else:
        yield f"{repeated}; {local:%H:%M} runs the first time only"
