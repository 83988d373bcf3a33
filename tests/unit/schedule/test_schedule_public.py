"""Programs ask schedules without a server."""

from datetime import UTC, datetime

from schedule_grpc import schedule
from schedule_grpc.domain.schedule import parse


def test_a_program_asks_when_a_schedule_is_due():
    """By the same function as the service."""
    assert schedule.parse is parse
    nine = schedule.parse("0 9 * * 1-5", "Europe/Berlin")
    assert isinstance(nine, schedule.Cron)
    assert nine.next_after(datetime(2026, 1, 31, tzinfo=UTC)) == datetime(2026, 2, 2, 8, tzinfo=UTC)
