"""Reasons of refusals: they name what was meant, and what they propose is accepted."""

import re
from itertools import product

import pytest

from schedule_grpc.domain.schedule import parse
from schedule_grpc.errors import InvalidSchedule

FIELDS = {
    "minute": (range(60), "{} * * * *"),
    "hour": (range(24), "0 {} * * *"),
    "day of month": (range(1, 32), "0 0 {} * *"),
    "month": ([*range(1, 13), "jan", "Feb", "oct", "DEC"], "0 0 1 {} *"),
    "day of week": ([*range(8), "sun", "Mon", "fri", "SAT"], "0 0 * * {}"),
}
PROPOSAL = re.compile(r"; write (.*?)(?: if the first is seconds)?$")


def accepts(text: str) -> bool:
    """Tell whether a text is a schedule."""
    try:
        parse(text)
    except InvalidSchedule:
        return False
    return True


def refused(text: str) -> str:
    """Return why a schedule is refused."""
    with pytest.raises(InvalidSchedule) as error:
        parse(text)
    assert error.value.field == "schedule"
    return error.value.reason


def values(field: str, text: object) -> tuple[int, ...]:
    """Return what one field means."""
    found = parse(FIELDS[field][1].format(text)).fields
    assert found is not None
    columns = (found.minutes, found.hours, found.days, found.months, found.weekdays)
    return columns[tuple(FIELDS).index(field)]


@pytest.mark.parametrize("field", FIELDS)
def test_a_range_that_runs_backwards_proposes_what_was_meant(field: str):
    """Of every two values: what is proposed is accepted, and means both ends and all between them, around the end."""
    words, text = FIELDS[field]
    whole, seen = values(field, "*"), 0
    for first, last in product(words, words):
        if accepts(text.format(f"{first}-{last}")):
            continue
        proposal = PROPOSAL.search(refused(text.format(f"{first}-{last}")))
        assert proposal
        (begin,), (end,) = values(field, first), values(field, last)
        around = begin > end
        meant = {each for each in whole if (each >= begin or each <= end if around else begin <= each <= end)}
        assert set(values(field, proposal[1])) == meant, f"{first}-{last}: {proposal[1]}"
        seen += 1
    assert seen > 50


@pytest.mark.parametrize("field", FIELDS)
def test_a_step_without_a_range_proposes_one(field: str):
    """From every value, also from the last one."""
    words, text = FIELDS[field]
    for first, step in product(words, (1, 2, 5)):
        proposal = PROPOSAL.search(refused(text.format(f"{first}/{step}")))
        assert proposal
        assert parse(text.format(proposal[1])).next_after is not None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("CRON_TZ=UTC 0 9 * * 1", "a zone is not part of it: it belongs in the field time_zone (UTC)"),
        ("TZ=Europe/Berlin 0 9 * * 1", "a zone is not part of it: it belongs in the field time_zone (Europe/Berlin)"),
        ("tz=UTC\t@daily", "a zone is not part of it: it belongs in the field time_zone (UTC)"),
        ("TZ= 0 9 * * *", "a zone is not part of it: it belongs in the field time_zone"),
        (
            "0 9 * * 1 UTC",
            "it has 6 fields, cron has five; a zone is not part of it: it belongs in the field time_zone",
        ),
        (
            "0 9 * * 1 Europe/Berlin",
            "it has 6 fields, cron has five; a zone is not part of it: it belongs in the field",
        ),
        ("@every 5m", "an interval is written in words; write every 5 minutes"),
        ("@every 1h30m", "an interval is written in words; write every 90 minutes"),
        ("@EVERY 90S", "an interval is written in words; write every 90 seconds"),
        ("@every 0s", "an interval is written in words"),
        ("@every 999999999h", "an interval is written in words"),
        ("@every 5 minutes", "an interval is written without @; write every 5 minutes"),
        ("5m", "an interval is written in words; write every 5 minutes"),
        ("daily", "a name begins with @; write @daily"),
        ("cron(0 9 * * ? *)", "cron(...), rate(...) and at(...) are AWS's; use the five fields alone"),
        ("rate(5 minutes)", "cron(...), rate(...) and at(...) are AWS's"),
        (
            "0 9 * * mon, fri",
            "it has 6 fields, cron has five; there are blanks in a list or a range; write 0 9",
        ),
        (
            "0 9 * * mon - fri",
            "it has 7 fields, cron has five; there are blanks in a list or a range; write 0 9",
        ),
        (
            "0 0 12 * * ?",
            "it has 6 fields, cron has five; seconds and years are not cron's; write 0 12 * * *",
        ),
        (
            "0 0 12 ? * MON-FRI *",
            "it has 7 fields, cron has five; seconds and years are not cron's; write 0 12",
        ),
        ("0 0 12 ? * 2", "it has 6 fields, cron has five: minute, hour"),
        ("*/30 * * * * *", "it has 6 fields, cron has five; seconds are not cron's; write every 30 seconds"),
        ("0 9 * * * root /bin/x", "it has 7 fields, cron has five; what a task does is its handler, no command"),
        ("0 9 * * Monday", "day of week: Monday is not a name; write mon"),
        ("0 9 1 sept *", "month: sept is not a name; write sep"),
        ("0 9 * * mon-friday", "day of week: friday is not a name; write fri"),
        ("0 9 * * Montag", "day of week: Montag is not a number, a name (sun-sat)"),
        (
            "0 9 * * 5L",
            "day of week: 5L is not accepted: 'L' (last) is not cron's; run every week and look at the date",
        ),
        ("0 9 L * *", "day of month: L is not accepted: 'L' (last) is not cron's; for the last day, run on 28-31"),
        ("0 0 * * 7-2/2", "day of week: the range 7-2/2 runs backwards; write two ranges"),
        ("@reboot", "@reboot is not a time"),
        ("5, * * * *", "minute: an item of the list is empty"),
        ("\u0665 * * * *", "the character '\\u0665' is not accepted, only printable ASCII"),
    ],
)
def test_what_others_accept_is_named(text: str, reason: str):
    """And what to write instead, where that is known; it is accepted."""
    told = refused(text)
    assert told.startswith(reason)
    proposal = PROPOSAL.search(told)
    if proposal and told.partition(":")[0] not in FIELDS:  # those stand above
        assert parse(proposal[1])
