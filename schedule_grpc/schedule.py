"""Schedules for programs: what a text means, when it is next due, and what it is in English, without a server.

Such as ``parse("0 9 * * 1-5", "Europe/Berlin").next_after(datetime.now(UTC))``.
"""

from schedule_grpc.domain.schedule import Cron, Interval, Manual, Once, Schedule, parse

__all__ = ["Cron", "Interval", "Manual", "Once", "Schedule", "parse"]
