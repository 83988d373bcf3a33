"""What changes of the offset do: Debian cron's rule, boundary by boundary."""

import zoneinfo
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib import resources
from itertools import pairwise, product
from zoneinfo import ZoneInfo

import pytest

from schedule_grpc.domain.schedule import parse, zone
from schedule_grpc.domain.schedule.grammar import Refused, read
from schedule_grpc.domain.schedule.matches import next_match
from schedule_grpc.domain.schedule.zone import (
    _PROBED,
    EARLIEST,
    changes_between,
    next_instant,
    next_instant_through_changes,
)

BERLIN, LORD_HOWE, APIA, CASEY = "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia", "Antarctica/Casey"

TABLE = [
    # Berlin, 2026-03-29: 02:00 becomes 03:00 at 01:00Z
    ("gap, fixed: once, at the first instant after", "30 2 * * *", BERLIN, "2026-03-28T12:00:00Z",
     ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]),
    ("gap, fixed: several times left out run once", "0,20,40 2 * * *", BERLIN, "2026-03-28T12:00:00Z",
     ["2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"]),
    ("gap, fixed: made up and due at the same instant is one", "0 2,3 * * *", BERLIN, "2026-03-29T00:00:00Z",
     ["2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"]),
    ("gap, fixed: what lies after it stays", "30 3 * * *", BERLIN, "2026-03-28T12:00:00Z",
     ["2026-03-29T01:30:00Z"]),
    ("gap, fixed: asked at its end, nothing is made up again", "30 2 * * *", BERLIN, "2026-03-29T01:00:00Z",
     ["2026-03-30T00:30:00Z"]),
    ("gap, wildcard hour: none invented", "30 * * * *", BERLIN, "2026-03-29T00:00:00Z",
     ["2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z"]),
    ("gap, wildcard minute: the hour is left out", "* 2 * * *", BERLIN, "2026-03-28T12:00:00Z",
     ["2026-03-30T00:00:00Z", "2026-03-30T00:01:00Z"]),
    ("gap, wildcard step: the hour is left out", "0 */2 * * *", BERLIN, "2026-03-28T23:00:00Z",
     ["2026-03-29T02:00:00Z"]),
    ("gap, names are fixed or wildcard as their expressions are", "@hourly", BERLIN, "2026-03-29T00:00:00Z",
     ["2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"]),
    ("gap, a weekday's times are made up as well", "30 2 * * 0", BERLIN, "2026-03-28T12:00:00Z",
     ["2026-03-29T01:00:00Z", "2026-04-05T00:30:00Z"]),
    ("gap, intervals follow elapsed time", "every 45 minutes", BERLIN, "2026-03-29T00:00:00Z",
     ["2026-03-29T00:45:00Z", "2026-03-29T01:30:00Z"]),
    # Berlin, 2026-10-25: 03:00 becomes 02:00 at 01:00Z
    ("overlap, fixed: only the first pass", "30 2 * * *", BERLIN, "2026-10-24T12:00:00Z",
     ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]),
    ("overlap, fixed: the change itself belongs to the second pass", "0 2 * * *", BERLIN, "2026-10-24T12:00:00Z",
     ["2026-10-25T00:00:00Z", "2026-10-26T01:00:00Z"]),
    ("overlap, fixed: asked within the second pass", "30,45 2 * * *", BERLIN, "2026-10-25T01:10:00Z",
     ["2026-10-26T01:30:00Z"]),
    ("overlap, fixed: what lies at its end is due", "0 3 * * *", BERLIN, "2026-10-25T00:30:00Z",
     ["2026-10-25T02:00:00Z"]),
    ("overlap, fixed hour ranges skip the second pass too", "0 1-3 * * *", BERLIN, "2026-10-24T22:30:00Z",
     ["2026-10-24T23:00:00Z", "2026-10-25T00:00:00Z", "2026-10-25T02:00:00Z"]),
    ("overlap, wildcard hour: both passes", "30 * * * *", BERLIN, "2026-10-25T00:00:00Z",
     ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z"]),
    ("overlap, wildcard minute: both passes", "*/30 2 * * *", BERLIN, "2026-10-24T12:00:00Z",
     ["2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z",
      "2026-10-26T01:00:00Z"]),
    ("overlap, intervals follow elapsed time", "every 30 minutes", BERLIN, "2026-10-25T00:00:00Z",
     ["2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z"]),
    # Lord Howe changes by half an hour: 02:00 becomes 02:30 at 15:30Z on 3 October, and 01:30 at 15:00Z on 4 April
    ("half an hour's gap, fixed", "15 2 * * *", LORD_HOWE, "2026-10-03T00:00:00Z",
     ["2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"]),
    ("half an hour's gap, wildcard", "15 * * * *", LORD_HOWE, "2026-10-03T14:00:00Z",
     ["2026-10-03T14:45:00Z", "2026-10-03T16:15:00Z"]),
    ("half an hour's overlap, fixed", "45 1 * * *", LORD_HOWE, "2026-04-04T00:00:00Z",
     ["2026-04-04T14:45:00Z", "2026-04-05T15:15:00Z"]),
    ("half an hour's overlap, wildcard", "45 * * * *", LORD_HOWE, "2026-04-04T14:00:00Z",
     ["2026-04-04T14:45:00Z", "2026-04-04T15:15:00Z", "2026-04-04T16:15:00Z"]),
    # Chatham has quarters of an hour: 02:45 becomes 03:45 at 14:00Z
    ("gap that begins at a quarter", "0 3 * * *", "Pacific/Chatham", "2026-09-26T00:00:00Z",
     ["2026-09-26T14:00:00Z", "2026-09-27T13:15:00Z"]),
    # Troll changes by two hours
    ("two hours' gap, fixed", "30 2 * * *", "Antarctica/Troll", "2026-03-28T12:00:00Z",
     ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]),
    ("two hours' overlap, fixed", "30 2 * * *", "Antarctica/Troll", "2026-10-24T12:00:00Z",
     ["2026-10-25T00:30:00Z", "2026-10-26T02:30:00Z"]),
    # Casablanca goes back for Ramadan: 03:00 becomes 02:00 at 02:00Z
    ("Ramadan begins, fixed", "30 2 * * *", "Africa/Casablanca", "2026-02-14T12:00:00Z",
     ["2026-02-15T01:30:00Z", "2026-02-16T02:30:00Z"]),
    ("Ramadan ends, fixed", "30 2 * * *", "Africa/Casablanca", "2026-03-21T12:00:00Z",
     ["2026-03-22T02:00:00Z", "2026-03-23T01:30:00Z"]),
    # Havana changes at midnight
    ("gap at midnight: the day begins an hour late", "@daily", "America/Havana", "2026-03-07T12:00:00Z",
     ["2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z"]),
    ("overlap at midnight: the day begins once", "@daily", "America/Havana", "2026-10-31T12:00:00Z",
     ["2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"]),
    # Caracas and Pyongyang moved for good
    ("moved forward for good, fixed", "45 2 * * *", "America/Caracas", "2016-04-30T12:00:00Z",
     ["2016-05-01T07:00:00Z", "2016-05-02T06:45:00Z"]),
    # Casey moved by exactly three hours: too much for a make-up run, not too much for skipping the second pass
    ("three hours' gap, fixed: no make-up run", "30 3 * * *", CASEY, "2009-10-17T00:00:00Z",
     ["2009-10-18T16:30:00Z"]),
    ("three hours' overlap, fixed: only the first pass", "30 23 * * *", CASEY, "2010-03-04T00:00:00Z",
     ["2010-03-04T12:30:00Z", "2010-03-05T15:30:00Z"]),
    # Apia left out 2011-12-30, 24 hours: nothing is made up
    ("a day left out, fixed", "0 12 * * *", APIA, "2011-12-29T20:00:00Z",
     ["2011-12-29T22:00:00Z", "2011-12-30T22:00:00Z"]),
    ("a day left out, its own date", "0 12 30 12 *", APIA, "2011-01-01T00:00:00Z", ["2012-12-29T22:00:00Z"]),
    ("a day left out, wildcard", "0 * * * *", APIA, "2011-12-30T08:30:00Z",
     ["2011-12-30T09:00:00Z", "2011-12-30T10:00:00Z"]),
    # Vostok went back seven hours from midnight: everything runs again
    ("seven hours' overlap, fixed: both passes", "0 18 * * *", "Antarctica/Vostok", "1994-01-31T00:00:00Z",
     ["1994-01-31T11:00:00Z", "1994-01-31T18:00:00Z", "1994-02-01T18:00:00Z"]),
    # several changes between one occurrence and the next
    ("over many changes", "30 2 29 2 *", BERLIN, "2026-01-01T00:00:00Z",
     ["2028-02-29T01:30:00Z", "2032-02-29T01:30:00Z"]),
    ("the Sunday of each change only", "30 2 25-31 3,10 */7", BERLIN, "2026-01-01T00:00:00Z",
     ["2026-03-29T01:00:00Z", "2026-10-25T00:30:00Z", "2027-03-28T01:00:00Z", "2027-10-31T00:30:00Z"]),
    # before standard time, offsets have seconds
    ("local mean time", "0 12 * * *", BERLIN, "1890-01-01T00:00:00Z", ["1890-01-01T11:06:32Z"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "zone", "after", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_schedule_offset_changes(text, zone, after, expected):
    """At every kind of boundary, occurrences are those of Debian's cron."""
    found = parse(text, zone).upcoming(datetime.fromisoformat(after), len(expected))
    assert [instant.strftime("%Y-%m-%dT%H:%M:%SZ") for instant in found] == expected


def test_schedule_changes_never_lie_closer_than_they_are_probed_for():
    """In no zone of the database do two changes of the offset lie so close that probing could miss both."""
    closest = min(
        later - earlier
        for name in zoneinfo.available_timezones() - {"localtime"}
        for earlier, later in pairwise(_changes_on_file(name))
    )
    assert closest > _PROBED.total_seconds()


def _changes_on_file(name):
    """Return the seconds of the epoch at which a zone's offset changes, as its file has them."""
    path = resources.files("tzdata.zoneinfo").joinpath(*name.split("/"))
    if not path.is_file():
        return []
    with path.open("rb") as file:
        indices, seconds, offsets, *_ = zoneinfo._common.load_data(file)
    changes = zip(seconds, indices, strict=True)
    return [at for (_, before), (at, after) in pairwise(changes) if offsets[before] != offsets[after]]


def test_a_zone_of_the_package_is_known_without_opening_all_of_the_system(monkeypatch: pytest.MonkeyPatch):
    """Every process that reads a schedule would pay for six hundred files."""
    looked = []
    monkeypatch.setattr(zone, "_known", lambda: looked.append(1) or frozenset({"Moon/Tycho"}))
    assert zone.zone_named("Europe/Berlin").key == "Europe/Berlin"
    assert looked == []
    with pytest.raises(Refused, match="cannot be read"):
        zone.zone_named("Moon/Tycho")
    with pytest.raises(Refused, match="is not a time zone"):
        zone.zone_named("localtime")
    assert len(looked) == 2


def test_without_the_package_the_system_is_asked(monkeypatch: pytest.MonkeyPatch):
    """Its list is one file less to read, and no more."""

    def missing(_: str) -> None:
        raise ModuleNotFoundError

    monkeypatch.setattr(zone, "files", missing)
    zone._packaged.cache_clear()
    try:
        assert zone._packaged() == frozenset()
        assert zone.zone_named("UTC").key == "UTC"
    finally:
        zone._packaged.cache_clear()


EXPRESSIONS = (
    "*/7 * * * *",
    "30 2 * * *",
    "15 1,3 * * 0",
    "5 */2 * * *",
    "59 23 31 12 *",
    "0 0 29 2 *",
    "30 */5 * 10 *",
)
HOURS = (-72, -3.5, -3, -2, -0.5, -1 / 3600, 0, 1 / 3600, 0.5, 2, 3, 3.5, 72)
"""Before and after a change."""


@pytest.mark.parametrize("zone_name", ["UTC", BERLIN, LORD_HOWE, APIA, CASEY, "Africa/Casablanca", "America/St_Johns"])
def test_where_no_change_lies_on_the_way_the_answer_is_the_same(zone_name: str):
    """The quick way and the one through all changes: around each change, at the ends of years, of the calendar."""
    where = ZoneInfo(zone_name)
    moments = [change.instant for change in changes_between(where, at(2009), at(2028))]
    moments += [at(year) for year in (1883, 1970, 2000, 2026, 2027, 9998, 9999)] + [EARLIEST + timedelta(days=4)]
    for expression, moment, hours in product(EXPRESSIONS, moments, HOURS):
        after = moment + timedelta(hours=hours)
        quick, thorough = (found(way, expression, where, after) for way in (next_instant, next_instant_through_changes))
        assert quick == thorough, (expression, after)


def found(way: Callable[..., datetime | None], expression: str, where: ZoneInfo, after: datetime) -> datetime | str:
    """Return what a way finds, or why it finds nothing."""
    meaning = read(expression)
    try:
        return way(partial(next_match, meaning), where, after, wildcard=meaning.wildcard) or "none"
    except OverflowError:
        return "past the end of the calendar"


def at(year: int) -> datetime:
    """Return when a year begins."""
    return datetime(year, 1, 1, tzinfo=UTC)
