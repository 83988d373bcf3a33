"""The retry loop of the service: a change that another caller overtook is computed anew.

A method of the service reads a task, computes in Python what to write, and hands that to the store, which writes only
if the task is still as it was read. Where another caller changed it in between, nothing is written: the method raises
`Overtaken`, and begins again from the task as it is then.
"""

import functools
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from schedule_grpc.errors import Unavailable

P = ParamSpec("P")
R = TypeVar("R")

TRIES = 20
"""How often a change is computed; each time that it is overtaken, another caller made progress."""


class Overtaken(Exception):
    """Another caller changed the task, the key or the namespace after it was read; nothing was written."""

    def __init__(self, name: str, operation: str = "changed", *, of: str = "Task") -> None:
        super().__init__(f"{of} {name} kept changing while it was being {operation}; try again")


def retried_when_overtaken(method: Callable[P, Awaitable[R]]) -> Callable[P, Coroutine[Any, Any, R]]:
    """Return the method, called again where it raises `Overtaken`, and answering Unavailable if it always does."""

    @functools.wraps(method)
    async def retried(*args: P.args, **kwargs: P.kwargs) -> R:
        message = ""
        for _ in range(TRIES):
            try:
                return await method(*args, **kwargs)
            except Overtaken as error:
                message = str(error)
        raise Unavailable(message)

    return retried
