"""generate-missing-embeddings: finds entities without an embedding, and enqueues a job for each."""

from collections.abc import AsyncIterator
from typing import Any

from schedule_grpc.builtin.reporting import Report, check_fields, whole_number
from schedule_grpc.builtin.unconfigured import waits_for_tables
from schedule_grpc.errors import BindingError
from schedule_grpc.handlers import TaskContext, handler

JOB = "generate-embedding"
PRIORITY = 5
DEFAULT_BATCH = 100
MAX_BATCH = 10_000
PAGE = 500

_MISSING = """
SELECT e.ns, e.id, e.type, e.content FROM entities e
WHERE (e.type IS NULL OR e.type NOT IN ('session', 'api_key', 'log'))
  AND NOT EXISTS (SELECT 1 FROM embeddings m WHERE m.ns = e.ns AND m.id = e.id)
  {further}
ORDER BY e.ns, e.id
LIMIT :page
"""
_FURTHER = "AND (e.ns > :ns OR (e.ns = :ns AND e.id > :id))"


@handler("generate-missing-embeddings", description="Find entities without embeddings and queue them for generation")
@waits_for_tables
async def generate_missing_embeddings(ctx: TaskContext) -> dict[str, Any]:
    """Enqueue one job for each of up to ``batch_size`` (100) entities that have no embedding.

    An entity whose job is still in the queue from an earlier run does not count: the next ones are taken.
    A job that the queue refuses does not stop the others; the run then fails, with both counts.
    """
    check_fields(ctx.payload, "batch_size")
    report = Report(ctx)
    batch_size = whole_number(ctx.payload, "batch_size", DEFAULT_BATCH, MAX_BATCH)
    found = queued = already = 0
    refusals: list[str] = []
    async for entity in _entities_without_embedding(ctx):
        found += 1
        try:
            if await _enqueue(ctx, entity):
                queued += 1
                ctx.progress(queued / batch_size, f"queued {queued}")
            else:
                already += 1
        except BindingError as error:
            refusals.append(error.message)
        if queued + len(refusals) >= batch_size:
            break
    counts = {"found": found, "queuedCount": queued, "alreadyQueuedCount": already, "refusedCount": len(refusals)}
    if refusals:
        return report.failure(f"{len(refusals)} of {found} jobs were refused, the first: {refusals[0]}", **counts)
    return report.success(f"Queued {queued} entities for embedding generation", **counts)


async def _entities_without_embedding(ctx: TaskContext) -> AsyncIterator[dict[str, Any]]:
    """Yield the entities, read in pages. The first page has no lower bound: ids may be numbers, texts or UUIDs."""
    page = await ctx.env.DB.fetch(_MISSING.format(further=""), page=PAGE)
    while page:
        for entity in page:
            yield entity
        last = {"ns": page[-1]["ns"], "id": page[-1]["id"]}
        page = await ctx.env.DB.fetch(_MISSING.format(further=_FURTHER), **last, page=PAGE)


async def _enqueue(ctx: TaskContext, entity: dict[str, Any]) -> bool:
    name, namespace = str(entity["id"]), str(entity["ns"])
    payload = {"id": name, "namespace": namespace, "type": entity["type"], "data": entity["content"]}
    key = f"{JOB}:{namespace}:{name}"
    queued: bool = await ctx.env.QUEUE.enqueue(JOB, payload, priority=PRIORITY, dedupe_key=key)
    return queued
