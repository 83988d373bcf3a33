"""The store's operations on log lines and progress of executions."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from schedule_grpc.domain.execution.log_lines import KeptLog, LogLines, Progress
from schedule_grpc.store.operations import logs
from schedule_grpc.store.transactions import Transactions

REMOVED_AT_ONCE = 500
"""Rows of one `prune_logs` at most."""


class LogStore(Transactions):
    """Operations on what executions keep of the lines and the progress of their handlers."""

    async def append_logs(self, chunks: Sequence[LogLines], *, now: datetime) -> None:
        """Append lines to the logs of attempts, and remove what their newest lines make superfluous.

        Safe to repeat: a line that is stored is left out. Lines of an attempt that has ended are appended, too: the
        caller decides.
        """
        await self._write(logs.append_logs, chunks, now)

    async def note_progress(self, reports: Sequence[Progress], *, now: datetime) -> None:  # noqa: ARG002 (as others)
        """Keep the newest progress of executions: a later attempt's, or a later report of the same one.

        Safe at any time: an older report, and one of an execution that is not in the history, changes nothing.
        """
        await self._write(logs.note_progress, reports)

    async def logs_of(self, execution_id: str, *, limit: int) -> KeptLog:
        """Return the newest lines of an execution over all its attempts, at most ``limit``; none if it has none."""
        return await self._database.read(partial(logs.logs_of, execution_id, limit))

    async def progress_of(self, execution_id: str) -> Progress | None:
        """Return the newest progress of an execution; None if it reported none."""
        return await self._database.read(partial(logs.progress_of, execution_id))

    async def prune_logs(self, *, before: datetime) -> int:
        """Remove a few of the rows of lines that were written before a moment, and return how many."""
        return await self._write(logs.remove_logs, before, REMOVED_AT_ONCE)
