"""How these handlers and their tasks are tested: `pytest` in this folder."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from invoices import import_invoices, render_invoices

from schedule_grpc.testing import FailureKind, ManualService, manual_service, run, run_sync

CONFIGURATION = Path(__file__).with_name("schedule.toml")
MONDAY = datetime(2026, 2, 2, 12, 0, tzinfo=UTC)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A database of the test's own, with two invoices of Monday and one of Tuesday."""
    path = tmp_path / "invoices.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE invoices (id TEXT, day TEXT, amount INT, currency TEXT)")
        database.execute(
            "INSERT INTO invoices VALUES ('a', '2026-02-02', 10, 'EUR'), ('b', '2026-02-02', 20, 'EUR'), "
            "('c', '2026-02-03', 30, 'EUR')"
        )
    return path


def booked(file: Path) -> list[Any]:
    """Return what was booked."""
    with closing(sqlite3.connect(file)) as database:
        return database.execute("SELECT id, amount FROM booked ORDER BY id").fetchall()


def test_the_invoices_of_the_day_before_are_booked_once(file: Path) -> None:
    """However often the handler is called for that day."""
    for attempt in (1, 2):
        ran = run_sync(
            import_invoices,
            env={"DB": f"sqlite:///{file}"},
            scheduled_time=MONDAY + timedelta(days=1),
            attempt=attempt,
        )
        assert ran.result == {"success": True, "booked": 2, "message": "Booked 2 invoices of 2026-02-02"}
        assert ran.progress[-1] == (1.0, "booked b")
    assert booked(file) == [("a", 10), ("b", 20)]


async def test_a_payload_that_can_never_work_is_not_tried_again() -> None:
    """REJECTED, with the reason."""
    ran = await run(import_invoices, payload={"currency": 5})
    assert (ran.failure_kind, ran.error) == (FailureKind.REJECTED, "payload.currency: 5 is not a currency")


def test_pages_are_rendered() -> None:
    """A plain function needs no event loop, and neither does its test."""
    ran = run_sync(render_invoices, payload={"pages": 2})
    assert (ran.result, ran.progress) == ({"success": True, "pages": 2}, ((0.5, "page 1 of 2"), (1.0, "page 2 of 2")))


async def booked_days(service: ManualService) -> list[tuple[str, int]]:
    """Return when the task was due, and how many invoices each run booked."""
    history = await service.history("import-invoices")
    return [(f"{each.scheduled_time:%a %H:%M}", each.result["booked"]) for each in history]


async def test_each_night_books_the_day_before(file: Path) -> None:
    """By schedule.toml: half past midnight in Berlin is the evening before in UTC, and the day is that of Berlin."""
    async with manual_service("invoices", start=MONDAY, env={"DB": f"sqlite:///{file}"}) as service:
        await service.register_file(CONFIGURATION)
        await service.advance(timedelta(days=2))
        assert await booked_days(service) == [("Mon 23:30", 2), ("Tue 23:30", 1)]


async def test_after_two_days_without_a_server_both_days_are_booked(file: Path) -> None:
    """One by one, because the task's policy says so: nobody looks while the clock moves, then somebody does."""
    async with manual_service("invoices", start=MONDAY, env={"DB": f"sqlite:///{file}"}) as service:
        await service.register_file(CONFIGURATION)
        await service.clock.advance(timedelta(days=2))
        await service.tick()
        assert await booked_days(service) == [("Mon 23:30", 2), ("Tue 23:30", 1)]
