"""Time zones, and what their changes do to a cron expression: Debian cron's rule.

Where clocks go forward by less than three hours, fixed-time jobs whose time was left out run once, at the first instant
after the gap. Where clocks go back by up to three hours, fixed-time jobs run in the first pass only. Wildcard jobs
(minute or hour begins with ``*``) run at every matching minute that clocks really show, in both passes. At greater
changes all jobs do. The rule is that of the main loop ("wakeup kinds") in cron.c of Debian's cron 3.0pl1.
"""

import struct
import zoneinfo
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import MAXYEAR, UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

from schedule_grpc.domain.schedule.grammar import Refused, shown

EARLIEST, _LATEST = datetime(1, 1, 3, tzinfo=UTC), datetime(9999, 12, 28, tzinfo=UTC)
"""Between these every zone has a local time, and probing has room. Nothing is due earlier, nothing changes later."""

_CORRECTED = timedelta(hours=3)
_SECOND, _MINUTE = timedelta(seconds=1), timedelta(minutes=1)
_PROBED = timedelta(days=3)
"""In no zone do two changes of the offset lie closer than 6.9 days (a test looks at all of them)."""
_NO_PLACES = frozenset({"localtime", "posixrules", "Factory"})
"""What some systems list beside the zones: the server's own zone, and placeholders."""

NextLocal = Callable[[datetime], datetime | None]
"""The first match of an expression strictly after a local time; both naive. None if there is none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """From ``instant`` on, the offset from UTC is ``after`` instead of ``before``."""

    instant: datetime
    before: timedelta
    after: timedelta

    @property
    def local_before(self) -> datetime:
        """What clocks would have shown at the instant."""
        return _local(self.instant, self.before)

    @property
    def local_after(self) -> datetime:
        """What clocks show at the instant."""
        return _local(self.instant, self.after)

    @property
    def makes_up(self) -> bool:
        """Whether fixed-time jobs of the time left out run after it."""
        return timedelta() < self.after - self.before < _CORRECTED

    @property
    def repeats(self) -> bool:
        """Whether fixed-time jobs stand still until the repeated time is over."""
        return timedelta() < self.before - self.after <= _CORRECTED


@dataclass(frozen=True, kw_only=True, slots=True)
class _Steady:
    """In [since, until) the offset from UTC is the same, and no change before it counts any more."""

    since: datetime
    until: datetime
    offset: timedelta


@lru_cache(maxsize=1)
def _known() -> frozenset[str]:
    return frozenset(available_timezones()) - _NO_PLACES


@lru_cache(maxsize=1)
def _packaged() -> frozenset[str]:
    """Return the zones of the package tzdata, a part of all: to know them, none of the system's 600 files is opened."""
    try:
        listed = files("tzdata").joinpath("zones").read_text("utf-8")
    except (ImportError, OSError):  # a package of the service may leave it out
        return frozenset()
    return frozenset(listed.split()) - _NO_PLACES


def zone_named(name: str) -> ZoneInfo:
    """Return the zone of an IANA name.

    Raises:
        Refused: if there is none of that name, or its file is damaged.
    """
    if name not in _packaged() and name not in _known():
        raise Refused(f"{shown(ascii(name))} is not a time zone of the IANA database, such as Europe/Berlin")
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError, struct.error) as error:
        raise Refused(f"the tz data of {name} cannot be read: {error}") from None


def rules_digest() -> str:
    """Return a digest of the tz data that this process finds: another edition has another one."""
    digest = sha256()
    for name in sorted(_known()):
        digest.update(name.encode())
        digest.update(_tz_data(name))
    return digest.hexdigest()


def _tz_data(name: str) -> bytes:
    """Return a zone's file, from where zoneinfo takes it: the system's, or else the package tzdata."""
    for folder in zoneinfo.TZPATH:
        try:
            return Path(folder, name).read_bytes()
        except OSError:
            continue
    return files("tzdata.zoneinfo").joinpath(name).read_bytes()


def next_instant(next_local: NextLocal, zone: ZoneInfo, after: datetime, *, wildcard: bool) -> datetime | None:
    """Return the first instant strictly after ``after`` (UTC) at which an expression is due in a zone.

    Looks for the next match as if the offset stayed, then goes through the changes on the way there, one by one. Mostly
    there is none, nor one behind it that still counts: then that match is the answer.

    Raises:
        OverflowError: if the search runs past the year 9999.
    """
    steady = _steady_at(zone, after)
    if steady is not None:
        start = _local(after, steady.offset)
        local = next_local(start)
        if local is None:
            return None
        instant = after + (local - start)
        if instant < steady.until:
            return instant
    return next_instant_through_changes(next_local, zone, after, wildcard=wildcard)


