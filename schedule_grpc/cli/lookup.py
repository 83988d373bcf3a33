"""What a server is asked beside the question itself: is there such a task, which one is meant, who offers its handler?

What is looked through is bounded: a server may have a hundred thousand tasks.
"""

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from schedule_grpc.client import AsyncClient
    from schedule_grpc.domain.execution import Execution
    from schedule_grpc.errors import TaskNotFound

PAGE = 200
"""Names that are looked through at most, for each beginning."""


async def offered_handlers(client: "AsyncClient") -> frozenset[str]:
    """Return the names of the handlers that are offered now."""
    return frozenset(handler.name for handler in await client.list_handlers() if handler.offered)


async def nothing_of(client: "AsyncClient", name: str) -> "list[Execution]":
    """Return no executions of a name that is a task's, or was one: of a deleted task the history stays.

    Raises:
        TaskNotFound: if it never was, as far as the history tells.
    """
    from schedule_grpc.errors import TaskNotFound

    try:
        await client.get_task(name)
    except TaskNotFound:
        page = await client.get_task_history(name, page_size=1)
        if not page.executions:
            raise
    return []


async def not_registered(client: "AsyncClient", name: str) -> str:
    """Return, in words, that no task has this name; nothing if one has."""
    from schedule_grpc.errors import TaskNotFound

    try:
        await client.get_task(name)
    except TaskNotFound as error:
        return (await with_suggestion(client, error)).message
    return ""


async def with_suggestion(client: "AsyncClient", error: "TaskNotFound") -> "TaskNotFound":
    """Return the error with the name that was probably meant, if there is one like it."""
    from schedule_grpc.domain.task import TaskFilter
    from schedule_grpc.errors import ScheduleError

    name = error.details.get("task", "")
    names: set[str] = set()
    try:
        for prefix in {"", name[:1], name[:3]}:
            page = await client.list_tasks(TaskFilter(name_prefix=prefix), page_size=PAGE)
            names |= {task.name for task in page.tasks}
    except ScheduleError:  # what is not there is told all the same
        return error
    near = get_close_matches(name, sorted(names), n=1)
    if near:
        error.message += f"; did you mean {near[0]}?"
    return error
