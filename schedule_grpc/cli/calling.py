"""Calls of a running server from the command line, and what becomes of their errors."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import NoReturn, TypeVar

from schedule_grpc.client import AsyncClient
from schedule_grpc.errors import ScheduleError, Unavailable

T = TypeVar("T")

FAILED = 1
UNREACHABLE = 3
INTERRUPTED = 130


def ask(server: str, question: Callable[[AsyncClient], Awaitable[T]]) -> T:
    """Return a server's answer, or end the process with a message and the exit code that fits."""

    async def call() -> T:
        async with AsyncClient(server) as client:
            return await question(client)

    try:
        return asyncio.run(call())
    except Unavailable as error:
        fail(f"{server}: {error.message}", code=UNREACHABLE)
    except ScheduleError as error:
        fail(error.message, code=FAILED)
    except KeyboardInterrupt:
        fail("interrupted; what was started goes on", code=INTERRUPTED)


def fail(message: str, *, code: int) -> NoReturn:
    """End the process with a message on standard error."""
    print(message, file=sys.stderr)
    raise SystemExit(code)
