"""update-analytics: counts the rows of the platform's tables, and stores the counts."""

from datetime import timedelta
from typing import Any

from schedule_grpc.bindings.instants import instant, written
from schedule_grpc.builtin.reporting import Report, check_fields
from schedule_grpc.builtin.unconfigured import waits_for_tables
from schedule_grpc.domain.canonical_json import encode
from schedule_grpc.handlers import TaskContext, handler

_TABLES = (
    # The name in the result, the table, the column that the counts are grouped by, the column with the creation time.
    ("entities", "entities", "type", "created_at"),
    ("generations", "generations", "status", "created_at"),
    ("embeddings", "embeddings", "model", "created_at"),
    ("queueJobs", "queue_jobs", "status", "created_at"),
    ("apiRequests", "api_requests", None, "created_at"),
    ("sessions", "sessions", None, None),
    ("apiKeys", "api_keys", None, None),
)


@handler("update-analytics", description="Compute and store platform usage statistics")
@waits_for_tables
async def update_analytics(ctx: TaskContext) -> dict[str, Any]:
    """Count each table: all rows, by type, of the last hour, of the last day; store a row of ``analytics_snapshots``.

    Rows whose type is NULL are ``untyped``: a type may be called ``None``, or ``null``.
    A repeated attempt stores no second row. The task takes no payload.
    """
    check_fields(ctx.payload)
    report = Report(ctx)
    dialect: str = await ctx.env.DB.dialect()
    stats = {}
    for number, (name, table, kind, made) in enumerate(_TABLES, start=1):
        stats[name] = await _counted(ctx, dialect, table, kind, made)
        ctx.progress(number / len(_TABLES), f"counted {table}")
    await ctx.env.DB.execute(
        "INSERT INTO analytics_snapshots (id, period, created_at, stats) VALUES (:id, 'hour', :now, :stats) "
        "ON CONFLICT (id) DO NOTHING",
        id=ctx.idempotency_key,
        now=written(ctx.now()),
        stats=encode(stats),
    )
    return report.success("Analytics updated successfully", stats=stats)


async def _counted(ctx: TaskContext, dialect: str, table: str, kind: str | None, made: str | None) -> dict[str, Any]:
    """Count one table. The statements contain constants of this module only."""
    counted: dict[str, Any] = {"total": 0}
    if kind is None:
        (row,) = await ctx.env.DB.fetch(f"SELECT count(*) AS n FROM {table}")  # noqa: S608
        counted["total"] = row["n"]
    else:
        rows = await ctx.env.DB.fetch(f"SELECT {kind} AS kind, count(*) AS n FROM {table} GROUP BY {kind}")  # noqa: S608
        counted["byType"] = {str(row["kind"]): row["n"] for row in rows if row["kind"] is not None}
        counted["untyped"] = sum(row["n"] for row in rows if row["kind"] is None)
        counted["total"] = sum(row["n"] for row in rows)
    if made is not None:
        hour, day = ctx.now() - timedelta(hours=1), ctx.now() - timedelta(days=1)
        since = instant(made, dialect)
        (row,) = await ctx.env.DB.fetch(
            f"SELECT count(CASE WHEN at >= :hour THEN 1 END) AS hour, count(CASE WHEN at >= :day THEN 1 END) AS day "  # noqa: S608
            f"FROM (SELECT {since} AS at FROM {table}) AS made",
            hour=written(hour),
            day=written(day),
        )
        counted |= {"lastHour": row["hour"], "lastDay": row["day"]}
    return counted
