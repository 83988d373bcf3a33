"""Handlers that servers under fault offer: what they do they note beside the database."""

import asyncio
import time
from typing import Any

from support.witnesses.effects import noted

from schedule_grpc.handlers import TaskContext, handler


@handler("quick", description="Returns at once")
async def quick(ctx: TaskContext) -> dict[str, Any]:
    """Succeed."""
    with noted(ctx):
        return {"success": True}


@handler("flaky", description="Fails twice, then succeeds")
async def flaky(ctx: TaskContext) -> dict[str, Any]:
    """Fail at the first two attempts."""
    with noted(ctx):
        if ctx.attempt <= 2:
            raise ValueError(f"attempt {ctx.attempt}")
        return {"attempt": ctx.attempt}


@handler("slow", description="Takes a while")
async def slow(ctx: TaskContext) -> dict[str, Any]:
    """Take a fifth of a second."""
    with noted(ctx):
        await asyncio.sleep(0.2)
    return {"success": True}


@handler("long", description="Sleeps for the seconds of its payload")
async def long(ctx: TaskContext) -> dict[str, Any]:
    """Sleep."""
    with noted(ctx):
        await asyncio.sleep(ctx.payload["seconds"])
    return {"success": True}


@handler("long-in-thread", description="Sleeps in a thread for the seconds of its payload, and hears of nothing")
def long_in_thread(ctx: TaskContext) -> dict[str, Any]:
    """Sleep."""
    with noted(ctx):
        time.sleep(ctx.payload["seconds"])
    return {"success": True}


@handler("blocks", description="Blocks its event loop for the seconds of its payload")
async def blocks(ctx: TaskContext) -> dict[str, Any]:
    """Sleep without giving way."""
    with noted(ctx):
        time.sleep(ctx.payload["seconds"])  # noqa: ASYNC251 (that is the fault)
    return {"success": True}


@handler("complains", description="Tells of a condition, or of its end")
async def complains(ctx: TaskContext) -> None:
    """Say that the database is down, or that it is not."""
    if ctx.payload["wrong"]:
        ctx.alert("DB is down", "for a while", key="DB")
    else:
        ctx.recovered("DB")
