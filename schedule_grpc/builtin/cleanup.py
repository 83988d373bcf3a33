"""The three cleanups: delete what has expired, in batches, so that no lock is long and a timeout loses nothing.

Times in a platform file may be ``2026-01-31 10:00:00`` or ``2026-01-31T10:00:00.000Z``; strftime() brings both to one
form. What has no time, or none that can be read, is never deleted: strftime() alone would read ``0``, ``12:34``,
``now`` and plain numbers as instants too, most of them long past.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from schedule_grpc.handlers import PermanentFailure, TaskContext, handler

DEFAULT_BATCH = 1000
MAX_BATCH = 100_000
DEFAULT_DAYS = 30
MAX_DAYS = 36_500

_PASSED = "{0} GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*' AND strftime('%Y-%m-%d %H:%M:%f', {0}) < :before"
_EXPIRED = _PASSED.format("expires_at")
_OLD = "status = 'completed' AND " + _PASSED.format("created_at")


@handler("cleanup-expired-sessions", description="Delete sessions whose expires_at has passed")
async def cleanup_expired_sessions(ctx: TaskContext) -> dict[str, Any]:
    """Delete expired rows of ``sessions``. Payload: ``batch_size`` (1,000)."""
    return await _cleanup(ctx, "sessions", _EXPIRED, ctx.now(), "expired sessions")


@handler("cleanup-expired-api-keys", description="Delete API keys whose expires_at has passed")
async def cleanup_expired_api_keys(ctx: TaskContext) -> dict[str, Any]:
    """Delete expired rows of ``api_keys``; a key without expires_at never expires. Payload: ``batch_size`` (1,000)."""
    return await _cleanup(ctx, "api_keys", _EXPIRED, ctx.now(), "expired API keys")


@handler("cleanup-old-generations", description="Delete completed generations older than 30 days")
async def cleanup_old_generations(ctx: TaskContext) -> dict[str, Any]:
    """Delete old completed rows of ``generations``. Payload: ``older_than_days`` (30), ``batch_size`` (1,000)."""
    days = _whole_number(ctx.payload, "older_than_days", DEFAULT_DAYS, MAX_DAYS)
    return await _cleanup(ctx, "generations", _OLD, ctx.now() - timedelta(days=days), "old generations")


async def _cleanup(ctx: TaskContext, table: str, condition: str, before: datetime, what: str) -> dict[str, Any]:
    batch_size = _whole_number(ctx.payload, "batch_size", DEFAULT_BATCH, MAX_BATCH)
    began = ctx.clock.monotonic()
    deleted = await _delete(ctx, table, condition, before, batch_size)
    return {
        "success": True,
        "deletedCount": deleted,
        "duration": round((ctx.clock.monotonic() - began) * 1000),
        "message": f"Deleted {deleted} {what}",
    }


async def _delete(ctx: TaskContext, table: str, condition: str, before: datetime, batch_size: int) -> int:
    """Walk the table once in the order of its ids: each batch begins where the last one ended."""
    parameters: dict[str, Any] = {"before": before.strftime("%Y-%m-%d %H:%M:%S.") + f"{before.microsecond // 1000:03}"}
    from_there, deleted = "", 0
    while True:
        found = await ctx.env.DB.fetch(
            f"SELECT id FROM {table} WHERE {from_there}{condition} ORDER BY id LIMIT :batch",  # noqa: S608 (our own words)
            **parameters,
            batch=batch_size,
        )
        if not found:
            return deleted
        last = found[-1]["id"]
        deleted += await ctx.env.DB.execute(
            f"DELETE FROM {table} WHERE {from_there}id <= :last AND {condition}",  # noqa: S608 (our own words)
            **parameters,
            last=last,
        )
        parameters["after"] = last
        from_there = "id > :after AND "


def _whole_number(payload: Mapping[str, Any], name: str, default: int, most: int) -> int:
    value = payload.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise PermanentFailure(f"payload.{name}: {value!r} is not a whole number from 1 to {most}")
    return value
