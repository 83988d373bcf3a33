"""Handlers that worker processes of tests offer; each notes its process in its result."""

import asyncio
import os
import time
from pathlib import Path
from typing import Any

from schedule_grpc import TaskContext, handler


@handler("remote.echo", description="Returns its payload")
async def echo(ctx: TaskContext) -> dict[str, Any]:
    """Return the payload and the process."""
    return {"got": dict(ctx.payload), "pid": os.getpid(), "attempt": ctx.attempt}


@handler("remote.plain")
def plain(ctx: TaskContext) -> int:
    """Return the process, from a thread."""
    return os.getpid()


@handler("remote.flaky")
async def flaky(ctx: TaskContext) -> int:
    """Fail at the first two attempts."""
    if ctx.attempt <= 2:
        raise ValueError(f"attempt {ctx.attempt}")
    return ctx.attempt


@handler("remote.waits")
async def waits(ctx: TaskContext) -> dict[str, Any]:
    """Wait for the file of its payload."""
    ctx.progress(0.5, f"waiting in {os.getpid()}")
    while not Path(ctx.payload["file"]).exists():  # noqa: ASYNC110 (another process has no event to set)
        await asyncio.sleep(0.02)
    return {"pid": os.getpid(), "attempt": ctx.attempt}


@handler("remote.says")
async def says(ctx: TaskContext) -> None:
    """Log, and report progress."""
    ctx.log.info("rows.counted", rows=3)
    ctx.progress(0.25, "a quarter")
    ctx.log.warning("rows.missing", rows=1)


@handler("remote.blocks")
async def blocks(ctx: TaskContext) -> None:
    """Block its event loop until the file of its payload is there."""
    while not Path(ctx.payload["file"]).exists():
        time.sleep(0.02)  # noqa: ASYNC251 (that is the fault)


@handler("remote.asks")
async def asks(ctx: TaskContext) -> Any:
    """Ask a binding."""
    return await ctx.env.OWN.fetch("SELECT 1 AS one")
