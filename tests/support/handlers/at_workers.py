"""Handlers under the names in OFFERED_HANDLERS: what a test has one worker run, it has no other one run."""

import asyncio
import os
from collections.abc import Callable
from typing import Any

from support.witnesses.effects import noted

from schedule_grpc.handlers import TaskContext, handler


def sleeping(name: str) -> Callable[..., Any]:
    """Return a handler that sleeps in its first attempt for the seconds of its payload."""

    @handler(name, description="Sleeps in its first attempt")
    async def sleep(ctx: TaskContext) -> dict[str, Any]:
        with noted(ctx):
            if ctx.attempt == 1:
                await asyncio.sleep(ctx.payload.get("seconds", 0))
            return {"attempt": ctx.attempt}

    return sleep


globals().update({f"sleeping {name}": sleeping(name) for name in os.environ["OFFERED_HANDLERS"].split(",")})
