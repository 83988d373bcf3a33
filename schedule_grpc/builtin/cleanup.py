"""The three cleanups: delete expired rows in batches, so that locks are short and a timeout loses no progress.

A row whose time is NULL or cannot be read is never deleted.
"""

from datetime import datetime, timedelta
from typing import Any

from schedule_grpc.bindings.instants import instant, written
from schedule_grpc.builtin.reporting import Report, check_fields, whole_number
from schedule_grpc.builtin.unconfigured import waits_for_tables
from schedule_grpc.handlers import TaskContext, handler

DEFAULT_BATCH = 1000
MAX_BATCH = 100_000
DEFAULT_DAYS = 30
MAX_DAYS = 36_500

_COMPLETED = "status = 'completed' AND "


@handler("cleanup-expired-sessions", description="Delete sessions whose expires_at has passed")
@waits_for_tables
async def cleanup_expired_sessions(ctx: TaskContext) -> dict[str, Any]:
    """Delete expired rows of ``sessions``. Payload: ``batch_size`` (1,000)."""
    check_fields(ctx.payload, "batch_size")
    return await _cleanup(ctx, "sessions", "expires_at", ctx.now(), "expired sessions")


@handler("cleanup-expired-api-keys", description="Delete API keys whose expires_at has passed")
@waits_for_tables
async def cleanup_expired_api_keys(ctx: TaskContext) -> dict[str, Any]:
    """Delete expired rows of ``api_keys``; a key without expires_at never expires. Payload: ``batch_size`` (1,000)."""
    check_fields(ctx.payload, "batch_size")
    return await _cleanup(ctx, "api_keys", "expires_at", ctx.now(), "expired API keys")


@handler("cleanup-old-generations", description="Delete completed generations older than 30 days")
@waits_for_tables
async def cleanup_old_generations(ctx: TaskContext) -> dict[str, Any]:
    """Delete old completed rows of ``generations``. Payload: ``older_than_days`` (30), ``batch_size`` (1,000)."""
    check_fields(ctx.payload, "older_than_days", "batch_size")
    days = whole_number(ctx.payload, "older_than_days", DEFAULT_DAYS, MAX_DAYS)
    before = ctx.now() - timedelta(days=days)
    return await _cleanup(ctx, "generations", "created_at", before, "old generations", only=_COMPLETED)


async def _cleanup(
    ctx: TaskContext, table: str, column: str, before: datetime, what: str, *, only: str = ""
) -> dict[str, Any]:
    batch_size = whole_number(ctx.payload, "batch_size", DEFAULT_BATCH, MAX_BATCH)
    report = Report(ctx)
    condition = f"{only}{instant(column, await ctx.env.DB.dialect())} < :before"
    deleted = await _delete(ctx, table, condition, before, batch_size)
    return report.success(f"Deleted {deleted} {what}", deletedCount=deleted)


async def _delete(ctx: TaskContext, table: str, condition: str, before: datetime, batch_size: int) -> int:
    """Walk the table once in the order of its ids: each batch begins where the last one ended."""
    parameters: dict[str, Any] = {"before": written(before)}
    from_there, deleted = "", 0
    while True:
        found = await ctx.env.DB.fetch(
            f"SELECT id FROM {table} WHERE {from_there}{condition} ORDER BY id LIMIT :batch",  # noqa: S608 (constants of this module)
            **parameters,
            batch=batch_size,
        )
        if not found:
            return deleted
        last = found[-1]["id"]
        deleted += await ctx.env.DB.execute(
            f"DELETE FROM {table} WHERE {from_there}id <= :last AND {condition}",  # noqa: S608 (constants of this module)
            **parameters,
            last=last,
        )
        parameters["after"] = last
        from_there = "id > :after AND "
