"""Handlers that server processes of tests offer."""

import asyncio
import time
from contextlib import suppress
from pathlib import Path

from schedule_grpc.handlers import TaskContext, handler


@handler("note", description="Writes a line, sleeps, writes another")
async def note(ctx: TaskContext) -> dict:
    """Append ``begin`` and ``end`` lines to the file of the payload, ``seconds`` apart."""
    path = Path(ctx.payload["file"])
    with path.open("a") as file:
        file.write(f"begin {ctx.idempotency_key} {ctx.attempt}\n")
    await asyncio.sleep(ctx.payload.get("seconds", 0))
    with path.open("a") as file:
        file.write(f"end {ctx.idempotency_key} {ctx.attempt}\n")
    return {"success": True}


@handler("block", description="Blocks the event loop")
async def block(ctx: TaskContext) -> None:
    """Do what an async handler must not do."""
    time.sleep(ctx.payload["seconds"])  # noqa: ASYNC251 (the point)


@handler("stuck-thread", description="A thread that never ends")
def stuck_thread(ctx: TaskContext) -> None:
    """Sleep for an hour."""
    ctx.log.info("stuck.begun")
    time.sleep(3600)


@handler("fail", description="Raises")
async def fail(ctx: TaskContext) -> None:
    """Raise, with the payload's words if it has some."""
    raise ValueError(ctx.payload.get("words", "as asked"))


@handler("steps", description="Tells how far it is", concurrency=2)
async def steps(ctx: TaskContext) -> None:
    """Say once that all is done."""
    ctx.progress(7, "all of it")


@handler("immortal", description="Swallows its cancellation, again and again")
async def immortal(ctx: TaskContext) -> None:
    """Sleep for ever, whatever anybody asks."""
    ctx.log.info("stuck.begun")
    while True:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)


@handler("report", description="Logs, tells how far it is, and may fail")
async def report(ctx: TaskContext) -> None:
    """Log as many lines, and the texts, of the payload; wait for its file; sort rows by a key that they may lack."""
    for number in range(ctx.payload.get("lines", 0)):
        ctx.log.info("report.row", number=number)
    for text in ctx.payload.get("texts", ()):
        ctx.log.warning(text)
    ctx.progress(0.5, ctx.payload.get("progress", "sorting"))
    while "until" in ctx.payload and not Path(ctx.payload["until"]).exists():  # noqa: ASYNC110 (the test decides)
        await asyncio.sleep(0.02)
    sorted([{"name": "a"}], key=lambda row: row[ctx.payload.get("by", "name")])
    ctx.log.info("report.sorted")


@handler("held", description="Waits until a file is there")
async def held(ctx: TaskContext) -> None:
    """Wait for the file of the payload."""
    while not Path(ctx.payload["until"]).exists():  # noqa: ASYNC110 (the test decides, perhaps another process)
        await asyncio.sleep(0.02)
