"""Handlers: the decorator and the registry, their context, and the performing of one attempt.

::

    @handler("import-invoices", description="Fetch yesterday's invoices")
    async def import_invoices(ctx: TaskContext) -> dict:
        rows = await ctx.env.DB.fetch("SELECT ...", since=ctx.scheduled_time)
        return {"processed": len(rows)}

A decorated handler stays a plain function, which a test can call.
"""

from schedule_grpc.handlers.call import Begin, Call, End, Raised, begin_here, begin_in_thread, wait_for_end
from schedule_grpc.handlers.context import (
    Env,
    Parts,
    PermanentFailure,
    TaskContext,
    context_of,
    name_of,
    span_of,
    with_env,
)
from schedule_grpc.handlers.perform import Attempt, Fate, Stop, perform
from schedule_grpc.handlers.registry import HandlerFunction, Offer, Registry, handler

__all__ = [
    "Attempt",
    "Begin",
    "Call",
    "End",
    "Env",
    "Fate",
    "HandlerFunction",
    "Offer",
    "Parts",
    "PermanentFailure",
    "Raised",
    "Registry",
    "Stop",
    "TaskContext",
    "begin_here",
    "begin_in_thread",
    "context_of",
    "handler",
    "name_of",
    "perform",
    "span_of",
    "wait_for_end",
    "with_env",
]
