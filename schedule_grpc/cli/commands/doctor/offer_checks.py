"""Checks of who runs the tasks: is every handler offered, and by workers that are well?"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from schedule_grpc.cli.commands.doctor.check import Check, bad, ok, warn
from schedule_grpc.cli.connection import Caller
from schedule_grpc.client import AsyncClient
from schedule_grpc.domain.durations import human
from schedule_grpc.domain.offers import WorkerInfo
from schedule_grpc.domain.task import Handler, Task, TaskFilter
from schedule_grpc.errors import ScheduleError
from schedule_grpc.runtime.clock import SystemClock

PAGE = 1000
MOST_TASKS = 10_000
"""Tasks that are looked at."""
MOST_NAMED = 5
"""Tasks without a handler, and workers, that are named; of more the others are counted."""
SEEN_WITHIN = timedelta(minutes=1)
"""A worker that is well calls every 20 s, whatever its lease is."""


async def offers_asked(call: Caller, *, deadline: float) -> Sequence[Check]:
    """Return what a server tells of its handlers and workers; ``deadline`` in seconds for each call."""
    try:
        async with call.client(deadline=deadline, attempts=1) as client:
            tasks = await _enabled_tasks(client)
            return [
                _tasks(tasks),
                *_versions(await client.list_handlers()),
                *_workers(await client.list_workers(), SystemClock().now()),
            ]
    except ScheduleError as error:
        return [warn("workers", error.message, "ask again, or as a caller with the scope observe")]


async def _enabled_tasks(client: AsyncClient) -> list[Task]:
    found: list[Task] = []
    async for task in client.tasks(TaskFilter(enabled=True), page_size=PAGE):
        found.append(task)
        if len(found) == MOST_TASKS:
            break
    return found


def _tasks(tasks: Sequence[Task]) -> Check:
    lacking = [task for task in tasks if task.no_worker]
    if not lacking:
        return ok("offers", f"the handlers of all {len(tasks)} enabled tasks are offered")
    named = [f"{task.name} ({task.handler})" for task in lacking]
    finding = f"no server and no worker offers the handler of {_named(named)}: executions wait, and are MISSED then"
    return bad("offers", finding, "start the worker that offers it, serve with its module (--handlers), or disable it")


def _versions(handlers: Sequence[Handler]) -> Iterator[Check]:
    for handler in handlers:
        if len(handler.worker_versions) > 1:
            finding = f"{handler.name} is offered by programs of several versions: {', '.join(handler.worker_versions)}"
            yield warn("workers", finding, "none while a new one is rolled out; else stop the old workers")


def _workers(workers: Sequence[WorkerInfo], now: datetime) -> Iterator[Check]:
    living = [worker for worker in workers if worker.is_living]
    silent = [worker for worker in living if worker.seen_time < now - SEEN_WITHIN]
    if silent:
        named = [f"{worker.title}, {human(now - worker.seen_time)} ago" for worker in silent]
        advice = "look at their processes, and at the network between them and the server"
        yield warn("workers", f"not seen lately: {_named(named, ending='; ')}", advice)
    elif living:
        running, slots = sum(worker.running for worker in living), sum(worker.slots for worker in living)
        yield ok("workers", f"{len(living)}, with {running} of {slots} slots in use")
    else:
        yield ok("workers", "there is none: servers run all handlers that are offered")


def _named(names: Sequence[str], ending: str = ", ") -> str:
    more = len(names) - MOST_NAMED
    return ending.join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
