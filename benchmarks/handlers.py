"""What the benchmark's tasks run."""

from typing import Any

from schedule_grpc import TaskContext, handler


@handler("nothing", description="Returns at once")
async def nothing(_: TaskContext) -> dict[str, Any]:
    """Do nothing."""
    return {"success": True}
