"""Handlers that do everything that a handler should not."""

import asyncio
import os
import threading
import time
from typing import Any

from schedule_grpc.handlers import TaskContext, handler

MEGABYTE = 1024 * 1024
LEAKED = 20


class Own(BaseException):
    """An exception that no `except Exception` sees."""


class Unspeakable(Exception):
    """An exception that cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


KINDS: dict[str, type[BaseException]] = {
    kind.__name__: kind
    for kind in (SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError, MemoryError, Own, Unspeakable)
}


@handler("raises", description="Raises what its payload names, on the event loop")
async def raises(ctx: TaskContext) -> None:
    """Raise."""
    raise KINDS[ctx.payload["kind"]]


@handler("raises-in-a-thread", description="Raises what its payload names, in a thread")
def raises_in_a_thread(ctx: TaskContext) -> None:
    """Raise."""
    raise KINDS[ctx.payload["kind"]]


@handler("exits", description="Ends the process")
async def exits(_: TaskContext) -> None:
    """End the process without a word."""
    os._exit(3)


@handler("endless", description="Holds the event loop for ever")
async def endless(_: TaskContext) -> None:
    """Never give way."""
    while True:
        pass


@handler("leaks", description="Leaves threads behind that never end")
def leaks(_: TaskContext) -> None:
    """Start threads for which Python would wait at its exit."""
    for _number in range(LEAKED):
        threading.Thread(target=time.sleep, args=(3600,)).start()


@handler("huge", description="Returns 100 MB")
async def huge(_: TaskContext) -> str:
    """Return far more than is kept."""
    return "x" * (100 * MEGABYTE)


@handler("not-json", description="Returns what is not JSON")
async def not_json(_: TaskContext) -> Any:
    """Return a set within a dictionary."""
    return {"set": {1, 2}}


@handler("poison", description="Fails at every attempt")
async def poison(_: TaskContext) -> None:
    """Fail."""
    raise ValueError("poison")


@handler("quick", description="Returns at once")
async def quick(_: TaskContext) -> None:
    """Succeed."""


@handler("slow", description="Sleeps for the seconds of its payload")
async def slow(ctx: TaskContext) -> None:
    """Sleep."""
    await asyncio.sleep(ctx.payload["seconds"])
