"""Output for people: tables of handlers and of workers."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from schedule_grpc.cli.tables import print_table
from schedule_grpc.domain.durations import human
from schedule_grpc.domain.offers import WorkerInfo
from schedule_grpc.domain.task import Handler

MOST_NAMES = 3
"""Handlers of a worker that are named in a table; of more than that the others are counted."""


def print_handlers(handlers: Iterable[Handler]) -> None:
    """Print a table of handlers."""
    print_table(
        ("HANDLER", "OFFERED", "AT ONCE", "WORKERS", "DESCRIPTION"),
        [
            (
                handler.name,
                "yes" if handler.offered else "not now",
                "" if handler.concurrency is None else str(handler.concurrency),
                _workers_shown(handler),
                handler.description,
            )
            for handler in handlers
        ],
    )


def print_workers(workers: Iterable[WorkerInfo], now: datetime) -> None:
    """Print a table of workers as they are at a moment: those that live, then those whose sessions ended."""
    shown = sorted(workers, key=lambda worker: not worker.is_living)  # otherwise in the order in which they came
    print_table(
        ("ID", "NAME", "VERSION", "SLOTS", "SEEN", "HANDLERS"),
        [
            (
                worker.id,
                worker.name,
                worker.version,
                f"{worker.running}/{worker.slots}",
                seen_shown(worker, now),
                _names_shown(worker.handlers),
            )
            for worker in shown
        ],
    )


def seen_shown(worker: WorkerInfo, now: datetime) -> str:
    """Return how long ago a worker last renewed its lease, or its session ended; or that it stops."""
    if worker.end_time is not None:
        return f"ended {_ago(worker.end_time, now)}"
    return "stopping" if worker.draining else _ago(worker.seen_time, now)


def _ago(instant: datetime, now: datetime) -> str:
    return f"{human(max(now - instant, timedelta(0)))} ago"  # the server's clock may be ahead of this machine's


def _workers_shown(handler: Handler) -> str:
    """Return how many workers offer a handler, and the versions of their programs."""
    if not handler.worker_count:
        return ""
    versions = ", ".join(handler.worker_versions)
    return f"{handler.worker_count} ({versions})" if versions else str(handler.worker_count)


def _names_shown(names: tuple[str, ...]) -> str:
    more = len(names) - MOST_NAMES
    named = ", ".join(names[:MOST_NAMES])
    return f"{named} and {more} more" if more > 0 else named
