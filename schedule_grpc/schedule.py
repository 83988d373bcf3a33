"""Schedules for programs, without a server: parsing, next occurrences, descriptions in English.

For example ``parse("0 9 * * 1-5", "Europe/Berlin").next_after(datetime.now(UTC))``.
"""

from schedule_grpc.domain.schedule import Cron, Interval, Manual, Once, Schedule, parse

__all__ = ["Cron", "Interval", "Manual", "Once", "Schedule", "parse"]
