"""Handlers that make processes of their own."""

import asyncio
import multiprocessing
import os
import subprocess
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from schedule_grpc.handlers import TaskContext, handler

FORK = multiprocessing.get_context("fork")
"""Python's own choice on Linux, up to 3.13."""


def square(number: int) -> int:
    """Do the work of a worker."""
    return number * number


@handler("terminates", description="Ends children by Process.terminate(), at once and later")
def terminates(_: TaskContext) -> dict[str, Any]:
    """Start children one after the other, and return their exit codes."""
    codes = []
    for pause in (0.0,) * 10 + (0.02,) * 10:
        child = FORK.Process(target=time.sleep, args=(60,))
        child.start()
        time.sleep(pause)
        child.terminate()
        child.join(20)
        codes.append(child.exitcode)
    return {"codes": codes}


@handler("pools", description="Works in a Pool and in an executor")
def pools(_: TaskContext) -> dict[str, Any]:
    """Leave both by their context, which for a Pool is terminate()."""
    with FORK.Pool(2) as pool:
        first = pool.map(square, range(4))
    with ProcessPoolExecutor(2, mp_context=FORK) as executor:
        second = list(executor.map(square, range(4)))
    return {"squares": [first, second]}


@handler("leaves-child", description="Leaves processes and a thread behind")
def leaves_child(ctx: TaskContext) -> dict[str, Any]:
    """Start a child of multiprocessing, one with a preexec_fn, and a thread; wait for none of them."""
    child = FORK.Process(target=time.sleep, args=(ctx.payload["seconds"],), name="left child")
    child.start()
    other = subprocess.Popen(["sleep", str(ctx.payload["seconds"])], preexec_fn=os.setsid)  # noqa: PLW1509 (the point)
    seconds = ctx.payload["seconds"]
    threading.Thread(target=time.sleep, args=(seconds,), name="left thread", daemon=False).start()
    return {"pids": [child.pid, other.pid]}


@handler("forks", description="Forks, and goes on in both processes")
async def forks(_: TaskContext) -> dict[str, Any]:
    """Do what nobody should: await something in the child. Return how it ended, and what it did of others' work."""
    parent, twice = os.getpid(), Path("twice")
    asyncio.get_running_loop().call_soon(lambda: None if os.getpid() == parent else twice.touch())
    child = os.fork()
    await asyncio.sleep(0)
    _, status = await asyncio.to_thread(os.waitpid, child, 0)
    return {"code": os.waitstatus_to_exitcode(status), "twice": twice.exists()}
