"""Running a program's event loop so that it ends, whatever a task in it does with its cancellation."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

from schedule_grpc import forks

log = structlog.get_logger(__name__)

Returned = TypeVar("Returned")

LAST_WORDS = 2.0
"""Seconds that tasks left over at the end get to stop once cancelled."""


def run(main: Coroutine[Any, Any, Returned]) -> Returned:
    """Run ``main`` in a new event loop, as `asyncio.run` does, and return what it returns.

    What ``main`` left behind is cancelled and gets `LAST_WORDS` seconds to stop. Whatever still runs then (a handler
    that swallows its cancellation, for which `asyncio.run` would wait for ever) is named in the log and left there.
    Processes that ``main`` forks get nothing of the loop.
    """
    selector = selectors.DefaultSelector()
    loop = asyncio.SelectorEventLoop(selector)
    try:
        asyncio.set_event_loop(loop)
        with forks.keeping_loop(loop, selector):
            return loop.run_until_complete(main)
    finally:
        try:
            _end_tasks(loop)
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            asyncio.set_event_loop(None)
            loop.close()


def _end_tasks(loop: asyncio.AbstractEventLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    if not tasks:
        return
    for task in tasks:
        task.cancel()
    _, immortal = loop.run_until_complete(asyncio.wait(tasks, timeout=LAST_WORDS))
    if immortal:
        log.warning("server.left_behind", tasks=sorted(task.get_name() for task in immortal))
        # What the loop would say of them when they are collected has been said.
        loop.set_exception_handler(lambda _loop, _context: None)