def next_instant_through_changes(
    next_local: NextLocal, zone: ZoneInfo, after: datetime, *, wildcard: bool
) -> datetime | None:
    """Return the same, whatever changes lie on the way."""
    offset = _offset(zone, after)
    start = _local(after, offset)
    if not wildcard:
        start = _past_repeated_time(zone, after, start)
    local, seen = next_local(start), after
    while local is not None:
        change = _first_change(zone, seen, _instant(local, offset))
        if change is None:
            return _instant(local, offset)
        if not wildcard and change.makes_up and local <= change.local_after:
            return change.instant
        if _looks_anew(change, local, wildcard=wildcard):
            local = next_local(change.local_after - _SECOND)
        seen, offset = change.instant, change.after
    return None


def _looks_anew(change: Change, local: datetime, *, wildcard: bool) -> bool:
    """Return whether the match found beyond a change is not the first one there."""
    if change.after > change.before:
        return local < change.local_after  # it was left out
    return wildcard or not change.repeats  # there are new ones in the second pass


def _past_repeated_time(zone: ZoneInfo, after: datetime, start: datetime) -> datetime:
    """Return the local time to search from: in a second pass, fixed-time jobs wait for its end."""
    change = _first_change(zone, after - _CORRECTED, after)
    if change is not None and change.repeats:
        return max(start, change.local_before - _SECOND)
    return start


def changes_between(zone: ZoneInfo, after: datetime, until: datetime) -> Iterator[Change]:
    """Give the changes of the offset in (after, until], in their order."""
    for year in range(after.year, until.year + 1):
        for change in _changes(zone, year):
            if after < change.instant <= until:
                yield change


def _first_change(zone: ZoneInfo, after: datetime, until: datetime) -> Change | None:
    return next(changes_between(zone, after, until), None)


@lru_cache(maxsize=1024)
def steady_around(zone: ZoneInfo, instant: datetime) -> tuple[datetime, datetime, timedelta | None]:
    """Return a stretch of time around an instant, and its offset from UTC; None: clocks change in it, or just did.

    Within [since, until) of a stretch with an offset, what is due is what clocks show; not so at its first instant,
    where a change may still be made up for.
    """
    steady = _steady_at(zone, instant)
    if steady is not None and instant > steady.since:
        return steady.since, steady.until, steady.offset
    for each in (*_steady(zone, instant.year), *_steady(zone, min(instant.year + 1, MAXYEAR))):
        if each.since >= instant:
            return instant, each.since + _MINUTE, None
    return instant, datetime.max.replace(tzinfo=UTC), None


def _steady_at(zone: ZoneInfo, instant: datetime) -> _Steady | None:
    for each in _steady(zone, instant.year):
        if each.since <= instant < each.until:
            return each
    return None


@lru_cache(maxsize=4096)
def _steady(zone: ZoneInfo, year: int) -> tuple[_Steady, ...]:
    """Return the times without a change that lie in a year of UTC, and reach into the next one."""
    first = max(datetime(year, 1, 1, tzinfo=UTC), EARLIEST + _CORRECTED)
    last = datetime(min(year + 1, MAXYEAR), 12, 1, tzinfo=UTC)
    found = []
    since, offset = first, _offset(zone, first)
    for change in changes_between(zone, first - _CORRECTED, last):
        if change.instant > since:
            found.append(_Steady(since=since, until=change.instant, offset=change.before))
        since, offset = change.instant + _CORRECTED, change.after
    return (*found, _Steady(since=since, until=last, offset=offset))


@lru_cache(maxsize=4096)
def _changes(zone: ZoneInfo, year: int) -> tuple[Change, ...]:
    """Return the changes in a year of UTC, found by probing and bisecting, for zoneinfo does not list them."""
    found = []
    left = max(datetime(year, 1, 1, tzinfo=UTC) - _SECOND, EARLIEST) if year > 1 else EARLIEST
    end = min(datetime(year, 12, 31, 23, 59, 59, tzinfo=UTC), _LATEST)
    before = _offset(zone, left)
    while left < end:
        right = min(left + _PROBED, end)
        after = _offset(zone, right)
        if after != before:
            found.append(Change(instant=_bisected(zone, left, right, before), before=before, after=after))
            before = after
        left = right
    return tuple(found)


def _bisected(zone: ZoneInfo, left: datetime, right: datetime, before: timedelta) -> datetime:
    """Return the first second at which the offset is no longer ``before``."""
    while right - left > _SECOND:
        middle = left + (right - left) // _SECOND // 2 * _SECOND
        if _offset(zone, middle) == before:
            left = middle
        else:
            right = middle
    return right


def _offset(zone: ZoneInfo, instant: datetime) -> timedelta:
    return instant.astimezone(zone).utcoffset() or timedelta()


def _local(instant: datetime, offset: timedelta) -> datetime:
    return instant.replace(tzinfo=None) + offset


def _instant(local: datetime, offset: timedelta) -> datetime:
    return local.replace(tzinfo=UTC) - offset
