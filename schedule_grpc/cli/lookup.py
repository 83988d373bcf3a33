"""Look-ups beside a command's own call: does the task exist, which name is like it?

Each reads a bounded number of names: a server may have a hundred thousand tasks.
"""

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from schedule_grpc.client import AsyncClient
    from schedule_grpc.domain.execution import Execution
    from schedule_grpc.errors import TaskNotFound

PAGE = 200
"""Names that are read at most, for each prefix."""


async def nothing_of(client: "AsyncClient", name: str) -> "list[Execution]":
    """Return an empty list for the name of a task that exists or existed: a deleted task keeps its history.

    Raises:
        TaskNotFound: if no task has this name, and the history has no execution of it.
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
    """Return the message that no task has this name; an empty text if one has."""
    from schedule_grpc.errors import TaskNotFound

    try:
        await client.get_task(name)
    except TaskNotFound as error:
        return (await with_suggestion(client, error)).message
    return ""


async def with_suggestion(client: "AsyncClient", error: "TaskNotFound") -> "TaskNotFound":
    """Return the error, with the most similar name of a task if there is one."""
    from schedule_grpc.domain.task import TaskFilter
    from schedule_grpc.errors import ScheduleError

    name = error.details.get("task", "")
    names: set[str] = set()
    try:
        for prefix in {"", name[:1], name[:3]}:
            page = await client.list_tasks(TaskFilter(name_prefix=prefix), page_size=PAGE)
            names |= {task.name for task in page.tasks}
    except ScheduleError:  # the suggestion is an extra: the error itself stands
        return error
    near = get_close_matches(name, sorted(names), n=1)
    if near:
        error.message += f"; did you mean {near[0]}?"
    return error
