"""Requests that arrive while a write is in progress share the next write."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

import structlog

from schedule_grpc.errors import ScheduleError, Unavailable
from schedule_grpc.runtime.clock import nobody_comes

log = structlog.get_logger(__name__)

A = TypeVar("A")
R = TypeVar("R")

AT_ONCE = 200
"""Requests in one write, at most."""

Work: TypeAlias = Callable[[Sequence[A]], Coroutine[Any, Any, Sequence[R | ScheduleError]]]
"""Answers requests, in their order; if it raises, nothing was written."""


class Together(Generic[A, R]):
    """Hands callers' requests to the work, many at once. A caller that leaves cancels nothing.

    After a write with several requests, the next one waits for callers that are on their way; after a write with one,
    it starts at once.
    """

    def __init__(self, work: Work[A, R], name: str) -> None:
        self._work = work
        self._name = name
        self._waiting: list[tuple[A, asyncio.Future[R]]] = []
        self._working: asyncio.Task[None] | None = None
        self._in_numbers = False
        """Whether the last write had several requests."""

    async def ask(self, request: A) -> R:
        """Return the answer to a request.

        Raises:
            ScheduleError: if the answer is an error.
        """
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, answer))
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._keep_working(), name=self._name)
        return await answer

    async def _keep_working(self) -> None:
        while self._waiting:
            if self._in_numbers:
                await nobody_comes(self._waiting, enough=AT_ONCE)
            together, self._waiting = self._waiting[:AT_ONCE], self._waiting[AT_ONCE:]
            self._in_numbers = len(together) > 1
            await self._do(together)

    async def _do(self, together: Sequence[tuple[A, "asyncio.Future[R]"]]) -> None:
        answers: Sequence[R | Exception]
        try:
            answers = await self._work([request for request, _ in together])
        except Exception as error:
            if len(together) > 1 and not isinstance(error, Unavailable):
                log.warning("calls.tried_alone", work=self._name, calls=len(together), exc_info=error)
                for each in together:  # nothing was written; one bad request must not fail the others
                    await self._do([each])
                return
            answers = [error] * len(together)
        for (_, answer), given in zip(together, answers, strict=True):
            if answer.done():
                continue
            if isinstance(given, Exception):
                answer.set_exception(given)
            else:
                answer.set_result(given)
