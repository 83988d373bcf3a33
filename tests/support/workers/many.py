"""A process of many workers, each with slots and a connection of its own: `python -m support.workers.many ADDRESS ...`.

Two hundred processes would need a machine of their own.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import support.machine.fork_support  # noqa: F401
from support.witnesses.effects import noted

from schedule_grpc.handlers import TaskContext, handler
from schedule_grpc.log import set_up
from schedule_grpc.worker import Worker


def noting(name: str, by: str, seconds: float) -> Callable[..., Any]:
    """Return a handler of a worker's, which notes that worker."""

    @handler(name, description="Takes a while")
    async def run(ctx: TaskContext) -> None:
        with noted(ctx, by=by):
            await asyncio.sleep(seconds)

    return run


async def main(address: str, number: int, slots: int, seconds: float, name: str, lease: float) -> None:
    """Run so many workers until SIGTERM."""
    names = [f"{os.getpid()}-{each}" for each in range(number)]
    made = [
        Worker(address, handlers=[noting(name, each, seconds)], slots=slots, name=each, lease=timedelta(seconds=lease))
        for each in names
    ]
    left = number
    registered = asyncio.Event()

    def ready() -> None:
        nonlocal left
        left -= 1
        if not left:
            registered.set()

    def stop() -> None:
        for worker in made:
            worker.stop()

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
    async with asyncio.TaskGroup() as running:
        for worker in made:
            running.create_task(worker.run(ready=ready))
        await registered.wait()
        sys.stdout.write("\n")
        sys.stdout.flush()


if __name__ == "__main__":
    set_up.configure(style="console", level="warning")  # to standard error: nobody reads the other one any more
    given = sys.argv[1:]
    asyncio.run(main(given[0], int(given[1]), int(given[2]), float(given[3]), given[4], float(given[5])))
