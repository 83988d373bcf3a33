"""The handler of the benchmark's tasks."""

from typing import Any

from schedule_grpc import TaskContext, handler


@handler("nothing", description="Returns at once")
async def nothing(_: TaskContext) -> dict[str, Any]:
    """Do nothing."""
    return {"success": True}
