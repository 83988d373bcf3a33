"""The end of a process: bounded, even if handlers have left threads or processes running."""

import os
import sys
import threading
from collections.abc import Callable
from typing import Any

import structlog

from schedule_grpc.runtime.threads import start_daemon

log = structlog.get_logger(__name__)

PATIENCE = 2.0
"""Seconds that threads and processes which handlers started get to end with the server."""


def leave_soon(code: int, *, last: Callable[[], None], patience: float = PATIENCE) -> None:
    """End this process with an exit code after some seconds, if it has not ended by then.

    Python waits at its exit for threads that are no daemons, for the workers of executors, and for children of
    `multiprocessing`, as long as they live. Those that are left are logged, and abandoned.

    Args:
        code: The exit code.
        last: Called at the end, as no exit handler of Python's will be: writes the log's last lines.
        patience: How many seconds.
    """

    def leave() -> None:
        threading.Event().wait(patience)
        log.warning("process.left_behind", processes=_processes(), threads=_threads())
        last()
        os._exit(code)

    start_daemon(leave, name="leave")


def _processes() -> list[str]:
    multiprocessing: Any = sys.modules.get("multiprocessing")  # not loaded: no process was started by it
    children = multiprocessing.active_children() if multiprocessing else ()
    return sorted(f"{child.name} ({child.pid})" for child in children)


def _threads() -> list[str]:
    return sorted(each.name for each in threading.enumerate() if not each.daemon and each.name != "MainThread")
