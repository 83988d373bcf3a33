"""Times for people: how long ago or ahead, by the clock of UTC, and by that of a task's zone."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from schedule_grpc.domain.durations import brief
from schedule_grpc.domain.schedule import Schedule

_CLOSE = timedelta(hours=20)
"""Within this time of now a clock's time needs no date."""


def relative(instant: datetime, now: datetime) -> str:
    """Return how long ago an instant was, or how far ahead it lies: 4 min ago, in 17 h."""
    if instant > now:
        return f"in {brief(instant - now)}"
    return f"{brief(now - instant)} ago"


def clocks(instant: datetime, schedule: Schedule, now: datetime) -> str:
    """Return what the clocks show at an instant: 01:30Z, and 02:30 CET if the task has a zone of its own."""
    far = abs(instant - now) >= _CLOSE
    seconds = ":%S" if instant.second else ""
    shown = instant.strftime(f"{'%m-%d ' if far else ''}%H:%M{seconds}Z")
    if schedule.time_zone == "UTC" or schedule.cron is None:
        return shown
    zone = zone_of(schedule)
    return shown if zone is None else f"{shown} {instant.astimezone(zone).strftime(f'%H:%M{seconds} %Z')}"


def zone_of(schedule: Schedule) -> ZoneInfo | None:
    """Return a schedule's own time zone; None if that is UTC, or one that this machine does not know."""
    try:
        return None if schedule.time_zone == "UTC" else ZoneInfo(schedule.time_zone)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        return None
