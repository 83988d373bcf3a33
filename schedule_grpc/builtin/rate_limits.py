"""check-rate-limits: finds API keys near their limit of requests an hour, and sends an alert for each."""

import hashlib
import math
from datetime import timedelta
from typing import Any

from schedule_grpc.bindings.instants import instant, written
from schedule_grpc.builtin.reporting import Report, check_fields, fraction, whole_number
from schedule_grpc.builtin.unconfigured import waits_for_tables
from schedule_grpc.handlers import TaskContext, handler

DEFAULT_LIMIT = 1000
MAX_LIMIT = 1_000_000_000
DEFAULT_THRESHOLD = 0.9
SHOWN = 8
"""Characters of a key in an alert: enough to find the key, too few to use it."""
MAX_KEPT = 10_000
"""Keys that one run counts; the busiest come first."""


@handler("check-rate-limits", description="Monitor API rate limit usage and alert if nearing threshold")
@waits_for_tables
async def check_rate_limits(ctx: TaskContext) -> dict[str, Any]:
    """Count the requests of the last hour by API key; warn from ``threshold`` (0.9) of ``limit`` (1,000) on.

    A key near its limit causes one alert, until it no longer is.
    """
    check_fields(ctx.payload, "limit", "threshold")
    report = Report(ctx)
    limit = whole_number(ctx.payload, "limit", DEFAULT_LIMIT, MAX_LIMIT)
    near = math.ceil(limit * fraction(ctx.payload, "threshold", DEFAULT_THRESHOLD))
    made = instant("created_at", await ctx.env.DB.dialect())
    rows = await ctx.env.DB.fetch(
        "SELECT CAST(api_key AS text) AS api_key, count(CASE WHEN made >= :hour THEN 1 END) AS requests "  # noqa: S608 (constants)
        f"FROM (SELECT api_key, {made} AS made FROM api_requests) AS r WHERE made >= :day AND api_key IS NOT NULL "
        "GROUP BY r.api_key ORDER BY requests DESC, r.api_key LIMIT :most",
        hour=written(ctx.now() - timedelta(hours=1)),
        day=written(ctx.now() - timedelta(days=1)),
        most=MAX_KEPT,
    )
    warnings = [{"api_key": row["api_key"], "requests": row["requests"]} for row in rows if row["requests"] >= near]
    for row in rows:
        key = f"api-key:{hashlib.sha256(row['api_key'].encode()).hexdigest()[:16]}"
        if row["requests"] >= near:
            usage = f"{row['requests']} of {limit} requests in the last hour"
            ctx.alert(f"API key {row['api_key'][:SHOWN]}… nears its rate limit", usage, key=key)
        else:
            ctx.recovered(key)
    count = len(warnings)
    message = f"{count} API keys nearing rate limit" if count else "All rate limits healthy"
    return report.success(message, warnings=warnings)
