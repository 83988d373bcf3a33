"""What is accepted, what is refused, and the exact reason given for it."""

from datetime import UTC, datetime

import pytest

from schedule_grpc.domain.schedule import Cron, parse
from schedule_grpc.errors import InvalidSchedule

FIVE = "cron has five: minute, hour, day of month, month, day of week"
INSTEAD = "or write a name such as @daily, 'every 5 minutes', or an RFC 3339 instant"
NAMES = "@hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually, @manual"
LAST_WEEKDAY = "'L' (last) is not cron's; run every week and look at the date"
LAST = "'L' (last) is not cron's; for the last day, run on 28-31 and look at the date"
QUARTZ = "seconds and years are not cron's"

REFUSED = [
    # numbers
    ("60 * * * *", "minute: 60 is above 59"),
    ("99 99 99 99 99", "minute: 99 is above 59"),
    ("0 24 * * *", "hour: 24 is above 23"),
    ("0 0 0 * *", "day of month: 0 is below 1"),
    ("0 0 32 * *", "day of month: 32 is above 31"),
    ("0 0 * 0 *", "month: 0 is below 1"),
    ("0 0 * 13 *", "month: 13 is above 12"),
    ("0 0 * * 8", "day of week: 8 is above 7"),
    ("0-99 * * * *", "minute: 99 is above 59"),
    ("9" * 200 + " * * * *", "minute: " + "9" * 40 + "… is above 59"),
    ("-1 * * * *", "minute: -1 is not accepted: it is negative"),
    ("+5 * * * *", "minute: +5 is not accepted: write numbers without a sign"),
    ("1.5 * * * *", "minute: 1.5 is not accepted: it is not a whole number"),
    ("x * * * *", "minute: x is not a number, a range, or a list of these"),
    ("0x5 * * * *", "minute: 0x5 is not a number, a range, or a list of these"),
    ("mon * * * *", "minute: mon is not a number, a range, or a list of these"),
    # lists, ranges, steps
    (", * * * *", "minute: an item of the list is empty"),
    ("0 1,,2 * * *", "hour: an item of the list is empty"),
    ("0 1, * * *", "hour: an item of the list is empty"),
    ("0 22-2 * * *", "hour: the range 22-2 runs backwards; write 22-23,0-2"),
    ("50-10 * * * *", "minute: the range 50-10 runs backwards; write 50-59,0-10"),
    ("0 22-2/2 * * *", "hour: the range 22-2/2 runs backwards; write two ranges"),
    ("0 0 * nov-feb *", "month: the range nov-feb runs backwards; write nov-12,1-feb"),
    ("0 0 * * fri-mon", "day of week: the range fri-mon runs backwards; write fri-6,0-mon"),
    ("0 0 * * sat-sun", "day of week: the range sat-sun runs backwards; write sat-7"),
    ("1-2-3 * * * *", "minute: 1-2-3 is not a number, a range, or a list of these"),
    ("1- * * * *", "minute: 1- is not a number, a range, or a list of these"),
    ("*-5 * * * *", "minute: *-5 is not a number, a range, or a list of these"),
    ("** * * * *", "minute: ** is not a number, a range, or a list of these"),
    ("*/0 * * * *", "minute: the step 0 is below 1"),
    ("*/00 * * * *", "minute: the step 00 is below 1"),
    ("*/99 * * * *", "minute: the step 99 is longer than the range 0-59"),
    ("*/60 * * * *", "minute: the step 60 is longer than the range 0-59"),
    ("0 */24 * * *", "hour: the step 24 is longer than the range 0-23"),
    ("0 0 */31 * *", "day of month: the step 31 is longer than the range 1-31"),
    ("0 0 * */12 *", "month: the step 12 is longer than the range 1-12"),
    ("0 0 * * */8", "day of week: the step 8 is longer than the range 0-7"),
    ("*/x * * * *", "minute: the step x is not a whole number"),
    ("*/ * * * *", "minute: */ is not a number, a range, or a list of these"),
    ("5/10 * * * *", "minute: a step needs a range; write 5-59/10"),
    ("0 0 * * mon/2", "day of week: a step needs a range; write mon-7/2"),
    # names
    ("0 0 * january *", "month: january is not a name; write jan"),
    ("0 0 * * monday", "day of week: monday is not a name; write mon"),
    ("0 0 * mon *", "month: mon is not a number, a name (jan-dec), a range, or a list of these"),
    ("0 0 mon * *", "day of month: mon is not a number, a range, or a list of these"),
    # other schedulers' letters
    ("0 0 L * *", f"day of month: L is not accepted: {LAST}"),
    ("0 0 L-3 * *", f"day of month: L is not accepted: {LAST}"),
    ("0 0 * * 5L", f"day of week: 5L is not accepted: {LAST_WEEKDAY}"),
    ("0 0 * * friL", f"day of week: friL is not accepted: {LAST_WEEKDAY}"),
    ("0 0 LW * *", f"day of month: LW is not accepted: {LAST}"),
    ("0 0 15W * *", "day of month: 15W is not accepted: 'W' (nearest weekday) is not cron's"),
    (
        "0 0 * * 5#2",
        "day of week: 5#2 is not accepted: '#' (n-th weekday) is not cron's; run every week and look at the date",
    ),
    ("0 0 ? * 1", "day of month: ? is not accepted: '?' is not cron's; write *"),
    ("R * * * *", "minute: R is not accepted: 'R' (random) is not cron's; give the task a jitter"),
    ("R(0-30) * * * *", "minute: R(0-30) is not accepted: 'R' (random) is not cron's; give the task a jitter"),
    ("H * * * *", "minute: H is not accepted: 'H' (hash) is not cron's; give the task a jitter"),
    ("H(0-29)/10 * * * *", "minute: H(0-29)/10 is not accepted: 'H' (hash) is not cron's; give the task a jitter"),
    ("H/15 * * * *", "minute: H is not accepted: 'H' (hash) is not cron's; give the task a jitter"),
    # the number of fields
    ("0 */5 * * * *", "it has 6 fields, cron has five; " + QUARTZ + "; write */5 * * * * if the first is seconds"),
    ("0 0 12 * * ? 2026", f"it has 7 fields, {FIVE}; {QUARTZ}"),
    ("invalid", f"it has 1 field, {FIVE}; {INSTEAD}"),
    ("invalid cron", f"it has 2 fields, {FIVE}; {INSTEAD}"),
    ("* * * *", f"it has 4 fields, {FIVE}; {INSTEAD}"),
    # never
    ("0 0 31 2 *", "day of month: 31 does not exist in month 2, so it can never fire"),
    ("0 0 30 2 *", "day of month: 30 does not exist in month 2, so it can never fire"),
    ("0 0 31 4,6 *", "day of month: 31 does not exist in month 4,6, so it can never fire"),
    ("0 0 30-31 feb *", "day of month: 30-31 does not exist in month feb, so it can never fire"),
    ("0 0 31 2 */2", "day of month: 31 does not exist in month 2, so it can never fire"),
    # the text as a whole
    ("", "it is empty"),
    ("  \t ", "it is empty"),
    ("* " * 129, "it has 258 characters, at most 256 are accepted"),
    ("0 0 * * *\n", "the character '\\n' is not accepted, only printable ASCII, blanks and tabs"),
    ("0 0 * * *\x00", "the character '\\x00' is not accepted, only printable ASCII, blanks and tabs"),
    ("0\x0b0 * * *", "the character '\\x0b' is not accepted, only printable ASCII, blanks and tabs"),
    ("0 0 * * *\x7f", "the character '\\x7f' is not accepted, only printable ASCII, blanks and tabs"),
    ("\u0665 * * * *", "the character '\\u0665' is not accepted, only printable ASCII, blanks and tabs"),
    ("\uff10 0 * * *", "the character '\\uff10' is not accepted, only printable ASCII, blanks and tabs"),
    ("0\u00a00 * * *", "the character '\\xa0' is not accepted, only printable ASCII, blanks and tabs"),
    ("0 0 * * \ud800", "the character '\\ud800' is not accepted, only printable ASCII, blanks and tabs"),
    # names with @
    ("@reboot", "@reboot is not a time; run what belongs to a start when your service starts"),
    ("@fortnightly", f"@fortnightly is not one of {NAMES}"),
    ("@", f"@ is not one of {NAMES}"),
    ("@daily 5", f"@daily 5 is not one of {NAMES}"),
    ("@manually", f"@manually is not one of {NAMES}"),
    # intervals
    ("every", "every is not of the form 'every 5 minutes'"),
    ("everything", "everything is not of the form 'every 5 minutes'"),
    ("every5 minutes", "every5 minutes is not of the form 'every 5 minutes'"),
    ("every 5minutes", "every 5minutes is not of the form 'every 5 minutes'"),
    ("every 5 minutes please", "every 5 minutes please is not of the form 'every 5 minutes'"),
    ("every 0 minutes", "interval: 0 is below the shortest, 1 second"),
    ("every 000 seconds", "interval: 0 is below the shortest, 1 second"),
    ("every 1.5 hours", "interval: 1.5 is not a whole number"),
    ("every -5 minutes", "interval: -5 is not a whole number"),
    ("every +5 minutes", "interval: +5 is not a whole number"),
    ("every five minutes", "interval: five is not a whole number"),
    ("every 2 months", "interval: months is not a unit; write seconds, minutes, hours, days or weeks"),
    ("every 500 ms", "interval: ms is not a unit; write seconds, minutes, hours, days or weeks"),
    ("every 5 minutess", "interval: minutess is not a unit; write seconds, minutes, hours, days or weeks"),
    ("every 3651 days", "interval: every 3651 days is above the longest, 3650 days"),
    ("every 522 weeks", "interval: every 522 weeks is above the longest, 3650 days"),
    (f"every {'9' * 200} days", f"interval: every {'9' * 34}… is above the longest, 3650 days"),
    # instants
    ("2026-01-31", "2026-01-31 is not an RFC 3339 instant, for example 2026-01-31T10:00:00Z"),
    ("2026-01-31 10:00:00Z", "2026-01-31 10:00:00Z is not an RFC 3339 instant, for example 2026-01-31T10:00:00Z"),
    ("2026-01-31T10:00Z", "2026-01-31T10:00Z is not an RFC 3339 instant, for example 2026-01-31T10:00:00Z"),
    ("2026-01-31T24:00:00Z", "2026-01-31T24:00:00Z is not an RFC 3339 instant, for example 2026-01-31T10:00:00Z"),
    (
        "2026-01-31T10:00:00+24:00",
        "2026-01-31T10:00:00+24:00 is not an RFC 3339 instant, for example 2026-01-31T10:00:00Z",
    ),
    (
        "2026-01-31T10:00:00",
        "2026-01-31T10:00:00 has no offset from UTC; write one at its end, for example 2026-01-31T10:00:00Z",
    ),
]


