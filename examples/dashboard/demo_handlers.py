# ruff: noqa: E501 (a table is read by its rows)
"""Handlers of a shop that does not exist: they wait as long as the real ones would work, log, and now and then fail.

What each run does depends on its task and its time only, so that the same day looks the same each time.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from schedule_grpc.handlers import TaskContext, handler


@dataclass(frozen=True, kw_only=True)
class Habit:
    """How the runs of a task go."""

    seconds: float = 2.0
    """How long most take."""
    fails: float = 0.0
    """The share of attempts that fail."""
    error: str = "Connection reset by peer"
    steps: tuple[str, ...] = ()
    """What a run reports one after the other."""


HABITS = {
    "sync-orders": Habit(seconds=4, fails=0.02, error="HTTP 503 from erp.shop.example: Service Unavailable", steps=("orders", "positions", "stock")),
    "import-invoices": Habit(seconds=38, fails=0.05, error="invoice 48213: VAT id DE81177 is malformed", steps=("download", "parse", "book")),
    "backup-database": Habit(seconds=420, steps=("dump", "compress", "upload")),
    "backup-ledger": Habit(seconds=95, steps=("dump", "compress", "upload")),
    "newsletter-us": Habit(seconds=120, steps=("audience", "render", "send")),
    "price-watch": Habit(seconds=21, fails=0.2, error="robots.txt of cheap.example forbids it", steps=("fetch", "compare")),
    "purge-sessions": Habit(seconds=14),
    "migrate-customers": Habit(seconds=900, steps=("read", "write", "compare")),
    "rebuild-search-index": Habit(seconds=1500, steps=("products", "categories", "reviews")),
    "resize-images": Habit(seconds=9, fails=0.03, error="image 90211: cannot identify image file", steps=("fetch", "resize", "store")),
    "send-reminders": Habit(seconds=6, fails=0.01, error="SMTP 451: greylisted, try again later"),
    "export-accounting": Habit(seconds=75, fails=1.0, error="SFTP login of accounting@ledger.example refused: key expired on 13 Jan 2026", steps=("collect", "write", "upload")),
    "check-certificates": Habit(seconds=3),
    "refresh-exchange-rates": Habit(seconds=1.1, fails=0.04, error="ECB feed has no rate for TRY"),
    "health-of-shops": Habit(seconds=0.4, fails=0.003, error="shop-fr answered 502 three times"),
    "recommendations": Habit(seconds=260, fails=0.12, error="CUDA out of memory: tried to allocate 2.4 GiB", steps=("load", "train", "publish")),
    "close-carts": Habit(seconds=1.8),
    "newsletter": Habit(seconds=190, steps=("audience", "render", "send")),
    "warm-cache": Habit(seconds=5),
}  # fmt: skip


async def _work(ctx: TaskContext, done: Callable[[random.Random], dict[str, Any]]) -> dict[str, Any]:
    """Take the time that the task's runs take, tell how far it is, and end as its habit says."""
    habit = HABITS.get(ctx.task.name, Habit())
    due = ctx.scheduled_time or ctx.now()
    chance = random.Random(f"{ctx.task.name} {due.isoformat()} {ctx.attempt}")  # noqa: S311 (the same each time)
    seconds = habit.seconds * chance.lognormvariate(0, 0.25)
    fails = chance.random() < habit.fails
    steps = habit.steps or ("work",)
    ctx.log.info(
        "begun", attempt=ctx.attempt, **{name: value for name, value in ctx.payload.items() if name != "attempt"}
    )
    for number, step in enumerate(steps):
        for tenth in range(10):
            ctx.progress((number + tenth / 10) / len(steps), f"{step}: {chance.randint(200, 9800):,} done")
            await _pause(ctx, seconds / len(steps) / 10)
            if fails and number == len(steps) - 1 and tenth == 4:
                ctx.log.error("gave up", step=step, reason=habit.error)
                raise RuntimeError(habit.error)
        ctx.log.info("done", step=step, rows=chance.randint(120, 9800), seconds=round(seconds / len(steps), 1))
    return done(chance)


async def _pause(ctx: TaskContext, seconds: float) -> None:
    """Wait by the service's clock, which a demonstration's past day has one of its own of."""
    until = ctx.now() + timedelta(seconds=seconds)
    while ctx.now() < until:
        await ctx.clock.wait_until(until, asyncio.Event())


@handler("sync", description="Copies records from another system")
async def sync(ctx: TaskContext) -> dict[str, Any]:
    """Copy records."""
    return await _work(ctx, lambda chance: {"copied": chance.randint(40, 4000), "unchanged": chance.randint(0, 90_000)})


@handler("import-files", description="Fetches files and books what they hold")
async def import_files(ctx: TaskContext) -> dict[str, Any]:
    """Fetch and book files."""
    return await _work(ctx, lambda chance: {"files": chance.randint(1, 12), "rows": chance.randint(900, 12_000)})


@handler("backup", description="Dumps a database to the object store")
async def backup(ctx: TaskContext) -> dict[str, Any]:
    """Dump a database."""
    return await _work(
        ctx, lambda chance: {"key": f"backups/{ctx.now():%Y-%m-%d}.zst", "bytes": chance.randint(4, 6) * 10**9}
    )


@handler("images", description="Makes the sizes that pages show", concurrency=4)
async def images(ctx: TaskContext) -> dict[str, Any]:
    """Resize images."""
    return await _work(ctx, lambda chance: {"images": chance.randint(10, 400)})


@handler("mail", description="Renders and sends messages")
async def mail(ctx: TaskContext) -> dict[str, Any]:
    """Send messages."""
    return await _work(ctx, lambda chance: {"sent": chance.randint(20, 2400), "bounced": chance.randint(0, 9)})


@handler("index", description="Builds the search index anew", concurrency=1)
async def index(ctx: TaskContext) -> dict[str, Any]:
    """Build the index."""
    return await _work(ctx, lambda chance: {"documents": chance.randint(180_000, 190_000)})


@handler("check", description="Looks whether something answers as it should")
async def check(ctx: TaskContext) -> dict[str, Any]:
    """Look at something."""
    return await _work(ctx, lambda chance: {"checked": chance.randint(9, 40), "wrong": 0})


@handler("train", description="Trains a model on yesterday's data", concurrency=1)
async def train(ctx: TaskContext) -> dict[str, Any]:
    """Train a model."""
    return await _work(ctx, lambda chance: {"loss": round(chance.uniform(0.2, 0.4), 4), "epochs": 12})
