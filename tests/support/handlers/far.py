"""Handlers that a traced worker offers."""

import os
from typing import Any

from schedule_grpc import TaskContext, handler
from schedule_grpc.client import AsyncClient


@handler("far.relay")
async def relay(ctx: TaskContext) -> dict[str, Any]:
    """Write to the database, then run another task of the service and wait for its end."""
    await ctx.env.DB.execute("DELETE FROM queue_jobs WHERE created_at < :before", before="2020")
    async with AsyncClient(os.environ["TRACED_SERVER"], deadline=240) as client:
        ran = await client.run_task_now(ctx.payload["then"])
    return {"traceparent": ctx.traceparent, "then": ran.execution.state.value}
