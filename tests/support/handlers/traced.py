"""Handlers that a traced server runs: they call bindings, begin spans of their own, and fail at first."""

from typing import Any

from opentelemetry import trace

from schedule_grpc import TaskContext, handler


@handler("traced.report")
async def report(ctx: TaskContext) -> dict[str, Any]:
    """Read the database within a span of its own, put a job into the queue, and return what it knows of its span."""
    with trace.get_tracer("of the user").start_as_current_span("look at jobs"):
        await ctx.env.DB.fetch("SELECT id FROM queue_jobs WHERE type = :type AND payload = 'secret1'", type="secret2")
    await ctx.env.QUEUE.enqueue("mail", {"to": "secret3"})
    return {"traceparent": ctx.traceparent}


@handler("traced.plain")
def plain(ctx: TaskContext) -> str | None:
    """Return the span of the call, in a thread."""
    ctx.log.info("plain.ran")
    with trace.get_tracer("of the user").start_as_current_span("within a thread"):
        return ctx.traceparent


@handler("traced.flaky")
async def flaky(ctx: TaskContext) -> int:
    """Fail at the first attempt."""
    if ctx.attempt == 1:
        raise ValueError("secret4")
    return ctx.attempt
