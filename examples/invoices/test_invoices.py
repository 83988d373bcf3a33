"""How these handlers are tested: `pytest` in this folder."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from invoices import import_invoices, render_invoices

from schedule_grpc.bindings import Environment
from schedule_grpc.retry import FailureKind
from schedule_grpc.testing import manual_service, run, run_sync

MONDAY = datetime(2026, 2, 2, 5, 0, tzinfo=UTC)


async def database(folder: Path) -> Environment:
    """Return the binding DB on a file of the test's own, with two invoices of Monday and one of Tuesday."""
    env = Environment({"DB": f"sqlite:///{folder}/invoices.db"})
    await env.DB.execute("CREATE TABLE invoices (id TEXT, day TEXT, amount INT, currency TEXT)")
    await env.DB.execute(
        "INSERT INTO invoices VALUES ('a', '2026-02-02', 10, 'EUR'), ('b', '2026-02-02', 20, 'EUR'), "
        "('c', '2026-02-03', 30, 'EUR')"
    )
    return env


async def test_the_invoices_of_the_day_before_are_booked_once(tmp_path: Path) -> None:
    """However often the handler is called for that day."""
    env = await database(tmp_path)
    for attempt in (1, 2):
        ran = await run(import_invoices, env={"DB": env.DB}, scheduled_time=MONDAY + timedelta(days=1), attempt=attempt)
        assert ran.result == {"success": True, "booked": 2, "message": "Booked 2 invoices of 2026-02-02"}
        assert ran.progress[-1] == (1.0, "booked b")
    assert await env.DB.fetch("SELECT id, amount FROM booked ORDER BY id") == [
        {"id": "a", "amount": 10},
        {"id": "b", "amount": 20},
    ]
    await env.aclose()


async def test_a_payload_that_can_never_work_is_not_tried_again() -> None:
    """REJECTED, with the reason."""
    ran = await run(import_invoices, payload={"currency": 5})
    assert (ran.kind, ran.error) == (FailureKind.REJECTED, "payload.currency: 5 is not a currency")


def test_pages_are_rendered() -> None:
    """A plain function needs no event loop, and neither does its test."""
    ran = run_sync(render_invoices, payload={"pages": 2})
    assert (ran.result, ran.progress) == ({"success": True, "pages": 2}, ((0.5, "page 1 of 2"), (1.0, "page 2 of 2")))


async def test_two_days_are_two_runs(tmp_path: Path) -> None:
    """On a service whose clock the test moves: what is due at half past six in Berlin books the day before."""
    await (await database(tmp_path)).aclose()
    url = f"sqlite:///{tmp_path}/invoices.db"
    async with manual_service(import_invoices, start=MONDAY, bindings={"DB": url}) as service:
        await service.register("import-invoices", "30 6 * * 1-6", "import-invoices", time_zone="Europe/Berlin")
        await service.advance(timedelta(days=3))
        booked = [
            (f"{each.scheduled_time:%d %H:%M}", each.result["booked"])
            for each in await service.history("import-invoices")
        ]
        assert booked == [("02 05:30", 0), ("03 05:30", 2), ("04 05:30", 1)]
