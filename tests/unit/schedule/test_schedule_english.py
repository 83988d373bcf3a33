"""How schedules read in English."""

import pytest

from schedule_grpc.domain.schedule import english, parse

READINGS = [
    ("@hourly", "Every hour, on the hour"),
    ("@daily", "Every day at midnight"),
    ("@midnight", "Every day at midnight"),
    ("@Weekly", "Every Sunday at midnight"),
    ("@monthly", "On the first day of every month at midnight"),
    ("@yearly", "On January 1st at midnight"),
    ("@annually", "On January 1st at midnight"),
    ("@manual", "Only when run by hand"),
    ("* * * * *", "Every minute"),
    ("*/5 * * * *", "Every 5 minutes"),
    ("*/15 * * * *", "Every 15 minutes"),
    ("0 */2 * * *", "Every 2 hours"),
    ("0 9 * * 1-5", "At 09:00, Monday through Friday"),
    ("30 2 * * *", "At 02:30"),
    ("00 05 * * *", "At 05:00"),
    ("0 0 * * 0", "At 00:00, only on Sunday"),
    ("0 0 * * 7", "At 00:00, only on Sunday"),
    ("0 0 * * 0,7", "At 00:00, only on Sunday"),
    ("0 0 * * 0-7", "At 00:00"),
    ("0 0 * * 5-7", "At 00:00, Friday through Sunday"),
    ("0 0 * * sun,Sat", "At 00:00, only on Saturday and Sunday"),
    ("0 0 * * 1-5/2", "At 00:00, only on Monday, Wednesday, and Friday"),
    ("0 0 29 2 *", "At 00:00, on day 29 of the month, only in February"),
    ("0 0 1 */3 *", "At 00:00, on day 1 of the month, every 3 months"),
    # steps that do not divide their field say where they end
    ("*/45 * * * *", "At 0 and 45 minutes past the hour"),
    # many minutes in some hours are no times of day
    ("* 9-10 * * *", "Every minute, between 09:00 and 10:59"),
    ("*/5 9,11 * * *", "Every 5 minutes, within the hours that begin at 09:00 and 11:00"),
    ("0,30 9 * * *", "At 0 and 30 minutes past the hour, between 09:00 and 09:59"),
    ("0 0 1 1 1", "At 00:00, only in January, on day 1 of the month, or on Monday"),
    ("*/7 * * * *", "Every 7 minutes, minutes 0 through 56 past the hour"),
    ("0 */5 * * *", "Every 5 hours, between 00:00 and 20:59"),
    # what the expression means, not how it is spelt
    ("5-5 * * * *", "At 5 minutes past the hour"),
    ("*,5 * * * *", "Every minute"),
    ("10-20/15 3 * * *", "At 03:10"),
    # either day, or both
    ("0 0 13 * 5", "At 00:00, on day 13 of the month, or on Friday"),
    ("0 0 13 * 1-3", "At 00:00, on day 13 of the month, or on Monday, Tuesday, and Wednesday"),
    ("0 0 13 * */5", "At 00:00, on day 13 of the month, only on Sunday and Friday"),
    ("0 0 1-31 * 1", "At 00:00"),
    ("0 12 1-7 * */7", "At 12:00, between day 1 and 7 of the month, only on Sunday"),
    # intervals, in their largest whole unit
    ("every hour", "Every hour"),
    ("every 5 minutes", "Every 5 minutes"),
    ("every 2 hours", "Every 2 hours"),
    ("every 90 minutes", "Every 90 minutes"),
    ("every 90 seconds", "Every 90 seconds"),
    ("EVERY 120 Seconds", "Every 2 minutes"),
    ("every 1 day", "Every day, at 00:00 UTC"),
    ("every 3 days", "Every 3 days, at 00:00 UTC"),
    ("every 7 days", "Every week, on Sunday at 00:00 UTC"),
    ("every 2 weeks", "Every 2 weeks, on Sunday at 00:00 UTC"),
    # instants
    ("2026-01-31T12:00:00+02:00", "Once, at 2026-01-31 10:00:00 UTC"),
    ("2026-01-31T10:00:00.5Z", "Once, at 2026-01-31 10:00:00.500000 UTC"),
]


@pytest.mark.parametrize(("text", "reading"), READINGS)
def test_schedule_reads_in_english(text, reading):
    """The reading says what the schedule means."""
    assert parse(text).description == reading


@pytest.mark.parametrize("hours", ["0", "1", "9", "10", "12", "13", "23", "0,1", "3,9", "0,12,13", "1,4,9,12,23"])
@pytest.mark.parametrize("minute", ["0", "5", "10", "59"])
def test_times_of_day_read_as_cron_descriptor_has_them(hours, minute):
    """We say them ourselves: there are many of them."""
    assert parse(f"{minute} {hours} * * *").description == english._read(minutes=minute, hours=hours)


@pytest.mark.parametrize("minutes", ["0,30", "5,7", "0,1,3", "0,26,56,59", "1,2,4,8,16,32"])
def test_lists_of_minutes_read_as_cron_descriptor_has_them(minutes):
    """So do these."""
    assert parse(f"{minutes} * * * *").description == english._read(minutes=minutes, hours="*")
