"""Records reports of attempts: those that arrive while a write is under way share the next one."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeAlias

import structlog

from schedule_grpc.domain.execution import Execution, Outcome, Report
from schedule_grpc.domain.execution.log_lines import LogLines
from schedule_grpc.errors import Unavailable
from schedule_grpc.store.logbook import LogBook
from schedule_grpc.store.store import Store

log = structlog.get_logger(__name__)

TOGETHER = 200
"""Reports in one write at most."""

Answer: TypeAlias = Execution | Exception | None
"""The recorded execution; None if its lease token no longer stands; or the error that kept the report from it."""
_Waiting: TypeAlias = tuple[Report, Callable[[Answer], None], LogLines | None]
"""A report, the receiver of its answer, and the lines of its attempt that are not written yet."""


class Recorder:
    """Writes reports to the store, many at once."""

    def __init__(
        self, store: Store, *, may_wait: Callable[[str], bool] = lambda _: False, logbook: LogBook | None = None
    ) -> None:
        """Take a store.

        Args:
            store: Records the reports.
            may_wait: Returns whether the report of an execution may wait until `write` is called.
            logbook: Has the lines of the attempts.
        """
        self._store = store
        self._logbook = logbook
        self._may_wait = may_wait
        self._waiting: list[_Waiting] = []
        self._writing: asyncio.Task[None] | None = None

    def record(self, report: Report, on_answer: Callable[[Answer], None]) -> None:
        """Record the report of an attempt; ``on_answer`` is called with the answer.

        A callback, and not a future for each report: thousands of futures cost more than the reports. The lines that
        the book has of the attempt, if the report names it (``claimed``), are written in the same transaction.
        """
        lines = None
        if self._logbook is not None and report.claimed is not None:
            succeeded = isinstance(report, Outcome) and report.kind is None
            lines = self._logbook.taken(report.execution_id, report.claimed.attempt, succeeded=succeeded)
        self._waiting.append((report, on_answer, lines))
        if not self._may_wait(report.execution_id):
            self.write()

    def write(self) -> None:
        """Write the waiting reports."""
        if self._waiting and (self._writing is None or self._writing.done()):
            self._writing = asyncio.create_task(self._write(), name="record")

    async def _write(self) -> None:
        while self._waiting:
            together, self._waiting = self._waiting[:TOGETHER], self._waiting[TOGETHER:]
            await self._write_together(together)

    async def _write_together(self, together: list[_Waiting]) -> None:
        answers: Sequence[Answer]
        reports = [report for report, _, _ in together]
        logs = [lines for _, _, lines in together if lines is not None]
        try:
            answers = await (self._store.record(reports, logs=logs) if logs else self._store.record(reports))
        except Exception as error:
            if logs and self._logbook is not None:  # it may be their fault: a full disk may have room for outcomes
                self._logbook.put_back(logs, error)
                await self._write_together([(report, on_answer, None) for report, on_answer, _ in together])
                return
            if len(together) > 1 and not isinstance(error, Unavailable):
                log.exception("execution.record_failed", together=len(together))
                for each in together:  # a report that cannot be written must not hold up the others
                    await self._write_together([each])
                return
            answers = [error] * len(together)
        else:
            if logs and self._logbook is not None:
                self._logbook.note_written(logs)
        loop = asyncio.get_running_loop()
        for (_, on_answer, _), answer in zip(together, answers, strict=True):
            loop.call_soon(on_answer, answer)  # a callback that fails holds up neither the others nor the next write
