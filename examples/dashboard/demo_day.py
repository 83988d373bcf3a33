# ruff: noqa: E501 (a table is read by its rows)
"""Writes a database with a day of a shop's tasks: `python demo_day.py FOLDER`. Then `schedule-grpc serve` shows it.

The day is run by the service itself, on a clock that this program moves: nothing is put into tables by hand.
"""

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import demo_handlers
import structlog

from schedule_grpc.testing import FakeClock, ManualService, manual_service

END = datetime(2026, 1, 14, 9, 4, 0, tzinfo=UTC)
"""When the day ends: a Wednesday morning."""
DAY = timedelta(hours=25)
STEP = timedelta(seconds=15)
"""How far time moves at once while something runs."""
FILE = "demo.db"

TASKS = [
    ("sync-orders", "*/10 * * * *", "sync", {"from": "erp", "since": "last run"}, "Copies new orders from the ERP", "orders"),
    ("import-invoices", "every 30 minutes", "import-files", {"source": "sftp://invoices.shop.example/in", "batch": 500, "currency": "EUR"}, "Fetches suppliers' invoices and books them", "finance"),
    ("backup-database", "30 2 * * *", "backup", {"database": "shop", "keep": 14}, "Dumps the shop's database, keeps two weeks", "platform"),
    ("backup-ledger", "0 3 * * *", "backup", {"database": "ledger", "keep": 90}, "Dumps the ledger, keeps three months", "platform"),
    ("rebuild-search-index", "0 */6 * * *", "index", {"languages": ["de", "en", "fr"]}, "Builds the search index anew", "search"),
    ("resize-images", "*/15 * * * *", "images", {"widths": [320, 640, 1280], "format": "webp"}, "Makes the sizes of new product images", "catalogue"),
    ("send-reminders", "0 8-18 * * *", "mail", {"template": "reminder", "after_days": 3}, "Reminds customers of unpaid invoices", "finance"),
    ("export-accounting", "15 */4 * * *", "import-files", {"to": "sftp://ledger.example", "format": "datev"}, "Hands yesterday's bookings to the accountants", "finance"),
    ("check-certificates", "0 6 * * *", "check", {"warn_days": 21}, "Warns before a certificate ends", "platform"),
    ("refresh-exchange-rates", "*/20 * * * *", "sync", {"from": "ecb", "base": "EUR"}, "Reads the exchange rates of the day", "finance"),
    ("health-of-shops", "*/5 * * * *", "check", {"shops": ["de", "fr", "nl", "at"]}, "Asks every shop for its front page", "platform"),
    ("recommendations", "0 */3 * * *", "train", {"model": "also-bought", "epochs": 12}, "Trains the model of what is bought together", "search"),
    ("close-carts", "*/30 * * * *", "sync", {"older_than_hours": 48}, "Closes carts that were left", "orders"),
    ("newsletter", "0 7 * * 1,3", "mail", {"list": "weekly", "segment": "all"}, "Sends the newsletter", "marketing"),
    ("newsletter-us", "0 7 * * 1,3", "mail", {"list": "weekly", "segment": "us"}, "Sends the newsletter in New York's morning", "marketing"),
    ("warm-cache", "*/30 5-23 * * *", "sync", {"pages": 400}, "Loads the pages that are asked for most", "platform"),
    ("price-watch", "45 */2 * * *", "import-files", {"shops": 6}, "Reads competitors' prices", "marketing"),
    ("purge-sessions", "0 4 * * *", "sync", {"older_than_days": 30}, "Deletes sessions that have ended", "platform"),
    ("monthly-report", "0 6 1 * *", "mail", {"to": "board@shop.example"}, "The figures of the month", "finance"),
    ("migrate-customers", "@manual", "import-files", {"batch": 1000}, "Moves customers to the new schema, once", "orders"),
]  # fmt: skip
"""Name, schedule, handler, payload, description, category."""
ZONES = {"newsletter-us": "America/New_York", "backup-database": "Europe/Berlin", "send-reminders": "Europe/Berlin"}
POLICIES = {
    "export-accounting": {"retry.max_retries": 2, "retry.initial_backoff": "20s", "timeout": "5m"},
    "recommendations": {"retry.max_retries": 0, "timeout": "30m"},
    "import-invoices": {"retry.max_retries": 3, "retry.initial_backoff": "10s", "timeout": "10m", "overlap": "SKIP"},
    "resize-images": {"retry.max_retries": 0},
    "refresh-exchange-rates": {"retry.max_retries": 0},
    "price-watch": {"retry.max_retries": 0},
    "sync-orders": {"retry.max_retries": 0},
    "newsletter": {"timeout": "30m"},
    "newsletter-us": {"timeout": "30m"},
    "backup-ledger": {"timeout": "1h"},
    "backup-database": {"timeout": "1h", "catch_up": "LATEST"},
    "rebuild-search-index": {"timeout": "2h", "overlap": "SKIP"},
}


async def run_day(file: Path) -> None:
    """Run the day into a new file."""
    clock = FakeClock(END - DAY)
    async with manual_service(demo_handlers, clock=clock, path=file) as service:
        for name, schedule, handler, payload, description, category in TASKS:
            await service.register(
                name,
                schedule,
                handler,
                payload=payload,
                description=description,
                metadata={"category": category, "owner": f"{category}@shop.example"},
                time_zone=ZONES.get(name, "UTC"),
                policy=POLICIES.get(name),
            )
        await _live(service, clock, END - timedelta(hours=3))
        await service.service.disable("price-watch", note="until the new crawler is there")
        await _live(service, clock, END)
        while service.engine.running:
            await _step(service, clock, STEP)


async def _live(service: ManualService, clock: FakeClock, until: datetime) -> None:
    """Let time pass: in steps while handlers run, to the next occurrence while none does."""
    await service.tick(wait=False)
    while clock.now() < until:
        following = service.engine.next_time or until
        rest = max(following - clock.now(), timedelta(seconds=1))
        await _step(service, clock, min(STEP if service.engine.running else rest, until - clock.now()))


async def _step(service: ManualService, clock: FakeClock, by: timedelta) -> None:
    await clock.advance(by)
    await service.tick(wait=False)


def _unsaid(*_: object) -> None:
    raise structlog.DropEvent


if __name__ == "__main__":
    structlog.configure(processors=[_unsaid])  # what executions keep of their lines is kept all the same
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE).unlink(missing_ok=True)
    asyncio.run(run_day(folder / FILE))