@pytest.mark.parametrize(("text", "reason"), REFUSED)
def test_schedule_refusals_name_the_field_and_the_reason(text, reason):
    """Every refusal is an InvalidSchedule on field ``schedule``, with its reason and the text as it was given."""
    with pytest.raises(InvalidSchedule) as refused:
        parse(text)
    assert (refused.value.field, refused.value.reason, refused.value.text) == ("schedule", reason, text)
    assert str(refused.value) == f"schedule: {reason}"


@pytest.mark.parametrize(
    "text",
    ["2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-01-31T10:60:00Z", "2026-06-30T23:59:60Z"],
)
def test_schedule_instants_off_the_calendar_do_not_exist(text):
    """A 29 February of a common year, a 13th month, a 60th minute and a leap second are refused as not existing."""
    with pytest.raises(InvalidSchedule, match=r"^schedule: \S+ does not exist: .+"):
        parse(text)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"])
def test_schedule_instants_outside_utc_do_not_exist(text):
    """An instant that lies before the year 1 or after 9999 in UTC is refused, not an OverflowError."""
    with pytest.raises(InvalidSchedule, match="does not exist"):
        parse(text)


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "Mars/Olympus",
        "utc",
        "europe/berlin",
        "../etc/passwd",
        "/etc/passwd",
        "Europe",
        "Europe/",
        "Europe/../UTC",
        "Europe/Berlin\x00",
        "\x00",
        "localtime",
        "posixrules",
        "Factory",
        "posix/Europe/Berlin",
        "right/Europe/Berlin",
        "zone.tab",
        "CET-1CEST",
        "+01:00",
        "\ud800",
        "x" * 10_240,
    ],
)
def test_schedule_zones_that_are_not_iana_names_are_refused(name):
    """A zone that is not in the IANA database, or means the server's own, is an InvalidSchedule on ``time_zone``."""
    with pytest.raises(InvalidSchedule) as refused:
        parse("0 0 * * *", name)
    assert (refused.value.field, refused.value.text) == ("time_zone", name)
    assert refused.value.reason.endswith(" is not a time zone of the IANA database, such as Europe/Berlin")
    assert len(refused.value.reason) < 120
    assert refused.value.reason.isprintable()


