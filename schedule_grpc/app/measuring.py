"""The metrics of a server: their instruments, and what is counted in the database now and then for them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import NoReturn

import structlog

from schedule_grpc.app.edges import end_task
from schedule_grpc.engine import AbsentEngine, Engine
from schedule_grpc.errors import Unavailable
from schedule_grpc.handlers import Registry
from schedule_grpc.metrics import Bounds, Metrics
from schedule_grpc.runtime.clock import Clock, pass_by
from schedule_grpc.settings.metrics import MetricsOptions
from schedule_grpc.store import Store

log = structlog.get_logger(__name__)

COUNTED_EVERY = 10.0
"""Seconds between two counts of what is open, where several servers change it."""
EVERY = 15.0
"""Seconds: as often as Prometheus scrapes where it is not told otherwise."""
ROUNDS = 4
"""Every so many rounds, once a minute, the series of what is deleted are looked for."""


def instruments(options: MetricsOptions) -> Metrics:
    """Return new instruments, within the bounds that are set."""
    return Metrics(Bounds(tasks=options.max_tasks, handlers=options.max_handlers, namespaces=options.max_namespaces))


async def keep_counting(store: Store, metrics: Metrics, clock: Clock) -> NoReturn:
    """Count open executions anew: this server's instruments do not receive other servers' transitions."""
    while True:
        await pass_by(clock, COUNTED_EVERY)
        with suppress(Unavailable):
            metrics.begin(await store.count_open())


@asynccontextmanager
async def counting(
    store: Store, metrics: Metrics, clock: Clock, *, registry: Registry, engine: Engine | AbsentEngine
) -> AsyncIterator[None]:
    """Within this context a server's census is taken now and then, and metrics show the age of retention."""
    if isinstance(engine, Engine):
        metrics.report_retention(engine.retention_age)
    census = asyncio.create_task(keep_census(store, metrics, clock, frozenset(registry.names())), name="census")
    try:
        yield
    finally:
        await end_task(census)


async def keep_census(store: Store, metrics: Metrics, clock: Clock, own: frozenset[str]) -> NoReturn:
    """Take a census now and again and again, so that a scrape reads no table.

    A task's series go with the notice of its deletion. Where another server's notice was lost, they are found here.

    Args:
        store: The database; where it does not answer, the last census stands.
        metrics: Shows the census.
        clock: The server's clock.
        own: The handlers that this server offers.
    """
    number = 0
    while True:
        try:
            metrics.note_census(await store.census(now=clock.now(), own=own))
            if number % ROUNDS == 0:
                await forget_gone(store, metrics)
            number += 1
        except Unavailable:
            pass  # the database's own instruments tell
        except Exception:
            log.exception("census.failed")
        await pass_by(clock, EVERY)


async def forget_gone(store: Store, metrics: Metrics) -> None:
    """Remove the series of tasks and namespaces that are deleted.

    Raises:
        DatabaseUnavailable: if the database does not answer.
    """
    tasks, namespaces = metrics.known_tasks, metrics.known_namespaces
    if tasks or namespaces:
        gone, empty = await store.gone(tasks=tasks, namespaces=namespaces)
        metrics.forget(tasks=gone, namespaces=empty)
