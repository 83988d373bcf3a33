"""What a preview tells of nights when clocks change."""

from datetime import timedelta

import pytest
from support.rigs.rig import at

from schedule_grpc.domain.schedule import parse
from schedule_grpc.domain.schedule.notes import MAX_NOTES

SKIPS = "2026-03-29 Europe/Berlin: clocks skip from 02:00 to 03:00; "
TWICE = "2026-10-25 Europe/Berlin: 02:00 to 03:00 comes twice; "


@pytest.mark.parametrize(
    ("text", "start", "notes"),
    [
        ("30 2 * * *", "2026-03-28", [SKIPS + "02:30 does not exist and runs at 03:00 (01:00Z)"]),
        ("0 2 * * *", "2026-03-28", [SKIPS + "02:00 does not exist and runs at 03:00 (01:00Z)"]),
        ("0 3 * * *", "2026-03-28", []),
        ("59 1 * * *", "2026-03-28", []),
        ("*/30 2 * * *", "2026-03-28", [SKIPS + "what is due in between does not happen"]),
        ("15 * * * *", "2026-03-28", [SKIPS + "what is due in between does not happen"]),
        ("30 2 * * *", "2026-10-24", [TWICE + "02:30 runs the first time only"]),
        ("*/30 2 * * *", "2026-10-24", [TWICE + "what is due in it happens both times"]),
        ("0 3 * * *", "2026-10-24", []),
        ("30 2 * * *", "2026-05-01", []),
        ("every 30 minutes", "2026-03-28", []),
        ("@manual", "2026-03-28", []),
        ("2026-03-29T01:30:00Z", "2026-03-28", []),
    ],
)
def test_a_night_that_matters_is_told(text: str, start: str, notes: list[str]):
    """And one that does not is not; the time told is the one at which it really runs."""
    schedule = parse(text, "Europe/Berlin")
    times = schedule.upcoming(at(start), 100)
    found = schedule.preview(at(start), len([each for each in times if each < at(start) + timedelta(days=3)]))
    assert list(found.notes) == notes
    if notes and "runs at" in notes[0]:
        assert at("2026-03-29T01:00") in found.times


NO_DAY = "this day does not exist; what is due on it does not happen"


@pytest.mark.parametrize(
    ("zone", "text", "date", "told"),
    [
        ("Pacific/Apia", "30 0 * * *", "2011-12-30", NO_DAY),
        ("Pacific/Kwajalein", "*/30 * * * *", "1993-08-21", NO_DAY),
        ("Asia/Manila", "0 9 * * *", "1844-12-31", NO_DAY),
        ("America/Sitka", "0 9 * * *", "1867-10-18", "1867-10-18 15:30 to 1867-10-19 15:30 comes twice; what is due"),
        ("Antarctica/Troll", "30 2 * * *", "2026-03-29", "clocks skip from 01:00 to 03:00; 02:30 does not exist and"),
        (
            "Australia/Lord_Howe",
            "*/15 2 * * *",
            "2026-10-04",
            "clocks skip from 02:00 to 02:30; what is due in between",
        ),
        ("America/Santiago", "30 23 * * *", "2026-04-04", "23:00 to 00:00 comes twice; 23:30 runs the first time"),
        ("Europe/Berlin", "0 0 * * *", "1893-04-01", "clocks skip from 00:00 to 00:06:32; 00:00 does not exist and"),
    ],
)
def test_a_change_is_told_by_what_clocks_show(zone: str, text: str, date: str, told: str):
    """A whole day, a day twice, two hours, half an hour, and seconds: no text says "from 00:00 to 00:00"."""
    notes = parse(text, zone).preview(at(date) - timedelta(days=2), 200).notes
    assert notes[0].startswith(f"{date} {zone}: {told}")


def test_the_notes_end_with_the_last_occurrence_shown():
    """A change after it is another preview's."""
    schedule = parse("30 2 * * *", "Europe/Berlin")
    assert schedule.preview(at("2026-03-27T12:00"), 1).notes == ()
    assert len(schedule.preview(at("2026-03-27T12:00"), 2).notes) == 1


def test_a_preview_over_decades_tells_of_some_nights():
    """They are all alike."""
    assert len(parse("30 2 * * *", "Europe/Berlin").preview(at("2026-01-01"), 10_000).notes) == MAX_NOTES


def test_what_never_fires_has_nothing_to_tell():
    """No times, no notes."""
    found = parse("2020-01-01T00:00:00Z", "Europe/Berlin").preview(at("2026-01-01"), 5)
    assert (found.times, found.notes) == ((), ())