EQUAL = [
    ("5-5 * * * *", "5 * * * *"),
    ("*/1 */1 */1 */1 */1", "* * * * *"),
    ("0-59 * * * *", "* * * * *"),
    ("*/15 * * * *", "0,15,30,45 * * * *"),
    ("0 00 01 1 *", "0 0 1 1 *"),
    ("007 0009 * * *", "7 9 * * *"),
    ("0\t0  *\t \t* *", "0 0 * * *"),
    ("  0 0 * * *  ", "0 0 * * *"),
    ("0 0 * * 7", "0 0 * * 0"),
    ("0 0 * * 0,7", "0 0 * * sun"),
    ("0 0 * * 5-7", "0 0 * * 0,5,6"),
    ("0 0 * * 0-7", "0 0 * * *"),
    ("0 0 * * */7", "0 0 * * 0"),
    ("0 0 * * MON-Fri", "0 0 * * 1-5"),
    ("0 0 * * mon,wed,fri", "0 0 * * 1-5/2"),
    ("0 0 * Jan,MAR-may *", "0 0 * 1,3-5 *"),
    ("0 0 * jan-dec/3 *", "0 0 * */3 *"),
    ("21-22/3 4-6/6 * * *", "21 4 * * *"),
    ("1,1,1 * * * *", "1 * * * *"),
    ("0 0 1-31 * 1", "0 0 * * *"),
    ("0 0 1 * 0-6", "0 0 * * *"),
    ("0 0 */1 * 1", "0 0 * * 1"),
    ("0 0 13 * *", "0 0 13 * */1"),
    ("@hourly", "0 * * * *"),
    ("every 5 minutes", "*/5 * * * *"),
]


