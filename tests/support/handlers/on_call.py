"""Handlers that the server process of these tests offers beside those of all process tests."""

import asyncio
from pathlib import Path
from typing import Any

from schedule_grpc.handlers import TaskContext, handler


@handler("by-steps", description="Tells how far it is, and fails at first")
async def by_steps(ctx: TaskContext) -> dict[str, Any]:
    """Say that half is done; fail in the first attempts, as many as the payload says."""
    ctx.progress(0.5, f"half of {ctx.payload.get('pages', 'it')}")
    if ctx.attempt <= ctx.payload.get("failures", 0):
        raise ConnectionError("the printer is [red]away[/red]\x1b[31m\nsecond line")
    return {"success": True, "message": "printed"}


@handler("hold", description="Waits for a file")
async def hold(ctx: TaskContext) -> str:
    """Write that it is running, then wait until the file of the payload appears."""
    ctx.progress(0.1, "holding")
    while not Path(ctx.payload["until"]).exists():  # noqa: ASYNC110 (another process decides)
        await asyncio.sleep(0.01)
    return "let go"
