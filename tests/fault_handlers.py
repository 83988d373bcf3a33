"""Handlers that servers under fault offer."""

import asyncio
from typing import Any

from schedule_grpc.handlers import TaskContext, handler


@handler("quick", description="Returns at once")
async def quick(_: TaskContext) -> dict[str, Any]:
    """Succeed."""
    return {"success": True}


@handler("flaky", description="Fails twice, then succeeds")
async def flaky(ctx: TaskContext) -> dict[str, Any]:
    """Fail at the first two attempts."""
    if ctx.attempt <= 2:
        raise ValueError(f"attempt {ctx.attempt}")
    return {"attempt": ctx.attempt}


@handler("slow", description="Takes a while")
async def slow(_: TaskContext) -> dict[str, Any]:
    """Take a fifth of a second."""
    await asyncio.sleep(0.2)
    return {"success": True}