@pytest.mark.parametrize(("one", "other"), EQUAL)
def test_schedule_expressions_that_mean_the_same_have_equal_fields(one, other):
    """Expressions are compared as sets of values, whatever their spelling and their zones."""
    here, there = parse(one, "Europe/Berlin"), parse(other, "Asia/Tokyo")
    assert here.fields == there.fields
    assert hash(here.fields) == hash(there.fields)
    assert here.same_times(there)
    assert here != there


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("0 0 * * *", "0 1 * * *"),
        ("0 0 13 * 5", "0 0 13 * *"),
        ("0 0 13 * 5", "0 0 */13 * 5"),
        ("0 0 1-7 * 1", "0 0 1-7 * */6"),
        ("every 45 minutes", "every 45 minutes"),
        ("every 45 minutes", "*/45 * * * *"),
        ("@manual", "@manual"),
        ("2026-01-01T00:00:00Z", "@manual"),
    ],
)
def test_schedule_expressions_that_mean_something_else_are_not_the_same(one, other):
    """Different values, OR against AND, and schedules that no cron expression equals are not the same times."""
    assert not parse(one).same_times(parse(other))
    assert not parse(other).same_times(parse(one))


@pytest.mark.parametrize(
    "text", ["0 0 29 2 *", "0 0 31 2 1", "0 0 30,28 2 *", "0 0 31 1-2 *", "0 0 29 2 */7", "*,5 5,* * * *"]
)
def test_schedule_expressions_that_fire_seldom_are_accepted(text):
    """An expression that can fire at all is accepted: 29 February, and a weekday beside a day that does not exist."""
    schedule = parse(text)
    assert isinstance(schedule, Cron)
    assert len(schedule.upcoming(datetime(2026, 1, 1, tzinfo=UTC), 3)) == 3


def test_schedule_text_of_256_characters_is_accepted():
    """The limit is 256 characters, inclusive."""
    text = "0 0 * * " + ",".join(["1"] * 124)
    assert len(text.ljust(256)) == 256
    assert parse(text.ljust(256)).fields == parse("0 0 * * 1").fields
