"""The handlers, who offers them, and the workers."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from schedule_grpc.api.ui.views.words import duration_text
from schedule_grpc.domain.offers import WorkerInfo
from schedule_grpc.domain.summary import HandlerDuration, HandlerDurations, Summary, WaitingQueue
from schedule_grpc.domain.task import Handler


@dataclass(frozen=True, kw_only=True, slots=True)
class HandlerRow:
    """A handler."""

    name: str
    description: str
    offered: bool
    limit: int | None
    workers: int
    versions: tuple[str, ...]
    running: int | None
    """None: more run than are told."""
    waiting: int
    oldest: datetime | None
    p95: str
    """Within which time 95 of 100 executions of the last 24 hours took; empty: none ran, or they are not told."""
    ran: int
    """The executions that this figure is of."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerRow:
    """A worker."""

    id: str
    name: str
    version: str
    tone: str
    word: str
    running: int
    slots: int
    handlers: tuple[str, ...]
    labels: tuple[tuple[str, str], ...]
    start: datetime
    seen: datetime
    registered_by: str


@dataclass(frozen=True, kw_only=True, slots=True)
class HandlersView:
    """The page of handlers and workers."""

    handlers: tuple[HandlerRow, ...]
    workers: tuple[WorkerRow, ...]
    lacking: tuple[HandlerRow, ...]
    """Handlers that nothing offers and executions wait for."""
    durations: HandlerDurations | None
    """What the figures of duration are of; None: they are not told."""


def handlers_view(
    handlers: Sequence[Handler],
    workers: Sequence[WorkerInfo],
    summary: Summary,
    durations: HandlerDurations | None,
) -> HandlersView:
    """Return the page of handlers and workers; without durations, how long executions took is not told."""
    took = {} if durations is None else durations.handlers
    queues = {queue.handler: queue for queue in summary.waiting}
    are_told = len(summary.running) >= summary.counts.running
    running = Counter(execution.handler for execution in summary.running)
    rows = tuple(
        _handler(each, queues.get(each.name), running[each.name] if are_told else None, took) for each in handlers
    )
    unknown = tuple(
        _handler(Handler(name=queue.handler, offered=False), queue, 0, took)
        for queue in summary.waiting
        if not queue.offered and queue.handler not in {each.name for each in handlers}
    )
    shown = tuple(sorted((*rows, *unknown), key=lambda row: row.name))
    return HandlersView(
        handlers=shown,
        workers=tuple(map(_worker, workers)),
        lacking=tuple(row for row in shown if not row.offered and row.waiting),
        durations=durations,
    )


def _handler(
    handler: Handler, queue: WaitingQueue | None, running: int | None, took: Mapping[str, HandlerDuration]
) -> HandlerRow:
    duration = took.get(handler.name)
    return HandlerRow(
        name=handler.name,
        description=handler.description,
        offered=handler.offered,
        limit=handler.concurrency,
        workers=handler.worker_count,
        versions=handler.worker_versions,
        running=running,
        waiting=queue.count if queue else 0,
        oldest=queue.oldest_time if queue else None,
        p95=duration_text(duration.p95) if duration else "",
        ran=duration.count if duration else 0,
    )


def _worker(worker: WorkerInfo) -> WorkerRow:
    if not worker.is_living:
        tone, word = "idle", "ended"
    elif worker.draining:
        tone, word = "warn", "draining"
    else:
        tone, word = "ok", "live"
    return WorkerRow(
        id=worker.id,
        name=worker.name or worker.id,
        version=worker.version,
        tone=tone,
        word=word,
        running=worker.running,
        slots=worker.slots,
        handlers=worker.handlers,
        labels=tuple(sorted(worker.labels.items())),
        start=worker.start_time,
        seen=worker.seen_time,
        registered_by=worker.registered_by,
    )
