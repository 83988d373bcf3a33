"""What a permit leaves of the service's answers: names that it covers, and content that it may see.

A caller with the scope ``observe`` alone sees that a task failed, and when; it does not see what the task works with.
A name that a caller's grants do not cover looks to it like one that is not there.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from operator import itemgetter
from typing import TypeAlias

from msgspec import structs

from schedule_grpc.domain.access.permit import Permit
from schedule_grpc.domain.access.scope import Scope
from schedule_grpc.domain.execution import Execution
from schedule_grpc.domain.paging import MAX_PAGE_SIZE
from schedule_grpc.domain.task import EMPTY, Task, TaskFilter
from schedule_grpc.events import Logged, Transition, Watched
from schedule_grpc.store import Found

MOST_READS = 10
"""Pages of `MAX_PAGE_SIZE` executions that are searched for those that a permit covers, in one call. The answer may be
shorter than asked for, and still have a next page (AIP-158)."""
HIDDEN = "(hidden: the scope read is needed)"
"""Stands for an error's text."""

Position: TypeAlias = tuple[datetime, str]
ReadTasks: TypeAlias = Callable[[TaskFilter, str, int], Awaitable[Sequence[Task]]]
"""Reads tasks, given a filter, the name that they follow, and their number."""
SearchTasks: TypeAlias = Callable[[TaskFilter], Awaitable[Found]]
"""Searches the tasks that a filter chooses."""
ReadExecutions: TypeAlias = Callable[[Position | None, int], Awaitable[Sequence[Execution]]]
"""Reads executions, given the place that they follow, and their number."""


def shown_task(task: Task, permit: Permit) -> Task:
    """Return a task without the content that the permit's caller may not see."""
    if permit.sees(task.name):
        return task
    return structs.replace(task, definition=structs.replace(task.definition, payload=EMPTY, metadata=EMPTY))


def shown_execution(execution: Execution, permit: Permit) -> Execution:
    """Return an execution without the content that the permit's caller may not see."""
    if permit.sees(execution.task_name):
        return execution
    return structs.replace(
        execution,
        payload=None,
        result=None,
        error=None if execution.error is None else HIDDEN,
        cancel_note=None,
        failed_attempts=tuple(structs.replace(each, error=HIDDEN) for each in execution.failed_attempts),
        progress=None if execution.progress is None else structs.replace(execution.progress, text=""),
        log=None,
    )


def shown_event(event: Watched, permit: Permit) -> Watched:
    """Return an event without the content that the permit's caller may not see; of log lines, nothing is left."""
    if isinstance(event, Transition):
        shown = shown_execution(event.execution, permit)
        return event if shown is event.execution else structs.replace(event, execution=shown)
    if permit.sees(event.task_name):
        return event
    return replace(event, lines=()) if isinstance(event, Logged) else replace(event, text="")


async def covered_tasks(
    read: ReadTasks, permit: Permit, chosen: TaskFilter, *, after: str, limit: int
) -> tuple[Task, ...]:
    """Return at most ``limit`` tasks that the permit covers, in the order of their names.

    A category is metadata: by it only those tasks are found whose content the permit's caller may see.
    """
    found: list[Task] = []
    for within in covered_filters(permit, chosen):
        found += await read(within, after, limit - len(found))
        if len(found) == limit:
            break
    return tuple(found)


def covered_filters(permit: Permit, chosen: TaskFilter) -> Iterator[TaskFilter]:
    """Yield filters that choose the tasks of a filter that the permit covers, in the order of their names."""
    heeded = structs.replace(permit, scope=Scope.READ) if chosen.category else permit
    for prefix in heeded.prefixes:
        if chosen.name_prefix.startswith(prefix):
            yield chosen
        elif prefix.startswith(chosen.name_prefix):
            yield replace(chosen, name_prefix=prefix)


async def covered_search(search: SearchTasks, permit: Permit, chosen: TaskFilter) -> Found:
    """Return what a search finds of the tasks that the permit covers, in the order that the filter asks for."""
    parts = [await search(within) for within in covered_filters(permit, chosen)]
    if any(part.too_many for part in parts):
        return Found(too_many=True)
    ended_at = min((part.ended_at for part in parts if part.ended_at is not None), default=None)
    listed = sorted((each for part in parts for each in part.listed), key=itemgetter(1))
    if ended_at is not None:  # what other parts found beyond that is found again by the next page
        listed = [each for each in listed if each[1] <= ended_at]
    return Found(listed=tuple(listed), ended_at=ended_at)


async def covered_executions(
    read: ReadExecutions, permit: Permit, *, after: Position | None, limit: int
) -> tuple[tuple[Execution, ...], Position | None]:
    """Return at most ``limit`` executions that the permit covers, newest first.

    Returns:
        The executions, and the place after which others may follow; None: there are no others.
    """
    if permit.covers_all:
        return tuple(await read(after, limit)), None
    found: list[Execution] = []
    for _ in range(MOST_READS):
        page = await read(after, MAX_PAGE_SIZE)
        found += [each for each in page if permit.covers(each.task_name)]
        if len(found) >= limit or len(page) < MAX_PAGE_SIZE:
            return tuple(found[:limit]), None
        after = page[-1].create_time, page[-1].id
    return tuple(found), after
