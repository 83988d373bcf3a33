"""Two handlers of an invoicing team: copy this file, and put your own work in it."""

import time
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from schedule_grpc import PermanentFailure, TaskContext, handler


@handler("import-invoices", description="Books the invoices of the day before", concurrency=1)
async def import_invoices(ctx: TaskContext) -> dict[str, Any]:
    """Book every invoice of one day. Payload: ``currency`` (EUR).

    Booking an invoice twice changes nothing, so an attempt that died half way can be repeated; each booking names the
    run that made it.
    """
    currency = ctx.payload.get("currency", "EUR")
    if not isinstance(currency, str):
        raise PermanentFailure(f"payload.currency: {currency!r} is not a currency")  # a retry would not help
    day = day_before(ctx).isoformat()
    await ctx.env.DB.execute("CREATE TABLE IF NOT EXISTS booked (id TEXT PRIMARY KEY, day TEXT, amount INT, run TEXT)")
    invoices = await ctx.env.DB.fetch(
        "SELECT id, amount FROM invoices WHERE day = :day AND currency = :currency ORDER BY id",
        day=day,
        currency=currency,
    )
    async with ctx.env.DB.transaction() as together:
        for number, invoice in enumerate(invoices, start=1):
            await together.execute(
                "INSERT INTO booked VALUES (:id, :day, :amount, :run) ON CONFLICT DO NOTHING",
                **invoice,
                day=day,
                run=ctx.idempotency_key,
            )
            ctx.progress(number / len(invoices), f"booked {invoice['id']}")
    ctx.log.info("invoices.booked", day=day, count=len(invoices))
    return {"success": True, "booked": len(invoices), "message": f"Booked {len(invoices)} invoices of {day}"}


@handler("render-invoices", description="Renders invoices, a page at a time")
def render_invoices(ctx: TaskContext) -> dict[str, Any]:
    """Render pages. Payload: ``pages`` (3), ``seconds_a_page`` (0).

    A plain function runs in a thread of its own: it may block. A thread cannot be stopped from outside, so the function
    checks whether it is cancelled, and raises an exception if it did not finish.
    """
    pages = ctx.payload.get("pages", 3)
    for page in range(1, pages + 1):
        if ctx.cancelled.is_set():
            raise InterruptedError(f"stopped after {page - 1} of {pages} pages")
        time.sleep(ctx.payload.get("seconds_a_page", 0))
        ctx.progress(page / pages, f"page {page} of {pages}")
    return {"success": True, "pages": pages}


def day_before(ctx: TaskContext) -> date:
    """Return the day to work on: by the occurrence, so that a late or repeated run does the same day, in its zone."""
    zone = ZoneInfo(ctx.task.schedule.time_zone)
    return (ctx.scheduled_time or ctx.now()).astimezone(zone).date() - timedelta(days=1)
