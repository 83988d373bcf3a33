"""Records outcomes: those that arrive while a write is under way share the next one."""

import asyncio

import structlog

from schedule_grpc.errors import Unavailable
from schedule_grpc.execution import Execution, HandBack, Outcome
from schedule_grpc.store import Store

log = structlog.get_logger(__name__)

TOGETHER = 200
"""Outcomes in one write at most."""

Report = Outcome | HandBack
_Waiting = tuple[Report, "asyncio.Future[Execution | None]"]


class Recorder:
    """Hands reports to the store, many at once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[_Waiting] = []
        self._writing: asyncio.Task[None] | None = None

    async def record(self, report: Report) -> Execution | None:
        """Record what became of an attempt; return the execution as it is then, None if its lease is another's.

        Raises:
            DatabaseUnavailable: if it was not written.
        """
        result: asyncio.Future[Execution | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((report, result))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write(), name="record")
        return await result

    async def _write(self) -> None:
        while self._waiting:
            together, self._waiting = self._waiting[:TOGETHER], self._waiting[TOGETHER:]
            await self._write_together(together)

    async def _write_together(self, together: list[_Waiting]) -> None:
        try:
            executions = await self._store.record([report for report, _ in together])
        except Exception as error:
            if len(together) > 1 and not isinstance(error, Unavailable):
                log.exception("execution.record_failed", together=len(together))
                for each in together:  # one that cannot be written must not keep the others from it
                    await self._write_together([each])
                return
            for _, result in together:
                if not result.cancelled():
                    result.set_exception(error)
            return
        for (_, result), execution in zip(together, executions, strict=True):
            if not result.cancelled():
                result.set_result(execution)
