"""A handler that tells what its process has imported."""

import sys
from typing import Any

from schedule_grpc import TaskContext, handler


@handler("imports")
async def imports(ctx: TaskContext) -> dict[str, Any]:
    """Return the modules of a package that are there, and the span of the call."""
    package = ctx.payload["of"]
    found = sorted(name for name in sys.modules if name.partition(".")[0] == package)
    return {"modules": found, "traceparent": ctx.traceparent}
