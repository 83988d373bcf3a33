"""Runs a program's event loop so that it ends, even if a task in it swallows its cancellation."""

import asyncio
import importlib
import selectors
import sys
from collections.abc import Coroutine
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar

import structlog

from schedule_grpc.errors import ConfigurationError
from schedule_grpc.runtime import forks

log = structlog.get_logger(__name__)

Returned = TypeVar("Returned")

Kind: TypeAlias = Literal["auto", "asyncio", "uvloop"]

LAST_WORDS = 2.0
"""Seconds that tasks left over at the end get to stop once cancelled."""


class NewLoop(NamedTuple):
    """An event loop that does not run yet, and the descriptors of it that a forked child must not have."""

    loop: asyncio.AbstractEventLoop
    own: forks.Descriptors


def new_loop(kind: Kind = "asyncio") -> NewLoop:
    """Return a loop for `run`: its calls can be made before it runs.

    Args:
        kind: ``auto`` is uvloop where it is installed and tells which sockets it waits for, so that forked children do
            not keep them: on Linux.

    Raises:
        ConfigurationError: if uvloop is asked for by name and not installed.
    """
    if kind == "uvloop" or (kind == "auto" and sys.platform == "linux"):
        try:
            loop = importlib.import_module("uvloop").new_event_loop()
        except ImportError as error:
            if kind == "uvloop":
                raise ConfigurationError(f"event_loop: uvloop cannot be used: {error}") from error
        else:
            return NewLoop(loop, lambda: forks.descriptors_of(loop._get_backend_id()))  # noqa: SLF001 (no public way)
    selector = selectors.DefaultSelector()
    return NewLoop(asyncio.SelectorEventLoop(selector), lambda: forks.sockets_of(selector))


def run(main: Coroutine[Any, Any, Returned], *, kind: Kind = "asyncio", within: NewLoop | None = None) -> Returned:
    """Run ``main`` in a new event loop of a kind, as `asyncio.run` does, or ``within`` one; return what it returns.

    Tasks that ``main`` left behind are cancelled and get `LAST_WORDS` seconds to stop. Those that still run then
    (handlers that swallow their cancellation, for which `asyncio.run` would wait for ever) are logged and left there.
    Processes that ``main`` forks get nothing of the loop.

    SystemExit in another task (``sys.exit()`` in a child task of a handler's) ends that task, not the program. Where a
    handler does what stops the loop (``loop.stop()``, KeyboardInterrupt in a child task, which in a thread is nobody's
    Ctrl-C), the loop goes on, ``within`` the one that is given.
    """
    loop, own = within or new_loop(kind)
    stops_for = (KeyboardInterrupt,) if within is None else ()
    try:
        asyncio.set_event_loop(loop)
        with forks.keeping_loop(loop, own):
            return _run_to_its_end(loop, loop.create_task(main), stops_for)
    finally:
        try:
            _end_tasks(loop)
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            asyncio.set_event_loop(None)
            loop.close()


def _run_to_its_end(
    loop: asyncio.AbstractEventLoop, main: "asyncio.Task[Returned]", stops_for: tuple[type[BaseException], ...]
) -> Returned:
    while True:
        try:
            return loop.run_until_complete(main)
        except stops_for:
            raise
        except (SystemExit, KeyboardInterrupt):
            if main.done():
                raise
            # asyncio gives it to the task's awaiters, and stops the loop with it: there was nothing wrong with that.
            log.exception("task.exited")
        except RuntimeError:
            if main.done() or loop.is_closed():
                raise
            log.exception("event_loop.stopped")


def _end_tasks(loop: asyncio.AbstractEventLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    if not tasks:
        return
    for task in tasks:
        task.cancel()
    _, immortal = loop.run_until_complete(asyncio.wait(tasks, timeout=LAST_WORDS))
    if immortal:
        log.warning("server.left_behind", tasks=sorted(task.get_name() for task in immortal))
        # They are logged: the loop need not log them again when they are collected.
        loop.set_exception_handler(lambda _loop, _context: None)
