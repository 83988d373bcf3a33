"""Running a program's event loop so that it ends, whatever a task in it does with its cancellation."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

log = structlog.get_logger(__name__)

Returned = TypeVar("Returned")

LAST_WORDS = 2.0
"""Seconds that tasks left over at the end get to stop once cancelled."""


def run(main: Coroutine[Any, Any, Returned]) -> Returned:
    """Run ``main`` in a new event loop, as `asyncio.run` does, and return what it returns.

    What ``main`` left behind is cancelled and gets `LAST_WORDS` seconds to stop. Whatever still runs then (a handler
    that swallows its cancellation, for which `asyncio.run` would wait for ever) is named in the log and left there.

    SystemExit in another task (``sys.exit()`` in a child task of a handler's) ends that task, not the program.
    """
    loop = asyncio.new_event_loop()
    try:
        asyncio.set_event_loop(loop)
        return _run_to_its_end(loop, loop.create_task(main))
    finally:
        try:
            _end_tasks(loop)
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            asyncio.set_event_loop(None)
            loop.close()


def _run_to_its_end(loop: asyncio.AbstractEventLoop, main: "asyncio.Task[Returned]") -> Returned:
    while True:
        try:
            return loop.run_until_complete(main)
        except SystemExit:
            if main.done():
                raise
            # asyncio gives it to the task's awaiters, and stops the loop with it: there was nothing wrong with that.
            log.exception("task.exited")


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
